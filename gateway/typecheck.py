"""`just check`: mypy strict, package by package (tests share module names), then what crosses packages."""

from __future__ import annotations

import subprocess
import sys

from .packages import PACKAGES, ROOT


def main() -> int:
    configuration = f"--config-file={ROOT / 'pyproject.toml'}"
    status = 0
    for place, targets in [
        *((ROOT / name, ["src", "tests"]) for name in PACKAGES),
        (ROOT, ["gateway", "common", "tests", "benchmarks"]),
    ]:
        print(f"mypy {place.name}: {' '.join(targets)}", flush=True)
        targets = [target for target in targets if (place / target).is_dir()]
        status |= subprocess.run(
            [sys.executable, "-m", "mypy", configuration, *targets], cwd=place, check=False
        ).returncode
    return status


if __name__ == "__main__":
    sys.exit(main())
