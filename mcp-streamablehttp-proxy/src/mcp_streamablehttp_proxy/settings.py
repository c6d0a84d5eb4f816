"""What can be set, with its unit and its default. Everything here is immutable."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from ._common.public_url import PublicUrl
from ._common.replica_set import ReplicaSettings
from ._common.settings import SettingsError
from .api_keys import ApiKey

Isolation = Literal["session", "user", "shared"]

MIB = 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

PASSED_VARIABLES = (
    "ALL_PROXY",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LOGNAME",
    "NODE_EXTRA_CA_CERTS",
    "NO_PROXY",
    "PATH",
    "REQUESTS_CA_BUNDLE",
    "SHELL",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
)
"""The only variables of the proxy's own environment that a server sees unasked: a home, a language, and what
reaching the network and its package registry needs. Proxies are read in lower case, too."""

PASSED_PREFIXES = ("UV_", "NPM_CONFIG_", "npm_config_", "PIP_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Which tools of a server clients have, by globs of the server's own names, and under which names."""

    allow: tuple[str, ...] = ("*",)
    deny: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    """New name by the server's own."""
    prefix: str = ""
    """Goes before every name, a new one as well."""

    def __post_init__(self) -> None:
        if len(set(self.rename.values())) < len(self.rename):
            raise SettingsError("tools: two tools are renamed to the same name")

    def shown_name(self, own: str) -> str | None:
        """What clients call a tool of the server; None if they do not have it."""
        if not _matches(own, self.allow) or _matches(own, self.deny):
            return None
        if own not in self.rename and own in self.rename.values():
            return None  # another tool has its name now
        return self.prefix + self.rename.get(own, own)

    def own_name(self, shown: str) -> str | None:
        """What the server calls a tool that clients call so; None if they have none of that name."""
        name = shown.removeprefix(self.prefix)
        own = next((old for old, new in self.rename.items() if new == name), name)
        return own if self.shown_name(own) == shown else None


def _matches(name: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server and the limits it runs under: on stdio, unless a subclass says otherwise. Times are seconds,
    sizes bytes."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    alone: bool = False
    """Whether it is the one server given as a command, which is served at /mcp and not at /NAME/mcp."""
    tools: Tools | None = None
    combined: bool = True
    """Whether it is part of the combination at /mcp, where there is one."""
    combined_prefix: str | None = None
    """What its names begin with there; its own name and "_" by default."""
    isolation: Isolation = "session"
    stateless: bool = False
    """Whether the server keeps nothing between calls, so that each may have a process of its own."""
    prewarm: int = 0
    max_children: int = 64
    max_sessions: int = 10_000
    wait: float = 10.0
    idle_timeout: float = 300.0
    start_timeout: float = 120.0
    request_timeout: float = 600.0
    stop_timeout: float = 5.0
    max_line: int = 64 * MIB
    memory: int | None = None
    cpu: int | None = None
    log_bodies: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise SettingsError(
                f"server name {self.name!r}: use letters, digits, '.', '_' and '-', at most 64"
            )
        self._check_command()
        if self.isolation not in ("session", "user", "shared"):
            raise SettingsError(
                f"server {self.name}: isolation must be session, user or shared, not {self.isolation!r}"
            )
        for name in ("max_children", "max_sessions"):
            if getattr(self, name) < 1:
                raise SettingsError(f"server {self.name}: {name} must be at least 1")
        for name in ("prewarm", "wait"):
            if getattr(self, name) < 0:
                raise SettingsError(f"server {self.name}: {name} must not be negative")
        for name in ("idle_timeout", "start_timeout", "request_timeout", "stop_timeout"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"server {self.name}: {name} must be more than 0 seconds")
        if self.prewarm >= self.max_children:
            raise SettingsError(
                f"server {self.name}: prewarm ({self.prewarm}) must be below "
                f"max_children ({self.max_children})"
            )
        if self.max_line < 1024:
            raise SettingsError(f"server {self.name}: max_line must be at least 1024 bytes")
        for name in ("memory", "cpu"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingsError(f"server {self.name}: {name} must be at least 1")
        if self.cwd is not None and not Path(self.cwd).is_dir():
            raise SettingsError(f"server {self.name}: cwd {self.cwd} is not a directory")

    def _check_command(self) -> None:
        if not self.command or not self.command[0]:
            raise SettingsError(f"server {self.name}: the command is empty")

    @property
    def prefix(self) -> str:
        """What its names begin with in the combination: models are told no names with dots."""
        if self.combined_prefix is not None:
            return self.combined_prefix
        return self.name.replace(".", "_") + "_"

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """The environment of this server's processes: the allow-list, then its own `env`."""
        passed = {
            name: value
            for name, value in inherited.items()
            if name in PASSED_VARIABLES
            or name.startswith(PASSED_PREFIXES)
            or (name.endswith("_proxy") and name.upper() in PASSED_VARIABLES)
        }
        return {**passed, **self.env}

    def missing(self, inherited: Mapping[str, str]) -> str | None:
        """Why the command cannot be run, seen without running it; None when it can."""
        path = self.environment(inherited).get("PATH")
        program = self.command[0]
        if "/" in program and self.cwd and not program.startswith("/"):
            program = str(Path(self.cwd) / program)
        if shutil.which(program, path=path) is None:
            return f"{self.command[0]} is not installed or not executable"
        return None


Transport = Literal["http", "sse"]
"""Streamable HTTP, or the HTTP+SSE of 2024-11-05."""

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?")
_OWN_HEADERS = frozenset(
    ("accept", "accept-encoding", "connection", "content-length", "content-type", "host", "last-event-id")
) | {"transfer-encoding"}
"""What the proxy says itself, besides every name that begins with mcp-."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteServer(Server):
    """A server elsewhere. Where it may be is the operator's choice: private addresses are allowed."""

    command: tuple[str, ...] = ()
    url: str = field(repr=False)
    """May hold a secret, in its query."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with every request; they may hold a secret."""
    transport: Transport | None = None
    """None finds it out."""

    @property
    def address(self) -> str:
        """The url without its query, which may hold a secret."""
        return self.url.partition("?")[0]

    def _check_command(self) -> None:
        """Its address and headers, in place of a command."""
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or not self.url.isprintable() or " " in self.url:
            raise SettingsError(f"server {self.name}: url must be an http:// or https:// address")
        if parts.username is not None or parts.fragment:
            raise SettingsError(
                f"server {self.name}: url must hold no user name and no fragment; "
                "write credentials into headers"
            )
        for name, value in self.headers.items():
            if name.lower() in _OWN_HEADERS or name.lower().startswith("mcp-"):
                raise SettingsError(f"server {self.name}: header {name} is the proxy's own")
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
                raise SettingsError(
                    f"server {self.name}: header {name!r} must have a name and a value without line ends, "
                    "controls and characters outside Latin-1"
                )

    def missing(self, inherited: Mapping[str, str]) -> str | None:
        return None


COMBINED_NAME = "combined"
"""What messages, logs and metrics call all servers together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedServer(Server):
    """Several servers as one, at /mcp."""

    name: str = COMBINED_NAME
    command: tuple[str, ...] = ()
    max_children: int = 10_000
    """One for each session; it is no process."""

    def _check_command(self) -> None:
        """It has none."""

    def missing(self, inherited: Mapping[str, str]) -> str | None:
        return None


LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The HTTP side, common to all servers behind one proxy. Times are seconds, sizes bytes."""

    host: str = "127.0.0.1"
    port: int = 3000
    allowed_hosts: tuple[str, ...] = LOOPBACK_HOSTS
    allowed_origins: tuple[str, ...] = LOOPBACK_HOSTS
    trust_identity: bool = False
    public_url: PublicUrl | None = None
    """This proxy's own address, as people use it."""
    identity_url: str | None = None
    """Where the gateway gives its keys and renews statements; with it every request needs one."""
    cors_origins: tuple[str, ...] = ()
    """Web origins whose pages may read answers, without the gateway."""
    api_keys: tuple[ApiKey, ...] = ()
    """With any, every request needs one, without the gateway."""
    sse: bool = False
    """Whether HTTP+SSE, the transport of 2024-11-05, is served, too, without the gateway."""
    combine: bool = False
    """Whether all servers together are served at /mcp, too."""
    drain: float = 0.0
    """From SIGTERM on, how long everything is still served while health checks say 503."""
    replicas: ReplicaSettings | None = None
    """How this one and others of its kind find each other; None for a single instance."""
    max_body: int = 4 * MIB
    max_events: int = 256
    max_event_bytes: int = 4 * MIB
    event_lifetime: float = 300.0
    keepalive: float = 15.0
    retry: int = 1000
    """Milliseconds that a 2025-11-25 client is asked to wait before it resumes a stream."""
    stream_after: float = 1.0
    """A call that is not answered by then is moved to an event stream, where it can be resumed."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise SettingsError("port must be between 0 and 65535")
        if self.identity_url and self.public_url is None:
            raise SettingsError("MCP_IDENTITY_URL needs MCP_PUBLIC_URL, this server's own address")
        if self.identity_url and self.cors_origins:
            raise SettingsError(
                "MCP_CORS_ORIGINS is for use without the gateway, whose edge decides otherwise"
            )
        if self.identity_url and self.sse:
            raise SettingsError("MCP_SSE is for use without the gateway, which knows no such addresses")
        if self.api_keys and (self.identity_url or self.trust_identity):
            raise SettingsError(
                "MCP_API_KEY is for use without a gateway: with MCP_IDENTITY_URL or MCP_TRUST_IDENTITY, "
                "that says who comes"
            )
        if self.sse and self.replicas:
            raise SettingsError("--sse works with a single instance only: leave it out, or MCP_REPLICAS")
        if not 0 <= self.drain <= 60:
            raise SettingsError("drain must be between 0 and 60 seconds")
        if self.max_body < 1024:
            raise SettingsError("max_body must be at least 1024 bytes")
        if self.max_events < 1 or self.max_event_bytes < 1024:
            raise SettingsError("max_events must be at least 1, max_event_bytes at least 1024")
        for name in ("event_lifetime", "keepalive", "stream_after"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} must be more than 0 seconds")

    @property
    def tells_users(self) -> bool:
        """Whether X-User-Id says who comes: written by a gateway in front, or by the API keys' gate."""
        return self.trust_identity or bool(self.api_keys)


def contradiction(settings: Settings, server: Server) -> str | None:
    """What a server needs and the settings do not give."""
    if server.isolation != "user" or settings.trust_identity:
        return None
    if settings.api_keys:
        if all(key.name for key in settings.api_keys):
            return None
        return f"server {server.name}: isolation 'user' needs a name for every key: MCP_API_KEY=NAME:KEY"
    return (
        f"server {server.name}: isolation 'user' needs MCP_TRUST_IDENTITY=true, "
        "which says that a gateway in front sets X-User-Id, or MCP_API_KEY=NAME:KEY for each user"
    )


def check(settings: Settings, servers: tuple[Server, ...]) -> None:
    """Raise SettingsError for what no single server can know about itself."""
    seen: set[str] = set()
    for server in servers:
        if server.name in seen:
            raise SettingsError(f"server {server.name} is defined twice")
        seen.add(server.name)
        wrong = contradiction(settings, server)
        if wrong is not None:
            raise SettingsError(wrong)
    if settings.combine:
        _check_combination(servers)


def _check_combination(servers: tuple[Server, ...]) -> None:
    prefixes: dict[str, str] = {}
    for server in servers:
        if server.alone:
            raise SettingsError("one server alone cannot be combined: give several with --config")
        if server.name == COMBINED_NAME:
            raise SettingsError(
                f"{COMBINED_NAME} is what the combination is called: name the server otherwise"
            )
        if server.combined:
            other = prefixes.setdefault(server.prefix, server.name)
            if other != server.name:
                raise SettingsError(
                    f"servers {other} and {server.name} have the same prefix {server.prefix!r} in the "
                    'combination: give one of them another with "combined": "PREFIX"'
                )
