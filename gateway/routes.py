"""The rules of a local run's edge: a folder that Traefik watches, so that servers come and go live."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from .state import ROOT

SOURCE = ROOT / "traefik"
LOCAL = "local-servers.yml"
WRITTEN = ".written.json"
"""Names of the files that came from here, so that rules which an older version had go, and nobody else's."""
_RULES = re.compile(r"[\w-]+\.yml")
_LIST = 'env "LOCAL_SERVERS"'


def write(folder: Path, servers: Mapping[str, str]) -> None:
    """Route to these servers, URL by name, and to no others; requests under way go on.

    Files are replaced in one step, and the draft has an ending that Traefik does not read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sources = {path.name: path for path in SOURCE.glob("*.yml")}
    for stale in _written(folder) - sources.keys():
        (folder / stale).unlink(missing_ok=True)
    (folder / WRITTEN).write_text(json.dumps(sorted(sources)))
    for name, source in sources.items():
        if name != LOCAL and not _same(source, folder / name):
            shutil.copyfile(source, folder / name)
    listed = " ".join(f"{name}={url}" for name, url in servers.items())
    draft = folder / f"{LOCAL}.new"
    draft.write_text((SOURCE / LOCAL).read_text().replace(_LIST, f'"{listed}"'))
    draft.replace(folder / LOCAL)


def _written(folder: Path) -> set[str]:
    """Plain names alone: who can write the list must not choose what else is deleted."""
    try:
        names = json.loads((folder / WRITTEN).read_text())
    except (OSError, ValueError):
        return set()
    return {name for name in names if isinstance(name, str) and _RULES.fullmatch(name)}


def _same(source: Path, copy: Path) -> bool:
    return copy.exists() and copy.read_bytes() == source.read_bytes()
