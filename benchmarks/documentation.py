"""Pages of documentation to measure reading with, out of Debian's -doc packages: `just documentation-pages`.

The packages are downloaded by the machine's own apt and unpacked beside the other caches; none is installed.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from .report import note
from .servers import ROOT

PACKAGES = ("git-doc", "apache2-doc", "python3.11-doc", "sqlite3-doc", "postgresql-doc-15")
EACH = 20
"""Pages of a package, evenly spread over its names in their order."""
SMALLEST, LARGEST = 4_000, 400_000
"""Bytes of a page: neither a frame around nothing nor a whole book."""
PLACE = ROOT / ".gateway" / "cache" / "documentation"


def pages() -> Path:
    """The folder of the pages, made on first use. Raises SystemExit where there is no apt."""
    if not (PLACE / "complete").exists():
        if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
            raise SystemExit("pages of documentation come from Debian's packages, by apt-get and dpkg-deb")
        for package in PACKAGES:
            note(f"{package}: downloading")
            _take(package)
        (PLACE / "complete").touch()
    return PLACE


def _take(package: str) -> None:
    work = PLACE / package / "package"
    shutil.rmtree(PLACE / package, ignore_errors=True)
    work.mkdir(parents=True)
    # In a folder that apt's own user cannot write to it says so, and downloads all the same.
    subprocess.run(["apt-get", "download", "-qq", package], cwd=work, check=True, stderr=subprocess.DEVNULL)
    (archive,) = work.glob("*.deb")
    subprocess.run(["dpkg-deb", "-x", archive, work], check=True)
    found = [
        path
        for path in sorted(work.rglob("*.html"))
        if path.is_file() and not path.is_symlink() and SMALLEST <= path.stat().st_size <= LARGEST
    ]
    chosen = [found[place * len(found) // EACH] for place in range(EACH)] if len(found) > EACH else found
    for number, path in enumerate(chosen):
        shutil.copyfile(path, PLACE / package / f"{number:02}-{path.name}")
    shutil.rmtree(work)


if __name__ == "__main__":
    print(pages())
