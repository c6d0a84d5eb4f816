"""`just test`: pytest on what packages have in common, package by package, then what crosses packages.

Each in a process of its own, as their users run them: a server that ends in one package's tests must not end
event streams in the next (sse-starlette keeps that state for the whole process).

The files of a package run side by side, on one process more than there are processors, as they wait half of
their time. What a file shares is started in each process that needs it. `-n 0` runs them one after another.

What tests need is there before the first runs, and nothing that did not run counts as a success.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from .needs import NeedsError, provide
from .packages import PACKAGES, ROOT

WITHOUT = "not compose and not soak"
NONE_CHOSEN = 5
"""What pytest exits with when `-k` leaves nothing of a package."""
ALL = ("common", *PACKAGES, "tests")
QUICK = (
    "common/tests",
    "mcp-streamablehttp-client/tests",
    "mcp-fetch-streamablehttp-server/tests",
    "mcp-echo-streamablehttp-server-stateless/tests",
    "tests/test_common.py",
    "tests/test_docs.py",
    "tests/test_workshop.py",
)
"""No browser, no other edge, no whole gateway."""
SIDE_BY_SIDE = ("-n", str((os.cpu_count() or 1) + 1), "--dist", "loadfile")
TIMES = ROOT / ".gateway" / "test-minutes.json"
"""How long each version took here when it last ran whole."""


def main() -> int:
    options = sys.argv[1:]
    quick = "quick" in options
    if quick:
        options.remove("quick")
    named = [option for option in options if (ROOT / option.partition("::")[0]).exists()]
    options = [option for option in options if option not in named]
    groups = [[name] for name in QUICK] if quick else [named] if named else [[name] for name in ALL]
    try:
        provide(Path(name).parts[0].partition("::")[0] for group in groups for name in group)
    except NeedsError as error:
        print(f"test: {error}", file=sys.stderr)
        return 2
    version = "" if named or options else "quick" if quick else "all"
    if not named:
        print(expectation("quick" if quick else "all"), flush=True)
    side_by_side = () if named else SIDE_BY_SIDE
    began = time.monotonic()
    failed = []
    for group in groups:
        print(f"== {' '.join(group)}", flush=True)
        command = [
            sys.executable, "-m", "pytest", "-m", WITHOUT, "-p", "gateway.no_skips",
            *side_by_side, *options, *group,
        ]  # fmt: skip
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
        if status and not (status == NONE_CHOSEN and "-k" in options):
            failed += group
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    minutes = (time.monotonic() - began) / 60
    print(f"{minutes:.1f} minutes", flush=True)
    if version and not failed:
        TIMES.parent.mkdir(exist_ok=True)
        TIMES.write_text(json.dumps({**times(), version: round(minutes, 1)}))
    return 1 if failed else 0


def expectation(version: str) -> str:
    """How long it will take, as far as it is known."""
    known = times().get(version)
    usual = {
        "all": "half an hour on two cores; `./justw test quick` takes two",
        "quick": "two minutes",
    }
    return (
        f"This takes about {usual[version]}."
        if known is None
        else f"The last time this took {known} minutes."
    )


def times() -> dict[str, float]:
    try:
        return dict(json.loads(TIMES.read_text()))
    except (OSError, ValueError):
        return {}


if __name__ == "__main__":
    sys.exit(main())
