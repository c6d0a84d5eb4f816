"""The bridge's wheel of this checkout, which a local run serves; built again only when its sources change."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "mcp-streamablehttp-client"
KEPT = Path(sys.prefix) / "bridge-wheel"


class WheelError(Exception):
    """The wheel cannot be built; the message says why in a sentence."""


def built(kept: Path = KEPT) -> Path:
    """The folder that holds the wheel, and nothing else. Raises WheelError."""
    folder = kept / _state()
    if folder.is_dir():
        return folder
    try:
        kept.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept) as place:
            command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", place]
            subprocess.run(command, cwd=SOURCE, check=True, capture_output=True, text=True)
            made = Path(place, "made")
            made.mkdir()
            for wheel in Path(place).glob("*.whl"):
                wheel.rename(made / wheel.name)
            try:
                made.rename(folder)
            except OSError:
                if not folder.is_dir():  # or another run was first, with the same bytes
                    raise
    except subprocess.CalledProcessError as error:
        raise WheelError((error.stderr.strip().splitlines() or [str(error)])[-1]) from error
    except OSError as error:
        raise WheelError(f"{error.filename or kept}: {error.strerror}") from error
    return folder


def _state() -> str:
    """What the wheel depends on, as a name."""
    said = hashlib.sha256()
    own = [SOURCE / name for name in ("pyproject.toml", "README.md", "LICENSE")]
    for path in (*own, *sorted((SOURCE / "src").rglob("*"))):
        if path.is_file() and "__pycache__" not in path.parts:
            content = path.read_bytes()
            said.update(f"{path.relative_to(SOURCE)}{os.sep}{len(content)}\n".encode())
            said.update(content)
    return said.hexdigest()[:20]
