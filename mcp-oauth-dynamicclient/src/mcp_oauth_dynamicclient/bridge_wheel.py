"""The bridge, mcp-streamablehttp-client, as this gateway hands it out, and the line that installs it.

Until this version is on PyPI, where the same name is an older and different program, the gateway serves the
wheel that was built with it (endpoints/wheels.py).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__

if TYPE_CHECKING:
    from .settings import Settings

BRIDGE = "mcp-streamablehttp-client"
FROM_PYPI = f"pip install {BRIDGE}"
NOT_OLDER = f'pip install "{BRIDGE}>={__version__}"'
"""From PyPI, where an older program is refused rather than installed."""
WHEEL_NAME = re.compile(
    rf"{BRIDGE.replace('-', '_')}-[0-9][A-Za-z0-9_.!+]*(?:-[0-9][A-Za-z0-9_.]*)?(?:-[A-Za-z0-9_.]+){{3}}\.whl"
)
"""What pip takes for a wheel of the bridge (binary distribution format, file name convention)."""


@dataclass(frozen=True, slots=True)
class Wheel:
    name: str
    content: bytes
    sha256: str

    @classmethod
    def of(cls, folder: Path) -> Wheel:
        path = find_wheel(folder)
        content = path.read_bytes()
        return cls(path.name, content, hashlib.sha256(content).hexdigest())


def find_wheel(folder: Path) -> Path:
    """The bridge's one wheel in a folder. Raises ValueError."""
    found = [path for path in folder.glob("*.whl") if WHEEL_NAME.fullmatch(path.name)]
    if len(found) != 1:
        raise ValueError(f"must be a folder with one wheel of {BRIDGE}; {folder} has {len(found) or 'none'}")
    return found[0]


def install_line(settings: Settings, wheel: Wheel | None) -> str:
    """What a person types to have the bridge of this version, in any shell."""
    if settings.bridge_on_pypi:
        return FROM_PYPI
    if wheel is None:
        return NOT_OLDER
    return f'pip install "{settings.issuer}/wheels/{wheel.name}#sha256={wheel.sha256}"'
