"""Run one benchmark or several, print the tables, write benchmarks/results/WHAT.json.

`--quick` runs one round, only to try it, and writes nothing. `--tables` puts the written results
into the READMEs.
"""

from __future__ import annotations

import sys
from importlib import import_module

from . import rounds, tables

BENCHMARKS = {
    "verify": "what ForwardAuth costs each request",
    "register": "dynamic client registrations per second",
    "proxy": "stdio to Streamable HTTP, beside every peer",
    "bridge": "Streamable HTTP to stdio, beside every peer",
}


def main(arguments: list[str]) -> int:
    if arguments == ["--tables"]:
        tables.write()
        return 0
    quick = "--quick" in arguments
    chosen = [name for name in arguments if name != "--quick"] or list(BENCHMARKS)
    unknown = [name for name in chosen if name not in BENCHMARKS]
    if unknown:
        known = "\n".join(f"  {name:10} {about}" for name, about in BENCHMARKS.items())
        print(f"there is no benchmark {unknown[0]}; there are:\n{known}", file=sys.stderr)
        return 2
    if quick:
        rounds.hurry()
    for name in chosen:
        report = import_module(f"benchmarks.{name}").measure()
        report.show()
        if not quick:
            print(f"written to {report.write()}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
