"""`just test`: pytest on what packages have in common, package by package, then what crosses packages.

Each in a process of its own, as their users run them: a server that ends in one package's tests must not end
event streams in the next (sse-starlette keeps that state for the whole process).

The files of a package run side by side, on one process more than there are processors, as they wait half of
their time. What a file shares is started in each process that needs it. What fails so may only have waited
for its neighbours: it is named, and run once more by itself, and that is what counts. `-n 0` runs all of them
one after another.

What tests need is there before the first runs, and nothing that did not run counts as a success.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .needs import NeedsError, provide
from .packages import PACKAGES, ROOT

WITHOUT = "not compose and not soak"
ALL = ("common", *PACKAGES, "tests")
QUICK = (
    ("common/tests",),
    ("mcp-fetch-streamablehttp-server/tests",),
    ("mcp-echo-streamablehttp-server-stateless/tests",),
    ("tests/test_common.py", "tests/test_docs.py"),
)
"""No browser, no other edge, no whole gateway, and no bridge, whose tests start hundreds of processes."""
SIDE_BY_SIDE = ("-n", str((os.cpu_count() or 1) + 1), "--dist", "loadfile", "--cache-clear")
"""What failed in an earlier run is forgotten, so that it cannot stand for what fails in this one."""
TIMES = ROOT / ".gateway" / "test-minutes.json"
"""How long each version took here when it last ran whole."""


def main() -> int:
    options = sys.argv[1:]
    quick = "quick" in options
    if quick:
        options.remove("quick")
    named = [option for option in options if (ROOT / option.partition("::")[0]).exists()]
    options = [option for option in options if option not in named]
    groups = [list(group) for group in QUICK] if quick else [named] if named else [[name] for name in ALL]
    try:
        provide(Path(name).parts[0].partition("::")[0] for group in groups for name in group)
    except NeedsError as error:
        print(f"test: {error}", file=sys.stderr)
        return 2
    version = "" if named or options else "quick" if quick else "all"
    if not named:
        print(expectation("quick" if quick else "all"), flush=True)
    began = time.monotonic()
    failed = []
    for group in groups:
        print(f"== {' '.join(group)}", flush=True)
        if not passed(group, options, () if named else SIDE_BY_SIDE):
            failed += group
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    minutes = (time.monotonic() - began) / 60
    print(f"{minutes:.1f} minutes", flush=True)
    if version and not failed:
        TIMES.parent.mkdir(exist_ok=True)
        TIMES.write_text(json.dumps({**times(), version: round(minutes, 1)}))
    return 1 if failed else 0


def passed(group: list[str], options: list[str], side_by_side: tuple[str, ...] = ()) -> bool:
    """Whether all of it passed, in the end by itself."""
    command = [sys.executable, "-m", "pytest", "-m", WITHOUT, "-p", "gateway.no_skips"]
    status = subprocess.run([*command, *side_by_side, *options, *group], cwd=ROOT, check=False).returncode
    if status == pytest.ExitCode.TESTS_FAILED and side_by_side:
        print(f"== {' '.join(group)}: what failed beside others, by itself", flush=True)
        failed = ("--last-failed", "--last-failed-no-failures=none")
        return subprocess.run([*command, *options, *failed, *group], cwd=ROOT, check=False).returncode == 0
    return status == 0 or (status == pytest.ExitCode.NO_TESTS_COLLECTED and "-k" in options)


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
