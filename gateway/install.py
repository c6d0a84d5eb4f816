"""Installs the workspace from a lock and shows how far it is, with the standard library and pip alone."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path

from pip._vendor.packaging.markers import Marker  # the standard library cannot read markers

ROOT = Path(__file__).resolve().parent.parent
LOCKS = {"run": ROOT / "gateway" / "run.lock", "workshop": ROOT / "requirements.lock"}
ON_ANOTHER = {"mcp-echo-streamablehttp-server-stateful": "mcp-echo-streamablehttp-server-stateless"}
SITE = Path(sysconfig.get_path("purelib"))
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input")
PIN = re.compile(r"^([a-z0-9._-]+)(?:\[\S+\])?==[^\s;]+(?: ; (.+?))? \\$", re.MULTILINE)
DOWNLOAD = re.compile(r"\s*(?:Downloading|Using cached) \S+ \(([\d.]+) (kB|MB|bytes)\)")
MEGABYTE = {"bytes": 1e-6, "kB": 1e-3, "MB": 1.0}
FETCHING = 0.6
"""What part of the whole it is to fetch, where unpacking is the rest."""
ENOUGH = 12
"""Lines of what pip said last that are shown when it fails."""


def main() -> int:
    what = sys.argv[1]
    lock = LOCKS.get(what, ROOT / what / "test.lock")
    packages = pins(lock.read_text())
    print(f"Installing {len(packages)} packages into .venv (once) ...", file=sys.stderr)
    progress = Progress(packages)
    # Compiled at first use: what is never imported, half of it, would be compiled and kept all the same.
    status = progress.install(
        "--no-compile", "--require-hashes", "--progress-bar=off", "--requirement", str(lock)
    )
    if status == 0:
        own = [f"--editable={folder}" for folder in folders(what)]
        status = subprocess.run(
            [*PIP, "install", "--quiet", "--no-deps", "--no-build-isolation", *own]
        ).returncode
    if status == 0 and "setuptools" not in packages:  # venv's gift before Python 3.12
        subprocess.run([*PIP, "uninstall", "--quiet", "--yes", "setuptools"], stderr=subprocess.DEVNULL)
    if status == 0:
        print(f"Installed in {progress.seconds():.0f} s.", file=sys.stderr)
    return status


def pins(lock: str) -> set[str]:
    """The packages of a lock that this system and this Python take."""
    return {name for name, marker in PIN.findall(lock) if not marker or Marker(marker).evaluate()}


def folders(what: str) -> list[Path]:
    if what in LOCKS:
        return sorted(path.parent for path in ROOT.glob("mcp-*/pyproject.toml"))
    return [ROOT / name for name in (ON_ANOTHER.get(what), what) if name]


class Progress:
    """What is fetched and unpacked of so many packages, and how long the rest will take."""

    def __init__(self, packages: set[str]) -> None:
        self._began = time.monotonic()
        self._there = self._unpacked()
        self._packages = packages
        self._fetched, self._kept, self._megabytes = 0, 0, 0.0
        self._ended = threading.Event()

    def seconds(self) -> float:
        return time.monotonic() - self._began

    def install(self, *options: str) -> int:
        """Run pip; of what it says, show what counts."""
        terminal = sys.stderr.isatty()
        process = subprocess.Popen(
            [*PIP, "install", *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        ticker = threading.Thread(target=self._tick, args=(0.3 if terminal else 5.0, terminal))
        ticker.start()
        said: list[str] = []
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                said.append(line)
                self._fetched += line.startswith("Collecting ")
                self._kept += line.startswith("Requirement already satisfied: ")
                if found := DOWNLOAD.match(line):
                    self._megabytes += float(found[1]) * MEGABYTE[found[2]]
        status = process.returncode
        self._ended.set()
        ticker.join()
        if terminal:
            print(file=sys.stderr)
        if status:
            print("".join(said[-ENOUGH:]), file=sys.stderr)
        return status

    def _tick(self, seconds: float, terminal: bool) -> None:
        while not self._ended.wait(seconds):
            begin, end = ("\r\033[K  ", "") if terminal else ("  ", "\n")
            print(f"{begin}{self}", end=end, file=sys.stderr, flush=True)

    def __str__(self) -> str:
        of = max(1, len(self._packages) - self._kept)
        unpacked = self._unpacked() - self._there
        done = FETCHING * self._fetched / of + (1 - FETCHING) * unpacked / of
        left = self.seconds() * (1 - done) / done if done > 0 else None
        known = f", about {max(1, left):.0f} s left" if left is not None and left < 3600 else ""
        return f"fetched {self._fetched} of {of} ({self._megabytes:.0f} MB), unpacked {unpacked}{known}"

    def _unpacked(self) -> int:
        return sum(1 for _ in SITE.glob("*.dist-info"))


if __name__ == "__main__":
    sys.exit(main())
