"""Somebody with an empty machine and a clone comes to a signed-in call by what the pages say."""

from __future__ import annotations

import pytest

from tests.compose.base_images import base_images
from tests.compose.engine import Engine
from tests.newcomer.container import empty_debian
from tests.newcomer.walking import Walker
from tests.newcomer.walks import LAPTOP

pytestmark = [pytest.mark.compose, pytest.mark.timeout(2400)]


def test_from_an_empty_machine_to_a_signed_in_call(engine: Engine) -> None:
    with (
        empty_debian(engine, base_images(engine)["PYTHON_IMAGE"]) as container,
        container.terminal() as terminal,
    ):
        walker = Walker(container, terminal)
        walker.walk(LAPTOP)
        assert not walker.failed
        # What it started is gone with it.
        assert "traefik" not in container.run("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
