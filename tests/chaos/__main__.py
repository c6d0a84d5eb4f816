"""`just chaos --minutes N [--seed S]`: the whole gateway under clients, attackers and blows.

What is checked is seen from outside. Ends with status 1 if anything was violated.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from pathlib import Path

from gateway import needs

from . import world
from .compose import ComposePlace
from .local import LocalPlace
from .rage import rage
from .record import Record


def main() -> int:
    parser = argparse.ArgumentParser(prog="just chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3, help="how long blows fall")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="decides what is done")
    parser.add_argument(
        "--store", choices=("sqlite", "redis"), help="where auth keeps its state; else by the seed"
    )
    parser.add_argument("--compose", action="store_true", help="under docker compose, on a real engine")
    options = parser.parse_args()
    try:
        needs.provide(["chaos"])
    except needs.NeedsError as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 2
    if not options.compose:
        world.enter("tests.chaos")
    logging.getLogger("mcp").addHandler(logging.NullHandler())  # it raises what it logs
    store = options.store or random.Random(f"{options.seed} store").choice(("sqlite", "redis"))
    where = "docker compose" if options.compose else f"a local run with {store}"
    print(f"seed {options.seed}, {where}", flush=True)
    record = Record()
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder:
        path = Path(folder)
        place = ComposePlace(path, record) if options.compose else LocalPlace(path / "state", record, store)
        try:
            asyncio.run(rage(place, path, options.minutes * 60, record, options.seed))
        finally:
            status = report(record, options.seed)
    return status


def report(record: Record, seed: int) -> int:
    for what, count in sorted(record.counts.items()):
        print(f"{count:8} {what}")
    print(f"{len(record.answered)} calls answered, {len(record.violations)} violations, seed {seed}")
    for violation in record.violations:
        print(f"  {violation}")
    return 1 if record.violations else 0


if __name__ == "__main__":
    sys.exit(main())
