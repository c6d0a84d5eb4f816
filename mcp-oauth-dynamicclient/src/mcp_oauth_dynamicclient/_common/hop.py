"""The way from a client to an MCP server, hop by hop, and what can be said about one of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Hop = Literal[
    "client",
    "url",
    "dns",
    "tcp",
    "tls",
    "edge",
    "gate",
    "https",
    "redirect",
    "challenge",
    "resource metadata",
    "issuer",
    "registration",
    "authorize",
    "token",
    "refresh",
    "audience",
    "session",
    "era",
    "handshake",
    "modern",
    "clock",
    "process",
    "port",
    "authorization server",
    "disk",
    "store",
    "keys",
    "person",
    "cookie",
    "server",
]
State = Literal["well", "warning", "wrong", "unseen"]

AUTHORIZATION = "MCP 2026-07-28, Authorization"
TRANSPORT = "MCP 2026-07-28, Transports"

_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_LONGEST_SENTENCE = 300


@dataclass(frozen=True)
class Verdict:
    """`what` is the case, `rule` the sentence it is measured by with its section, `cure` what to do;
    `said` is the server's own sentence."""

    hop: Hop
    state: State
    what: str
    rule: str = ""
    cure: str = ""
    said: str = ""

    def to_dict(self) -> dict[str, str]:
        return {name: value for name, value in asdict(self).items() if value}


def well(hop: Hop, what: str) -> Verdict:
    return Verdict(hop, "well", what)


def wrong(hop: Hop, what: str, rule: str, cure: str, said: str = "", *, state: State = "wrong") -> Verdict:
    return Verdict(hop, state, what, rule, cure, said)


def unseen(hop: Hop, why: str) -> Verdict:
    return Verdict(hop, "unseen", why)


@dataclass(frozen=True)
class Reply:
    """An HTTP answer as a fact; names of `headers` are in lower case, several of one name are
    joined with ", " (RFC 9110 section 5.3)."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def json(self) -> Any:
        """What the body says; None where it is no JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def document(self) -> dict[str, Any] | None:
        return value if isinstance(value := self.json, dict) else None

    @property
    def message(self) -> dict[str, Any] | None:
        """The JSON-RPC answer, alone or the last event of a stream that has one."""
        if self.media_type != "text/event-stream":
            return self.document
        found = None
        for event in re.split(r"\r\n\r\n|\n\n|\r\r", self.body.decode(errors="replace")):
            data = "\n".join(
                line[5:].removeprefix(" ") for line in event.splitlines() if line.startswith("data:")
            )
            try:
                value = json.loads(data)
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict) and ("result" in value or "error" in value):
                found = value
        return found

    @property
    def said(self) -> str:
        """The server's own sentence, wherever it put it; empty when it said nothing."""
        value = self.message
        if value is not None:
            error = value.get("error")
            if isinstance(error, dict):
                return _short(str(error.get("message", "")))
            parts = [error, value.get("error_description") or value.get("message") or value.get("detail")]
            return _short(": ".join(part for part in parts if isinstance(part, str)))
        text = self.body.decode(errors="replace")
        if (title := _TITLE.search(text)) is not None:
            return _short(title[1])
        return "" if self.media_type in ("text/html", "application/octet-stream") else _short(text)

    @property
    def line(self) -> str:
        """Status and kind of the answer, for a sentence."""
        return f"{self.status} {self.media_type}".strip()


@dataclass(frozen=True)
class Bearer:
    """A Bearer challenge (RFC 6750 section 3), or one for the same token bound to a key, DPoP
    (RFC 9449 section 7.1)."""

    parameters: Mapping[str, str]

    @classmethod
    def of(cls, header: str | None) -> Bearer | None:
        """The challenge of a header; None where it has none of these schemes."""
        found = re.search(r"(?:^|[\s,])(?:bearer|dpop)(?=$|[\s,])", header or "", re.IGNORECASE)
        if header is None or found is None:
            return None
        pairs = re.findall(r'([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))', header[found.end() :])
        return cls({name.lower(): re.sub(r"\\(.)", r"\1", quoted) or bare for name, quoted, bare in pairs})


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_SENTENCE else f"{line[:_LONGEST_SENTENCE]}…"
