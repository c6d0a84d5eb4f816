"""What a local run starts: every service, its command, its environment and how it is reached."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

BIN = Path(sys.executable).parent
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
SIGN_IN = ("GITHUB_", "ALLOWED_", "OIDC_")
"""Settings of the authorization server that a local run takes from its own environment."""


@dataclass(frozen=True)
class Service:
    name: str
    command: tuple[str, ...]
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)
    served: bool = True
    """Whether it is an MCP server with an address at the edge."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def auth_settings(
    public_url: str, state: Path, secret: str, environment: Mapping[str, str]
) -> dict[str, str]:
    """The authorization server's settings in a local run; sign-in at a provider comes from `environment`."""
    return {
        **{name: value for name, value in environment.items() if name.startswith(SIGN_IN)},
        "PUBLIC_URL": public_url,
        "GATEWAY_SECRET": secret,
        "STORE_URL": f"sqlite:///{state / 'auth.db'}",
        "LOCAL_ACCOUNTS": "true",
    }


def local_services(auth_environment: Mapping[str, str]) -> list[Service]:
    """The authorization server, the three native servers and one unmodified stdio server, on free ports."""
    services = []

    def add(
        name: str, *command: str, environment: Mapping[str, str] | None = None, served: bool = True
    ) -> None:
        port = free_port()
        arguments = tuple(part.replace("{port}", str(port)) for part in command)
        program = (str(BIN / arguments[0]), *arguments[1:])
        services.append(Service(name, program, port, environment or {"MCP_TRUST_IDENTITY": "true"}, served))

    add(
        "auth",
        "mcp-oauth-server", "serve", "--host", "127.0.0.1", "--port", "{port}",
        environment=auth_environment,
        served=False,
    )  # fmt: skip
    add("echo-stateless", "mcp-echo-streamablehttp-server-stateless", "--port", "{port}")
    add("echo-stateful", "mcp-echo-streamablehttp-server-stateful", "--port", "{port}")
    add("fetch", "mcp-fetch-streamablehttp-server", "--port", "{port}")
    add("time", "mcp-streamablehttp-proxy", "--port", "{port}", "--", str(BIN / "mcp-server-time"))
    return services


def edge(services: list[Service], port: int, public_url: str) -> Service:
    """Traefik on `port`, in front of the others (traefik/dynamic.yml)."""
    rules = Path(__file__).resolve().parent.parent / "traefik" / "dynamic.yml"
    options = (
        f"--entrypoints.web.address=127.0.0.1:{port}",
        "--entrypoints.web.http.middlewares=edge@file",
        "--entrypoints.web.http.aliasheadersstrategy=delete",
        *(
            f"--entrypoints.web.http.encodedcharacters.allowencoded{character}=false"
            for character in ("slash", "backslash", "nullcharacter", "percent")
        ),
        "--entrypoints.websecure.address=127.0.0.1:0",
        "--entrypoints.websecure.http.middlewares=edge@file",
        f"--providers.file.filename={rules}",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
        "--log.level=WARN",
        "--log.nocolor=true",
    )
    environment = {
        "PUBLIC_URL": public_url,
        "AUTH_URL": next(service.url for service in services if service.name == "auth"),
        "LOCAL_SERVERS": " ".join(f"{s.name}={s.url}" for s in services if s.served),
    }
    return Service("traefik", (str(BIN / "traefik"), *options), port, environment, served=False)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
