"""Where a request goes."""

from __future__ import annotations

from urllib.parse import urlsplit

Headers = list[tuple[str, str]]


class Target:
    """A URL taken apart once."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url = url
        self.tls = parts.scheme == "https"
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if self.tls else 80)
        self.path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        literal = f"[{self.host}]" if ":" in self.host else self.host
        self.authority = literal if parts.port is None else f"{literal}:{self.port}"

    @property
    def origin(self) -> tuple[bool, str, int]:
        return self.tls, self.host, self.port
