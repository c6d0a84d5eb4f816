"""Run one benchmark or several, print the tables, write benchmarks/results/WHAT.json."""

from __future__ import annotations

import sys
from importlib import import_module

BENCHMARKS = {
    "verify": "what ForwardAuth costs each request",
    "register": "dynamic client registrations per second",
}


def main(arguments: list[str]) -> int:
    chosen = arguments or list(BENCHMARKS)
    unknown = [name for name in chosen if name not in BENCHMARKS]
    if unknown:
        known = "\n".join(f"  {name:10} {about}" for name, about in BENCHMARKS.items())
        print(f"there is no benchmark {unknown[0]}; there are:\n{known}", file=sys.stderr)
        return 2
    for name in chosen:
        report = import_module(f"benchmarks.{name}").measure()
        report.show()
        print(f"written to {report.write()}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
