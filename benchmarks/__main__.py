"""Run one benchmark or several, print the tables, write benchmarks/results/WHAT.json.

`--quick` runs one round, only to try it, and writes nothing. `--tables` puts the written results
into the READMEs.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from . import rounds, tables

BENCHMARKS = {
    "gateway": "a tool call by the whole way, with the gate and without",
    "verify": "what ForwardAuth costs each request",
    "register": "dynamic client registrations per second",
    "proxy": "stdio to Streamable HTTP, beside every peer",
    "bridge": "Streamable HTTP to stdio, beside every peer",
    "fetch": "pages read, beside other readers; needs --corpus DIR",
    "native": "start and memory of the native servers, beside the smallest of the SDK",
    "bridge-zoo": "which servers of others the bridge and mcp-remote connect to",
}


def main(arguments: list[str]) -> int:
    if arguments == ["--tables"]:
        tables.write()
        return 0
    corpus = None
    if "--corpus" in arguments:
        place = arguments.index("--corpus")
        corpus = Path(arguments[place + 1]).resolve() if len(arguments) > place + 1 else None
        arguments = arguments[:place] + arguments[place + 2 :]
    quick = "--quick" in arguments
    chosen = [name for name in arguments if name != "--quick"] or [
        name for name in BENCHMARKS if name != "fetch" or corpus is not None
    ]
    unknown = [name for name in chosen if name not in BENCHMARKS]
    if unknown:
        known = "\n".join(f"  {name:10} {about}" for name, about in BENCHMARKS.items())
        print(f"there is no benchmark {unknown[0]}; there are:\n{known}", file=sys.stderr)
        return 2
    if quick:
        rounds.hurry()
    for name in chosen:
        report = import_module(f"benchmarks.{name.replace('-', '_')}").measure(
            *((corpus,) if name == "fetch" else ())
        )
        report.show()
        if not quick:
            print(f"written to {report.write()}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
