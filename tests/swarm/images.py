"""The images, built by an engine that has a network; the Swarm's has none, and finds them where they are."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.compose.base_images import base_images
from tests.compose.engine import CACHE, own_engine
from tests.compose.stack import build_images

from .load import TOOLS


def built() -> dict[str, str]:
    """The variables of docker-compose.yml that name base images. Raises NoEngineError."""
    with own_engine(CACHE) as engine, tempfile.TemporaryDirectory() as folder:
        bases = base_images(engine)
        build_images(engine, bases, Path(folder), "auth", *TOOLS)
        return bases
