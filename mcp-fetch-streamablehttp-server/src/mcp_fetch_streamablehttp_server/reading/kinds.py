"""What a body is: by the type its server states, and by its first bytes where that says nothing."""

from __future__ import annotations

import re

HTML = {"text/html", "application/xhtml+xml"}
_TEXT = re.compile(
    r"text/.*|application/(.*\+)?(json|xml|javascript|ecmascript|yaml|x-yaml|toml|sql|graphql|x-ndjson|rtf)"
)
_FEEDS = {"application/rss+xml", "application/atom+xml", "application/feed+json", "application/rdf+xml"}
_UNSTATED = {"", "application/octet-stream", "binary/octet-stream", "application/unknown", "unknown/unknown"}
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
)


_FEED = re.compile(
    rb"(?:\xef\xbb\xbf)?(?>\s+|<\?(?>.*?\?>)|<!--(?>.*?-->)|<!(?!--)[^>]*>)*+<(?:rss|feed|rdf:RDF)[\s>]",
    re.DOTALL,
)
"""A feed's root element, after what may stand before it."""


def stated(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def kind_of(body: bytes, content_type: str) -> str:
    """The media type to read the body as.

    A picture or PDF is known by its bytes, whatever it is called; a feed that is called a page by its root
    element (MIME Sniffing 7.3).
    """
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return "image/webp"
    found = next((kind for start, kind in _SIGNATURES if body.startswith(start)), None)
    if found is not None and (found != "application/zip" or stated(content_type) in _UNSTATED):
        return found
    kind = stated(content_type)
    if kind in _UNSTATED or kind == "text/plain":
        return sniffed(body) or kind
    if kind == "text/html" and _FEED.match(body[:1445]):
        return "application/xml"
    return kind


def sniffed(body: bytes) -> str | None:
    start = body[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "text/html"
    return None


def is_text(kind: str) -> bool:
    return _TEXT.fullmatch(kind) is not None or kind in HTML


def is_binary(body: bytes) -> bool:
    """Whether the start holds bytes that no text has (MIME Sniffing 7.2)."""
    start = body[:1445]
    if start.startswith((b"\xfe\xff", b"\xff\xfe")):
        return False
    return any(byte < 9 or byte == 11 or 14 <= byte < 27 or 28 <= byte < 32 for byte in start)


def is_json(kind: str) -> bool:
    return kind.endswith(("/json", "+json"))


def is_xml(kind: str) -> bool:
    return kind.endswith(("/xml", "+xml")) and kind not in HTML


def is_feed(kind: str) -> bool:
    return kind in _FEEDS
