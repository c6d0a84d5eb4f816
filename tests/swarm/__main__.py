"""`just test-swarm [--sessions N]`: the stack on a real engine in Swarm mode, three of each, whose parts are
killed and replaced under load. What is checked is seen from outside: see `rules.py`. Ends with status 1 if
anything was violated."""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys

from .cluster import cluster
from .images import built
from .run import run

INSIDE = "--inside"


def main() -> int:
    parser = argparse.ArgumentParser(prog="just test-swarm", description=__doc__)
    parser.add_argument("--sessions", type=int, default=500)
    parser.add_argument("--calls", type=float, default=40, help="a second, of all together")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--only", default="", help="phases whose names hold one of these, in this order")
    parser.add_argument("--no-figures", action="store_true")
    parser.add_argument(INSIDE, default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:
        # A namespace of its own: Swarm publishes on every address of a machine.
        command = [sys.executable, "-m", "tests.swarm", *sys.argv[1:], INSIDE, json.dumps(built())]
        return subprocess.run(["unshare", "--net", *command], check=False).returncode
    with cluster(json.loads(options.inside), options.replicas) as found:
        return asyncio.run(
            run(found, options.sessions, options.calls, options.only, figures=not options.no_figures)
        )


if __name__ == "__main__":
    sys.exit(main())
