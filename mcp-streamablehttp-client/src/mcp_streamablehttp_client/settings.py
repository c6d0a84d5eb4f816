"""What one connection to one server is made of."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from .errors import ClientError
from .trust import SYSTEM, Trust

_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Longest JSON-RPC message relayed in either direction."""

MODERN_VERSION = "2026-07-28"
PROTOCOLS = (MODERN_VERSION, "2025-11-25", "2025-06-18", "2025-03-26", "sse")
"""What may be pinned; `sse` is the HTTP+SSE transport of 2024-11-05."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_OWN_HEADERS = frozenset(
    {"accept", "connection", "content-length", "content-type", "host", "transfer-encoding"}
)


@dataclass(frozen=True)
class Enterprise:
    """A company's identity provider: where it exchanges tokens, this client's id there, and the
    person's identity token."""

    token_endpoint: str
    client_id: str
    identity_token: str


@dataclass(frozen=True)
class Settings:
    """Options of a connection.

    `timeout` is in seconds and bounds silence, not the whole request: a tool that runs for an
    hour is fine as long as the server keeps the stream alive. `first_answer` seconds after it asked,
    a host is answered even if there is no connection yet (see lobby). `protocol` pins the version spoken
    with the server, or `sse`; None finds out. `client_key` is a private key to authenticate with,
    `machine` asks for tokens in the client's own name instead of a person's.
    """

    server_url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    client_metadata_url: str | None = None
    scope: str | None = None
    callback_port: int = 0
    timeout: float = 300.0
    first_answer: float = 4.0
    client_key: Path | None = None
    machine: bool = False
    enterprise: Enterprise | None = field(default=None, repr=False)
    trust: Trust = SYSTEM
    protocol: str | None = None

    @property
    def without_person(self) -> bool:
        return self.machine or self.enterprise is not None

    @property
    def brings_own_authorization(self) -> bool:
        return any(name.lower() == "authorization" for name, _ in self.headers)


def is_loopback(host: str | None) -> bool:
    """Whether a host name is this machine's own; names under .localhost are (RFC 6761 section 6.3)."""
    return host is not None and (host in _LOOPBACK_HOSTS or host.endswith(".localhost"))


def server_url(text: str) -> str:
    """Check a server URL as a person typed it; raises ClientError saying what is wrong."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise ClientError(f"{text!r} is not a URL.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ClientError(
            f"{text!r} is not a server URL; it must look like https://host/path, e.g. "
            "https://time.example.com/mcp."
        )
    if parts.username is not None or parts.password is not None:
        raise ClientError("A server URL must not contain a user name or password; use --header.")
    if parts.fragment:
        raise ClientError("A server URL must not contain a fragment (#...).")
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise ClientError("A server URL must not contain spaces or non-ASCII characters.")
    return text


def header(text: str) -> tuple[str, str]:
    """Parse one `Name: value` line; raises ClientError without repeating the value."""
    name, separator, value = text.partition(":")
    name, value = name.strip(), value.strip()
    if not separator or not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
        raise ClientError('A header must look like "Name: value".')
    if name.lower() in _OWN_HEADERS or name.lower().startswith("mcp-"):
        raise ClientError(f"The header {name} is set by the client itself.")
    return name, value


def header_file(path: Path) -> list[tuple[str, str]]:
    """Read `Name: value` lines; blank lines and lines that start with # are skipped."""
    return [
        header(line)
        for line in read_text(path).splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]


def read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ClientError(f"Cannot read {path}: {reason}.") from error
