"""Sessions of the handshake era, opened the plain way, and the raw requests for the load generator."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, field
from typing import Any

from .load import NUMBER, Load

PROTOCOL = "2025-06-18"
MODERN = "2026-07-28"
PREFIX = "io.modelcontextprotocol/"
HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
INITIALIZE = {
    "protocolVersion": PROTOCOL,
    "capabilities": {},
    "clientInfo": {"name": "benchmark", "version": "1"},
}


def text(size: int) -> str:
    """`size` bytes of plain English."""
    sentence = "The quick brown fox jumps over the lazy dog and finds what it was looking for. "
    return (sentence * (size // len(sentence) + 1))[:size]


class SessionError(Exception):
    """The server did not do what every MCP server does."""


@dataclass(frozen=True)
class Session:
    port: int
    path: str
    headers: dict[str, str]
    envelope: dict[str, Any] = field(default_factory=dict)
    """Members of `params` beside the tool's."""

    @classmethod
    def modern(cls, port: int, path: str) -> Session:
        """No session at all: calls of 2026-07-28, each of which stands for itself."""
        chosen = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": "echo"}
        meta = {f"{PREFIX}protocolVersion": MODERN, f"{PREFIX}clientCapabilities": {}}
        return cls(port, path, HEADERS | chosen, {"_meta": meta})

    @classmethod
    def open(cls, port: int, path: str) -> Session:
        """`initialize` and `notifications/initialized`."""
        session = cls(port, path, HEADERS)
        head = session._post("initialize", INITIALIZE, 1)
        chosen = {"MCP-Protocol-Version": PROTOCOL}
        if (identifier := head.get("mcp-session-id")) is not None:
            chosen["Mcp-Session-Id"] = identifier
        session = cls(port, path, HEADERS | chosen)
        session._post("notifications/initialized", {}, None)
        return session

    def request(self, method: str, params: dict[str, Any]) -> None:
        self._post(method, params, 2)

    def load(self, said: str, connections: int, seconds: float) -> Load:
        """Calls of the tool `echo` that say this."""
        params = {"name": "echo", "arguments": {"text": said}, **self.envelope}
        body = json.dumps({"jsonrpc": "2.0", "id": NUMBER, "method": "tools/call", "params": params})
        body = body.replace(f'"{NUMBER}"', NUMBER)
        fields = {
            "Host": f"127.0.0.1:{self.port}", **self.headers, "Content-Length": str(len(body)),
        }  # fmt: skip
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return Load(self.port, f"POST {self.path} HTTP/1.1\r\n{head}\r\n{body}", connections, seconds)

    def _post(self, method: str, params: dict[str, Any], identifier: int | None) -> dict[str, str]:
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
        if identifier is not None:
            message["id"] = identifier
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", self.path, json.dumps(message), self.headers)
            response = connection.getresponse()
            body = response.read()
            if response.status >= 300 or (identifier is not None and b'"result"' not in body):
                raise SessionError(f"{method} was answered with {response.status} {body[:200]!r}")
            return {name.lower(): value for name, value in response.getheaders()}
        finally:
            connection.close()
