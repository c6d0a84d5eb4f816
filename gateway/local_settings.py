"""Which settings of the environment reach which process of a local run."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mcp_oauth_dynamicclient.settings import Settings, load_settings
from mcp_oauth_dynamicclient.store import open_store

MACHINE = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "SSL_CERT_FILE",
    "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy",
    "https_proxy", "all_proxy", "no_proxy",
)  # fmt: skip
"""What every process gets: a home, a language, and how the network is reached."""
OF_AUTH = frozenset(name.upper() for name in Settings.model_fields)
DECIDED = ("EDGE_URL", "EDGE_SECRET", "SERVERS")
"""The run's own: its edge tells the authorization server which servers there are."""
NOT_GIVEN = frozenset({*DECIDED, *(f"{name}_FILE" for name in DECIDED)})
SERVERS_DECIDED = (
    "MCP_BIND_HOST", "MCP_PORT", "MCP_PUBLIC_URL", "MCP_IDENTITY_URL", "MCP_TRUST_IDENTITY",
    "MCP_PROXY_CONFIG", "MCP_PROXY_COMBINE", "MCP_PROXY_ONLY", "MCP_PROXY_NAME",
    "MCP_ECHO_HOST", "MCP_ECHO_PORT", "MCP_API_KEY", "MCP_API_KEY_FILE",
)  # fmt: skip
"""The run's own: each server has a port and an address, and believes the gateway."""
OF_SERVERS = ("MCP_", "OTEL_", "LOG_FILE")


def machine(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name in MACHINE}


def of_auth(
    environment: Mapping[str, str], public_url: str | None, state: Path, secret: str
) -> dict[str, str]:
    """The authorization server's settings: those that are given, else what a local run needs.

    `public_url` is None where BASE_DOMAIN says what the addresses are.
    """
    given = {
        name: value
        for name, value in environment.items()
        if (name.removesuffix("_FILE") in OF_AUTH or name in OF_AUTH or name.startswith("OTEL_"))
        and name not in NOT_GIVEN
    }
    defaults = {"STORE_URL": f"sqlite:///{state / 'auth.db'}", "LOCAL_ACCOUNTS": "true"}
    if "GATEWAY_SECRET_FILE" not in given:
        defaults["GATEWAY_SECRET"] = secret
    settings = {**defaults, **{name: value for name, value in given.items() if value}}
    if public_url is None:
        settings.pop("PUBLIC_URL", None)
    else:
        settings["PUBLIC_URL"] = public_url
        settings.pop("BASE_DOMAIN", None)
    return settings


def of_servers(environment: Mapping[str, str]) -> dict[str, str]:
    """What a server of ours gets."""
    return machine(environment) | {
        name: value
        for name, value in environment.items()
        if name.startswith(OF_SERVERS) and name not in SERVERS_DECIDED
    }


def of_own_servers(environment: Mapping[str, str]) -> dict[str, str]:
    """What the proxy of a person's own server gets, which passes on to the server what its entry names and
    little more: everything but the authorization server's settings."""
    return {
        name: value
        for name, value in environment.items()
        if name.removesuffix("_FILE") not in OF_AUTH and name not in (*OF_AUTH, *SERVERS_DECIDED)
    }


@contextmanager
def _unset(names: Collection[str]) -> Iterator[None]:
    """What this process's own environment says of them is for another gateway."""
    said = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(said)


def checked(values: Mapping[str, str]) -> Settings:
    """The settings, checked by the server's own rules, so that nothing starts with what it will refuse.
    Raises SettingsError."""
    known = {name.lower(): value for name, value in values.items() if name.lower() in Settings.model_fields}
    absent = {name: None for name in ("base_domain", "public_url") if name not in known}
    with _unset(NOT_GIVEN):
        settings = load_settings(**known, **absent)
    open_store(settings.store_address)  # connects to nothing yet
    return settings
