"""One body, read by the way its kind is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .document import Document, UnreadableError
from .encoding import decode
from .kinds import HTML, is_binary, is_feed, is_json, is_text, is_xml, kind_of

LONGEST_TEXT = 2_000_000


@dataclass(frozen=True)
class Job:
    """`first_page` counts from 1 and is for PDF; `plain` is for a page that was too costly to read well."""

    content_type: str
    url: str
    content: Literal["main", "full"] = "main"
    raw: bool = False
    first_page: int = 1
    plain: bool = False


def read(body: bytes, job: Job) -> Document:
    """Raises UnreadableError."""
    document = read_kind(body, job, kind_of(body, job.content_type))
    if len(document.text) > LONGEST_TEXT:
        note = f"The text has {len(document.text)} characters; those after {LONGEST_TEXT} were left out."
        return Document(
            document.text[:LONGEST_TEXT], document.title, document.kind, document.facts, document.links,
            [*document.notes, note],
        )  # fmt: skip
    return document


def read_kind(body: bytes, job: Job, kind: str) -> Document:
    if not body:
        return Document("", notes=["The answer is empty."])
    if kind.startswith("image/") and not is_xml(kind):
        from .image import read_image

        return read_image(body, kind)
    if kind == "application/pdf":
        from .pdf import read_pdf

        return read_pdf(body, job.first_page)
    if not is_text(kind) and is_binary(body):
        return Document(
            f"This is data of type {kind or 'unknown'} with {len(body)} bytes, not text.", kind="data"
        )
    text = decode(body, job.content_type, markup=kind in HTML or is_xml(kind))
    if job.raw:
        return Document(text)
    if kind in HTML:
        from .page import read_page

        return read_page(text, job.url, job.content, plain=job.plain)
    if is_json(kind):
        from .data import read_json

        return read_json(text, job.url)
    if is_feed(kind) or is_xml(kind):
        from .feed import read_xml

        return read_xml(text, job.url)
    if kind in ("text/csv", "text/tab-separated-values"):
        from .data import read_table

        return read_table(text, tabs=kind != "text/csv")
    return Document(text)


__all__ = ["Job", "UnreadableError", "read"]
