"""One engine, one set of images, and the running gateway in both shapes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.base_images import base_images
from tests.compose.engine import CACHE, Engine, NoEngineError, docker_engine
from tests.compose.stack import SHAPES, Stack, build_images, start_compose


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    try:
        with docker_engine(CACHE) as running:
            yield running
    except NoEngineError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def images(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Base images and the gateway's own, present in the engine: the variables that name them."""
    try:
        made = base_images(engine)
    except NoEngineError as error:
        pytest.fail(str(error), pytrace=False)
    build_images(engine, made, tmp_path_factory.mktemp("build"))
    return made


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compose")


@pytest.fixture(scope="session", params=SHAPES)
def stack(
    request: pytest.FixtureRequest, engine: Engine, images: dict[str, str], folder: Path
) -> Iterator[Stack]:
    """The gateway as `just up` starts it, once for each shape of addresses."""
    with start_compose(engine, images, folder, request.param) as running:
        yield running
