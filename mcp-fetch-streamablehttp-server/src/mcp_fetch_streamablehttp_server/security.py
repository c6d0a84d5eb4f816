"""Host and Origin checks against DNS rebinding (MCP 2025-11-25 and 2026-07-28, Streamable HTTP, Security)."""

import json
import re
from dataclasses import dataclass
from typing import Self

from starlette.types import ASGIApp, Receive, Scope, Send

_AUTHORITY = re.compile(
    r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)\.?(?::(?P<port>[0-9]{1,5}))?", re.IGNORECASE
)
_RULE = re.compile(
    r"(?P<name>\*|\[[0-9a-f:.]+\]|(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::(?P<port>\*|[0-9]{1,5}))?",
    re.IGNORECASE,
)
_DEFAULT_PORTS = {"http": "80", "https": "443"}


@dataclass(frozen=True)
class NameRule:
    """`example.com` (any port), `example.com:8443`, `*.example.com` (any name below it) or `*`."""

    name: str
    port: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        match = _RULE.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a host name")
        port = match["port"]
        return cls(match["name"].lower(), None if port == "*" else port)

    def __str__(self) -> str:
        return self.name if self.port is None else f"{self.name}:{self.port}"

    def allows(self, authority: str) -> bool:
        match = _AUTHORITY.fullmatch(authority)
        if match is None:
            return False
        return self.allows_name(match["name"].lower()) and self.port in (None, match["port"])

    def allows_name(self, name: str) -> bool:
        if self.name.startswith("*."):
            return name.endswith(self.name[1:]) and len(name) > len(self.name) - 1
        return self.name in ("*", name)


@dataclass(frozen=True)
class OriginRule:
    """A NameRule for any scheme and port, or one with a scheme, whose port then counts."""

    scheme: str | None
    rule: NameRule

    @classmethod
    def parse(cls, text: str) -> Self:
        scheme, separator, rest = text.rpartition("://")
        if separator and scheme not in _DEFAULT_PORTS:
            raise ValueError(f"{text!r} is not an http or https origin")
        rule = NameRule.parse(rest)
        if separator and rule.port is None and not rest.endswith(":*"):
            rule = NameRule(rule.name, _DEFAULT_PORTS[scheme])
        return cls(scheme or None, rule)

    def __str__(self) -> str:
        return str(self.rule) if self.scheme is None else f"{self.scheme}://{self.rule}"

    def allows(self, origin: str) -> bool:
        scheme, _, authority = origin.partition("://")
        match = _AUTHORITY.fullmatch(authority)
        if match is None or scheme not in _DEFAULT_PORTS or self.scheme not in (None, scheme):
            return False
        port = match["port"] or _DEFAULT_PORTS[scheme]
        return self.rule.allows_name(match["name"].lower()) and self.rule.port in (None, port)


class HostOriginGuard:
    """421 for a Host and 403 for an Origin that is not listed; /health is open to every probe."""

    def __init__(self, app: ASGIApp, hosts: tuple[NameRule, ...], origins: tuple[OriginRule, ...]) -> None:
        self.app = app
        self.hosts = hosts
        self.origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == "/health":
            await self.app(scope, receive, send)
            return
        hosts = _header(scope, b"host")
        if len(hosts) != 1 or not any(rule.allows(hosts[0]) for rule in self.hosts):
            await refuse(send, 421, "This server does not answer to that Host; list it in MCP_ALLOWED_HOSTS.")
        elif not all(
            any(rule.allows(origin) for rule in self.origins) for origin in _header(scope, b"origin")
        ):
            await refuse(
                send, 403, "Pages of that Origin may not call this server; list it in MCP_ALLOWED_ORIGINS."
            )
        else:
            await self.app(scope, receive, send)


def _header(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


async def refuse(
    send: Send, status: int, sentence: str, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    """Answer with an HTTP status and a JSON-RPC error that has no id (JSON-RPC 2.0, section 5)."""
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": sentence}}
    body = json.dumps(error).encode()
    length = str(len(body)).encode()
    head = [(b"content-type", b"application/json"), (b"content-length", length), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})
