"""The address that people use for a server, as its operator states it; never taken from a request."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

ENDPOINT = "mcp"
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class PublicUrl:
    """What comes before the path of an endpoint: `https://time.example.com`, `http://localhost:8080/time`."""

    base: str

    @classmethod
    def parse(cls, text: str) -> PublicUrl:
        """From `https://time.example.com/mcp`. Raises ValueError."""
        wrong = ValueError(f"{text!r} is not the address of a server, such as https://time.example.com/mcp")
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise wrong from error
        host = parts.hostname
        if parts.scheme not in _DEFAULT_PORTS or not host or not text.isascii() or not text.isprintable():
            raise wrong
        if parts.query or parts.fragment or "@" in parts.netloc or " " in text:
            raise wrong
        host = f"[{host}]" if ":" in host else host
        authority = host if port in (None, _DEFAULT_PORTS[parts.scheme]) else f"{host}:{port}"
        path = parts.path.rstrip("/").removesuffix(f"/{ENDPOINT}").rstrip("/")
        return cls(f"{parts.scheme}://{authority}{path}")

    def resource(self, path: str) -> str:
        """The resource identifier (RFC 8707) of the endpoint that a path belongs to: `/mcp`, `/sub/mcp`, and
        whatever lies below them. Any other path belongs to the server's own endpoint."""
        segments = path.split("/")
        end = segments.index(ENDPOINT) + 1 if ENDPOINT in segments else 0
        return f"{self.base}{'/'.join(segments[:end]) if end else f'/{ENDPOINT}'}"

    def __str__(self) -> str:
        return f"{self.base}/{ENDPOINT}"
