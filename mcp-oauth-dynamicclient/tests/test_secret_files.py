"""Secrets from files: as good as from the environment, and clear when they cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from mcp_oauth_dynamicclient.errors import SettingsError
from mcp_oauth_dynamicclient.secret_files import secret_fields
from mcp_oauth_dynamicclient.settings import Settings, load_settings

SECRET = "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBLIC_URL", "http://localhost:8080")
    monkeypatch.setenv("LOCAL_ACCOUNTS", "true")


@pytest.mark.parametrize("name", [name.upper() for name in secret_fields(Settings.model_fields)])
def test_every_secret_can_be_a_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_SECRET", SECRET)
    monkeypatch.delenv(name, raising=False)
    for other in ("GITHUB_CLIENT_ID", "OIDC_CLIENT_ID"):
        monkeypatch.setenv(other, "an-id")
    monkeypatch.setenv("OIDC_ISSUER", "https://login.example.com")
    for other in {"GITHUB_CLIENT_SECRET", "OIDC_CLIENT_SECRET"} - {name}:
        monkeypatch.setenv(other, "a secret")
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    monkeypatch.setenv(f"{name}_FILE", str(file))
    assert getattr(load_settings(), name.lower()).get_secret_value() == SECRET


def test_the_secrets_are_known_by_their_type() -> None:
    assert {"gateway_secret", "github_client_secret", "oidc_client_secret", "store_password"} <= set(
        secret_fields(Settings.model_fields)
    )
    for name in Settings.model_fields:
        assert ("secret" in name or "password" in name) <= (name in secret_fields(Settings.model_fields))


def test_an_empty_file_is_an_unset_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").write_text("\n")
    monkeypatch.setenv("GITHUB_CLIENT_SECRET_FILE", str(tmp_path / "empty"))
    monkeypatch.setenv("GATEWAY_SECRET", SECRET)
    assert load_settings().github_client_secret is None
    monkeypatch.delenv("GATEWAY_SECRET")
    monkeypatch.setenv("GATEWAY_SECRET_FILE", str(tmp_path / "empty"))
    with pytest.raises(SettingsError, match="GATEWAY_SECRET: is required"):
        load_settings()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_SECRET_FILE", str(tmp_path / "absent"))
    with pytest.raises(SettingsError, match=r"GATEWAY_SECRET_FILE: .*absent cannot be read"):
        load_settings()


def test_a_secret_in_two_places_is_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text(SECRET)
    monkeypatch.setenv("GATEWAY_SECRET_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("GATEWAY_SECRET", SECRET)
    with pytest.raises(SettingsError, match="either GATEWAY_SECRET or GATEWAY_SECRET_FILE, not both"):
        load_settings()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://redis:6379/0", "redis://:p%40ss@redis:6379/0"),
        ("rediss://gateway@redis:6379/0", "rediss://gateway:p%40ss@redis:6379/0"),
        ("sqlite:///auth.db", "sqlite:///auth.db"),
    ],
)
def test_a_stores_password_may_stand_apart_from_its_url(url: str, address: str) -> None:
    settings = load_settings(gateway_secret=SECRET, store_url=url, store_password="p@ss")
    assert settings.store_address == address
