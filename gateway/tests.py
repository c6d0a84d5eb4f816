"""`just test`: pytest package by package, then what crosses packages.

Each in a process of its own, as their users run them: a server that ends in one package's tests must not end
event streams in the next (sse-starlette keeps that state for the whole process).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .packages import PACKAGES, ROOT

WITHOUT = "not compose and not soak"
NONE_CHOSEN = 5
"""What pytest exits with when `-k` leaves nothing of a package."""


def main() -> int:
    options = sys.argv[1:]
    named = [option for option in options if Path(option.partition("::")[0]).exists()]
    groups = [named] if named else [[name] for name in (*PACKAGES, "tests")]
    options = [option for option in options if option not in named]
    failed = []
    for group in groups:
        print(f"== {' '.join(group)}", flush=True)
        command = [sys.executable, "-m", "pytest", "-m", WITHOUT, *options, *group]
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
        if status and not (status == NONE_CHOSEN and "-k" in options):
            failed += group
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
