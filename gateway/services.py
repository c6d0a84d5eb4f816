"""What a local run starts: every service, its command, its environment and how it is reached."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mcp_streamablehttp_proxy.settings import Server

NATIVE = ("auth", "echo-stateless", "echo-stateful", "fetch", "time", "traefik")
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


def local_services(auth_environment: Mapping[str, str], own: Sequence[Server] = ()) -> list[Service]:
    """The authorization server, the three native servers, one unmodified stdio server and the person's own
    ones, on free ports."""
    services = []
    trusting = {"MCP_TRUST_IDENTITY": "true"}

    def add(name: str, *start: str, end: Sequence[str] = (), **environment: str) -> None:
        port = free_port()
        program, *arguments = start
        command = (str(BIN / program), *arguments, "--port", str(port), *end)
        services.append(Service(name, command, port, environment, served=name != "auth"))

    add("auth", "mcp-oauth-server", "serve", "--host", "127.0.0.1", **auth_environment)
    add("echo-stateless", "mcp-echo-streamablehttp-server-stateless", **trusting)
    add("echo-stateful", "mcp-echo-streamablehttp-server-stateful", **trusting)
    add("fetch", "mcp-fetch-streamablehttp-server", **trusting)
    add("time", "mcp-streamablehttp-proxy", end=("--", str(BIN / "mcp-server-time")), **trusting)
    for server in own:
        # Values travel in the environment, where other users of the machine cannot read them.
        options = [option for name in server.env for option in ("--env", name)]
        options += ["--cwd", server.cwd] if server.cwd else []
        environment = {**server.env, **trusting}
        add(server.name, "mcp-streamablehttp-proxy", end=(*options, "--", *server.command), **environment)
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
