"""What a local run starts: every service, its command, its environment and how it is reached."""

from __future__ import annotations

import secrets
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from mcp_oauth_dynamicclient._common.telemetry import configured

from . import local_settings, routes
from .own_servers import OwnServer

NOTHING: Mapping[str, str] = {}
NATIVE = ("echo-stateless", "echo-stateful", "fetch", "time")
"""The servers of a local run, beside the person's own."""
BIN = Path(sys.executable).parent
MAX_HEAD = 32768
"""Bytes of a request's line and headers together; docker-compose.yml has the same."""


@dataclass(frozen=True)
class Service:
    name: str
    command: tuple[str, ...]
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)
    served: bool = True
    """Whether it is an MCP server with an address at the edge."""
    public_url: str = ""
    """What clients get."""
    own: bool = False
    """Whether it is one of the person's own servers."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True)
class Internal:
    """The edge's entry point for the services behind it, and the secret that guards its API."""

    port: int
    secret: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def new_internal() -> Internal:
    return Internal(free_port(), secrets.token_hex(32))


def authorization_server(settings: Mapping[str, str], internal: Internal) -> Service:
    environment = {**settings, "EDGE_URL": internal.url, "EDGE_SECRET": internal.secret}
    port = free_port()
    command = (str(BIN / "mcp-oauth-server"), "serve", "--host", "127.0.0.1", "--port", str(port))
    return Service("auth", command, port, environment, served=False)


class LocalServers:
    """Servers of a local run, each on a free port, that believe the gateway."""

    def __init__(self, url: Callable[[str], str], internal: Internal, environment: Mapping[str, str]) -> None:
        self._url = url
        self._identity = f"{internal.url}/internal/identity"
        self._environment = environment

    def native(self, state: Path) -> list[Service]:
        """The three native servers and one unmodified stdio server. What they keep stands in the folder."""
        of_servers = local_settings.of_servers(self._environment)
        echo_state = of_servers.get("MCP_ECHO_STATE_URL") or f"sqlite:///{state / 'echo.db'}"
        time = ("mcp-streamablehttp-proxy", "--name", "time", "--", str(BIN / "mcp-server-time"))
        return [
            self._service("echo-stateless", of_servers, "mcp-echo-streamablehttp-server-stateless"),
            self._service(
                "echo-stateful",
                {**of_servers, "MCP_ECHO_STATE_URL": echo_state},
                "mcp-echo-streamablehttp-server-stateful",
            ),
            self._service("fetch", of_servers, "mcp-fetch-streamablehttp-server"),
            self._service("time", of_servers, *time),
        ]

    def own(self, server: OwnServer) -> Service:
        """A proxy for one of the person's own, which reads its entry in the file and follows its changes."""
        environment = local_settings.of_own_servers(self._environment)
        program = ("mcp-streamablehttp-proxy", "--config", str(server.file), "--only", server.entry)
        return replace(self._service(server.name, environment, *program), own=True)

    def _service(self, name: str, environment: Mapping[str, str], program: str, *arguments: str) -> Service:
        port, url = free_port(), self._url(name)
        given = environment.get("MCP_ALLOWED_HOSTS") or "localhost,127.0.0.1,[::1]"
        decided = {
            "MCP_ALLOWED_HOSTS": f"{given},{urlsplit(url).netloc}",
            "MCP_BIND_HOST": "127.0.0.1",
            "MCP_PORT": str(port),
            "MCP_PUBLIC_URL": url,
            "MCP_IDENTITY_URL": self._identity,
            "MCP_TRUST_IDENTITY": "true",
        }
        return Service(
            name, (str(BIN / program), *arguments), port, {**environment, **decided}, public_url=url
        )


def edge(
    services: Sequence[Service],
    port: int,
    public_url: str,
    internal: Internal,
    front_proxies: str = "",
    *,
    base_domain: str = "",
    rules: Path = routes.SOURCE,
    environment: Mapping[str, str] = NOTHING,
) -> Service:
    """Traefik on `port`, in front of the others; `public_url` or `base_domain` says what addresses are.

    `front_proxies`: addresses or networks, with commas, whose `X-Forwarded-For` is believed. `rules`: the
    folder of its rules, which it follows. `environment` says where spans are sent.
    """
    verify = free_port()
    options = (
        f"--entrypoints.web.address=127.0.0.1:{port}",
        # Or else every other entry point would take the servers' routers too, without a gate.
        "--entrypoints.web.asdefault=true",
        f"--entrypoints.web.http.maxheaderbytes={MAX_HEAD}",
        "--entrypoints.web.http.middlewares=edge@file",
        "--entrypoints.web.http.aliasheadersstrategy=delete",
        *(
            f"--entrypoints.web.http.encodedcharacters.allowencoded{character}=false"
            for character in ("slash", "backslash", "nullcharacter", "percent")
        ),
        "--entrypoints.websecure.address=127.0.0.1:0",
        "--entrypoints.websecure.http.middlewares=edge@file",
        f"--entrypoints.verify.address=127.0.0.1:{verify}",
        "--entrypoints.verify.forwardedheaders.insecure=true",  # they are the gate's own
        "--entrypoints.verify.http.aliasheadersstrategy=delete",
        "--entrypoints.websecure.http.aliasheadersstrategy=delete",
        f"--entrypoints.web.forwardedheaders.trustedips={front_proxies}",
        f"--entrypoints.internal.address=127.0.0.1:{internal.port}",
        "--entrypoints.internal.http.aliasheadersstrategy=delete",
        "--metrics.prometheus.manualrouting=true",
        "--api=true",
        "--api.dashboard=false",
        f"--providers.file.directory={rules}",
        # At once and in order: its rules are there before the first request is answered with 404.
        "--providers.providersthrottleduration=0s",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
        "--log.level=WARN",
        "--log.nocolor=true",
        *tracing(environment),
    )
    own = {
        "PUBLIC_URL": "" if base_domain else public_url,
        "BASE_DOMAIN": base_domain,
        "AUTH_URLS": " ".join(service.url for service in services if service.name == "auth"),
        "VERIFY_URL": f"http://127.0.0.1:{verify}",
        "EDGE_SECRET": internal.secret,
        "LOCAL_SERVERS": " ".join(f"{s.name}={s.url}" for s in services if s.served),
        **{name: value for name, value in environment.items() if name.startswith("OTEL_")},
    }
    return Service("traefik", (str(BIN / "traefik"), *options), port, own, served=False)


def tracing(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Traefik's words for OpenTelemetry's settings; docker-compose.yml has the same."""
    base = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    endpoint = environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or (
        f"{base.rstrip('/')}/v1/traces" if base else ""
    )
    if not configured(environment):
        return ()
    options = (
        f"--tracing.otlp.http.endpoint={endpoint}",
        "--entrypoints.verify.observability.tracing=false",  # the gate's question has a span already
        "--entrypoints.internal.observability.tracing=false",
    )
    rate = environment.get("OTEL_TRACES_SAMPLER_ARG")
    return (*options, f"--tracing.samplerate={rate}") if rate else options


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
