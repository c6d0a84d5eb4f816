"""What can be set, with its unit and its default. Everything here is immutable."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

MODERN_VERSION: Final = "2026-07-28"
HANDSHAKE_VERSIONS: Final = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
LATEST_HANDSHAKE_VERSION: Final = HANDSHAKE_VERSIONS[0]
SUPPORTED_VERSIONS: Final = (MODERN_VERSION, "2025-11-25", "2025-06-18", "2025-03-26")

Isolation = Literal["session", "user", "shared"]
Era = Literal["handshake", "modern"]

MIB: Final = 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

PASSED_VARIABLES: Final = (
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LOGNAME",
    "PATH",
    "SHELL",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
)
"""The only variables of the proxy's own environment that a server sees unasked."""


class SettingsError(ValueError):
    """A setting is missing, malformed, or contradicts another. The text names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One stdio server and the limits it runs under. Times are seconds, sizes bytes."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    isolation: Isolation = "session"
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
        if not self.command or not self.command[0]:
            raise SettingsError(f"server {self.name}: the command is empty")
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

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """The environment of this server's processes: the allow-list, then its own `env`."""
        passed = {name: inherited[name] for name in PASSED_VARIABLES if name in inherited}
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


LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The HTTP side, common to all servers behind one proxy. Times are seconds, sizes bytes."""

    host: str = "127.0.0.1"
    port: int = 3000
    allowed_hosts: tuple[str, ...] = LOOPBACK_HOSTS
    allowed_origins: tuple[str, ...] = LOOPBACK_HOSTS
    trust_identity: bool = False
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
        if self.max_body < 1024:
            raise SettingsError("max_body must be at least 1024 bytes")
        if self.max_events < 1 or self.max_event_bytes < 1024:
            raise SettingsError("max_events must be at least 1, max_event_bytes at least 1024")
        for name in ("event_lifetime", "keepalive", "stream_after"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} must be more than 0 seconds")


def check(settings: Settings, servers: tuple[Server, ...]) -> None:
    """Raise SettingsError for what no single server can know about itself."""
    seen: set[str] = set()
    for server in servers:
        if server.name in seen:
            raise SettingsError(f"server {server.name} is defined twice")
        seen.add(server.name)
        if server.isolation == "user" and not settings.trust_identity:
            raise SettingsError(
                f"server {server.name}: isolation 'user' needs MCP_TRUST_IDENTITY=true, "
                "which says that a gateway in front sets X-User-Id"
            )
