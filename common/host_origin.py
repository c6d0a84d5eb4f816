"""Which hosts a server answers to and which web pages may call it: the defence against DNS rebinding.

MCP 2025-11-25 and 2026-07-28, Streamable HTTP, Security Warning. Origins are compared as RFC 6454 section 5
says: scheme, host and port.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .settings import comma_list

_DEFAULT_PORTS = {"http": "80", "https": "443"}
_NAME = r"\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*"
_AUTHORITY = re.compile(rf"(?P<name>{_NAME})\.?(?::(?P<port>[0-9]{{1,5}}))?", re.IGNORECASE)
_RULE = re.compile(
    rf"(?:(?P<scheme>[a-z][a-z0-9+.-]*)://)?(?P<name>\*|(?:\*\.)?(?:{_NAME}))(?::(?P<port>\*|[0-9]{{1,5}}))?/?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class NameRule:
    """`example.com`, `*.example.com` (any name below it) or `*`; `port` None is any port."""

    name: str
    port: str | None = None

    def allows(self, name: str, ports: Iterable[str]) -> bool:
        """Whether a host in lower case, reached by one of these ports, is meant."""
        return (self.port is None or self.port in ports) and self._allows_name(name)

    def _allows_name(self, name: str) -> bool:
        if self.name.startswith("*."):
            return name.endswith(self.name[1:]) and len(name) > len(self.name) - 1
        return self.name in ("*", name)

    def __str__(self) -> str:
        return self.name if self.port is None else f"{self.name}:{self.port}"


@dataclass(frozen=True, slots=True)
class HostRule:
    """What a `Host` header may say.

    A host without a port is the scheme's own (RFC 9110 section 4.2). Which scheme that was is known only to
    the proxy in front, so `example.com` is what `example.com:443` asks for, and `example.com:80` too.
    """

    rule: NameRule

    @classmethod
    def parse(cls, text: str) -> HostRule:
        """The rule that is written `example.com`, `example.com:8443`, `example.com:*`, or a whole address,
        whose host and port count. Raises ValueError."""
        match = _RULE.fullmatch(text)
        if match is None:
            raise ValueError(
                f"{text!r} is not a host name such as example.com, example.com:8443 or *.example.com"
            )
        port = match["port"]
        return cls(NameRule(match["name"].lower(), None if port == "*" else port))

    def allows(self, host: str) -> bool:
        match = _AUTHORITY.fullmatch(host)
        if match is None:
            return False
        port = match["port"]
        return self.rule.allows(match["name"].lower(), _DEFAULT_PORTS.values() if port is None else (port,))

    def __str__(self) -> str:
        return str(self.rule)


@dataclass(frozen=True, slots=True)
class OriginRule:
    """What an `Origin` header may say: a NameRule, of http and https alike unless `scheme` names one."""

    scheme: str | None
    rule: NameRule

    @classmethod
    def parse(cls, text: str) -> OriginRule:
        """From `https://app.example.com` (that scheme, its own port), `https://app.example.com:8443`,
        `https://app.example.com:*`, or from a name with or without a port, of either scheme.
        Raises ValueError."""
        match = _RULE.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not an origin such as https://app.example.com")
        scheme, port = match["scheme"] and match["scheme"].lower(), match["port"]
        if scheme is not None and port is None:
            port = _DEFAULT_PORTS.get(scheme)
        return cls(scheme, NameRule(match["name"].lower(), None if port == "*" else port))

    def allows(self, origin: str) -> bool:
        scheme, _, authority = origin.partition("://")
        match = _AUTHORITY.fullmatch(authority)
        if match is None or (scheme != self.scheme if self.scheme else scheme not in _DEFAULT_PORTS):
            return False
        port = match["port"] or _DEFAULT_PORTS.get(scheme, "")
        return self.rule.allows(match["name"].lower(), (port,))

    def __str__(self) -> str:
        return str(self.rule) if self.scheme is None else f"{self.scheme}://{self.rule}"


def cannot_be_rebound(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the one Host is an IP address or a single label, such as a container's name.

    DNS rebinding needs a name in a domain of the attacker's own.
    """
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    match = _AUTHORITY.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if match is None:
        return False
    name = match["name"]
    return "." not in name or name.replace(".", "").isdecimal()


def host_rules(text: str) -> tuple[HostRule, ...]:
    """The rules of a comma list. Raises ValueError for the first malformed entry."""
    return tuple(HostRule.parse(entry) for entry in comma_list(text))


def origin_rules(text: str) -> tuple[OriginRule, ...]:
    """The rules of a comma list. Raises ValueError for the first malformed entry."""
    return tuple(OriginRule.parse(entry) for entry in comma_list(text))


@dataclass(frozen=True, slots=True)
class Misdirected:
    """Why a request is not answered: an HTTP status and a sentence."""

    status: int
    sentence: str


_FOREIGN_HOST = Misdirected(421, "This server does not answer to that Host; list it in MCP_ALLOWED_HOSTS.")
_FOREIGN_ORIGIN = Misdirected(
    403, "Pages of that Origin may not call this server; list it in MCP_ALLOWED_ORIGINS."
)


@dataclass(frozen=True, slots=True)
class Guard:
    """Both lists, asked about every request before anything else looks at it."""

    hosts: tuple[HostRule, ...]
    origins: tuple[OriginRule, ...]

    def objection(self, headers: Iterable[tuple[bytes, bytes]]) -> Misdirected | None:
        """421 for a Host and 403 for an Origin that is not listed; None for a welcome request.

        `headers` has its names in lower case, as ASGI does. Exactly one Host is wanted (RFC 9112
        section 3.2); programs that are no browsers send no Origin.
        """
        hosts, origins = [], []
        for name, value in headers:
            if name == b"host":
                hosts.append(value.decode("latin-1"))
            elif name == b"origin":
                origins.append(value.decode("latin-1"))
        if len(hosts) != 1 or not any(rule.allows(hosts[0]) for rule in self.hosts):
            return _FOREIGN_HOST
        if not all(any(rule.allows(origin) for rule in self.origins) for origin in origins):
            return _FOREIGN_ORIGIN
        return None
