"""What a proxy with siblings keeps to itself, and whose a request is that names no session."""

from __future__ import annotations

from typing import Any

import pytest
from mcp_streamablehttp_proxy._common.replica_set import ReplicaSettings
from mcp_streamablehttp_proxy._common.settings import SettingsError
from mcp_streamablehttp_proxy.app import create_app
from mcp_streamablehttp_proxy.replica_key import replica_key
from mcp_streamablehttp_proxy.settings import Server, Settings

MODERN = "2026-07-28"
AMONG = ReplicaSettings(secret=b"0123456789abcdef0123456789abcdef", names=(("tasks.time", 3000),), port=3000)


def test_a_server_is_not_given_the_secret() -> None:
    server = Server(name="time", command=("true",))
    inherited = {"MCP_REPLICA_SECRET": "word", "MCP_REPLICA_SECRET_FILE": "/run/secrets/word", "PATH": "/bin"}
    assert server.environment(inherited) == {"PATH": "/bin"}


def test_the_old_transport_is_refused_beside_replicas() -> None:
    with pytest.raises(SettingsError, match="MCP_REPLICAS"):
        Settings(replicas=AMONG, sse=True)


@pytest.mark.parametrize(
    ("options", "version", "key"),
    [
        ({}, None, None),
        ({}, MODERN, "time ada"),
        ({"isolation": "user"}, None, "time ada"),
        ({"isolation": "user"}, MODERN, "time ada"),
        ({"isolation": "shared"}, MODERN, None),
        ({"stateless": True}, MODERN, None),
    ],
)
def test_a_request_is_its_users_where_the_user_has_a_process(
    options: dict[str, Any], version: str | None, key: str | None
) -> None:
    server = Server(name="time", command=("true",), **options)
    app = create_app(servers=(server,), settings=Settings(replicas=AMONG, trust_identity=True))
    headers = [(b"x-user-id", b"ada")]
    if version is not None:
        headers.append((b"mcp-protocol-version", version.encode()))
    scope = {"headers": headers, "mcp_endpoint": app.hub.endpoints["time"]}
    assert replica_key(scope, app.hub.guard, by_key=False) == key


def test_an_api_key_stands_for_its_user() -> None:
    server = Server(name="time", command=("true",))
    app = create_app(servers=(server,), settings=Settings(replicas=AMONG))
    headers = [(b"authorization", b"Bearer one"), (b"mcp-protocol-version", MODERN.encode())]
    scope = {"headers": headers, "mcp_endpoint": app.hub.endpoints["time"]}
    assert replica_key(scope, app.hub.guard, by_key=True) == "time Bearer one"
