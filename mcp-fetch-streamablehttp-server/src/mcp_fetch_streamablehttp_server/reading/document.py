"""What reading a body gives: plain data that travels from the worker to the server."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Self


class UnreadableError(Exception):
    """The body cannot be shown; the message is one sentence for the caller."""


@dataclass(frozen=True)
class Document:
    """`text` is empty for a picture, whose bytes are in `image`."""

    text: str
    title: str | None = None
    kind: str = "text"
    facts: dict[str, str] = field(default_factory=dict)
    links: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    image: bytes = b""

    def head(self) -> dict[str, Any]:
        """Everything but the two that may be long, as JSON can carry it."""
        return {name: value for name, value in asdict(self).items() if name not in ("text", "image")}

    @classmethod
    def of(cls, head: dict[str, Any], text: str, image: bytes) -> Self:
        links = [(str(link), str(label)) for link, label in head["links"]]
        return cls(text, head["title"], head["kind"], head["facts"], links, head["notes"], image)
