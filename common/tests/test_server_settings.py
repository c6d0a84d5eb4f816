"""One reading of what all native servers share."""

from __future__ import annotations

from typing import ClassVar

import pytest

from common.server_settings import ServerSettings
from common.settings import SettingsError


class Settings(ServerSettings):
    old_names: ClassVar[dict[str, str]] = {"MCP_OLD_PORT": "port"}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MCP_OLD_PORT", *(f"MCP_{field.upper()}" for field in Settings.model_fields)):
        monkeypatch.delenv(name, raising=False)


def test_an_argument_wins_over_the_variable_and_that_over_its_old_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Settings.load().port == 3000
    monkeypatch.setenv("MCP_OLD_PORT", "1")
    assert Settings.load().port == 1
    monkeypatch.setenv("MCP_PORT", "2")
    assert Settings.load().port == 2
    assert Settings.load(port=3, debug=None).port == 3


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("MCP_OLD_PORT", "x", "MCP_OLD_PORT must be a port number from 0 to 65535, not 'x'"),
        ("MCP_PUBLIC_URL", "time", "MCP_PUBLIC_URL must be this server's own address"),
        ("MCP_IDENTITY_URL", "http://a/b", "MCP_IDENTITY_URL needs MCP_PUBLIC_URL"),
        ("MCP_ALLOWED_ORIGINS", "a b", "MCP_ALLOWED_ORIGINS must be a comma list of origins"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_as_it_was_given(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as error:
        Settings.load()
    assert str(error.value).startswith(sentence)
