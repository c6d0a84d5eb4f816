"""Turning a body into what a model can read: markdown, plain text or an image."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from bs4 import BeautifulSoup, NavigableString, PageElement, Tag
from bs4.dammit import EncodingDetector
from markdownify import ATX, MarkdownConverter

from .errors import FetchError

INVISIBLE = {"head", "script", "style", "noscript", "template", "iframe", "svg", "canvas", "object", "embed"}
FURNITURE = {"nav", "footer", "aside", "form", "button"}
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
_XML_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_BLANK_LINES = re.compile(r"\n(?:[ \t\r]*\n){2,}")
_TEXT = re.compile(
    r"text/.*|application/(.*\+)?(json|xml|javascript|ecmascript|yaml|x-yaml|toml|sql|graphql|x-ndjson)"
)
_HTML = {"text/html", "application/xhtml+xml"}
_IMAGES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
DROPPED = "dropped"
DEEPEST = 200
LONGEST_HTML = 2_000_000


@dataclass(frozen=True)
class Text:
    content: str
    title: str | None = None


@dataclass(frozen=True)
class Image:
    data: bytes
    mime_type: str


def render(body: bytes, content_type: str, url: str, *, raw: bool) -> Text | Image:
    """Raises FetchError for a body that is neither text nor a PNG, JPEG, GIF or WebP image."""
    kind = content_type.partition(";")[0].strip().lower()
    image = image_type(body)
    if image is not None:
        return Image(body, image)
    if not body:
        return Text("")
    text = decode(body, content_type, kind)
    if text is None:
        raise FetchError(f"The page is {kind or 'data'} of {len(body)} bytes, which cannot be shown as text.")
    if raw or not (kind in _HTML or (kind in ("", "text/plain") and looks_like_html(text))):
        return Text(text)
    return markdown(text, url)


def image_type(body: bytes) -> str | None:
    """By its first bytes: what a server calls an image may be anything."""
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return "image/webp"
    return next((mime for start, mime in _IMAGES if body.startswith(start)), None)


def decode(body: bytes, content_type: str, kind: str) -> str | None:
    declared = _CHARSET.search(content_type)
    charset = declared[1] if declared else None
    if charset is None and kind in _HTML:
        charset = EncodingDetector.find_declared_encoding(body[:4096], is_html=True)
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        charset = "utf-16"
    try:
        return body.decode(charset or "utf-8-sig")
    except (LookupError, UnicodeError):
        pass
    if _TEXT.fullmatch(kind) or kind in _HTML:
        return body.decode("utf-8", "replace")
    return None


def looks_like_html(text: str) -> bool:
    return text[:1000].lstrip().lower().startswith(("<!doctype html", "<html"))


def markdown(html: str, url: str) -> Text:
    if len(html) > LONGEST_HTML:
        raise FetchError(
            f"The page has {len(html)} characters of HTML, too many to convert; fetch it with raw=true."
        )
    soup = BeautifulSoup(_XML_DECLARATION.sub("", html), "lxml")
    title = soup.title.get_text(" ", strip=True) if soup.title else None
    base = soup.find("base", href=True)
    tags = soup.find_all(True)
    absolute_links(tags, urljoin(url, str(base["href"])) if isinstance(base, Tag) else url)
    content = main_part(soup, tags)
    converted = plain_text(content) if deeper_than(content, DEEPEST) else Converter().convert_soup(content)
    return Text(_BLANK_LINES.sub("\n\n", converted).strip(), " ".join(title.split())[:300] if title else None)


class Converter(MarkdownConverter):
    """Leaves out what was dropped. `<soup>` is not converted: markdownify takes it for its own method."""

    def __init__(self) -> None:
        super().__init__(heading_style=ATX, bullets="-", strip=["soup"])

    def convert_dropped(self, tag: Tag, text: str, parent_tags: set[str]) -> str:
        return ""


def drop(tag: Tag) -> None:
    """Mark for leaving out; to take tags out of the tree one by one is quadratic on a page made for it."""
    tag.name = DROPPED


def main_part(soup: BeautifulSoup, tags: Sequence[Tag]) -> Tag:
    """The page's main element or only article, else its body without navigation and the like.

    What no visitor sees is no part of the page either: it is a favourite place for instructions to models.
    """
    mains = [tag for tag in tags if tag.name == "main" or tag.get("role") == "main"]
    mains = mains or [tag for tag in tags if tag.name == "article"]
    for tag in tags:
        if not is_visible(tag):
            drop(tag)
    if len(mains) == 1 and mains[0].name != DROPPED and mains[0].get_text(strip=True):
        return mains[0]
    for tag in tags:
        if tag.name in FURNITURE:
            drop(tag)
    return soup.body or soup


def is_visible(tag: Tag) -> bool:
    return not (
        tag.name in INVISIBLE
        or tag.has_attr("hidden")
        or tag.get("aria-hidden") == "true"
        or _HIDDEN_STYLE.search(str(tag.get("style", "")))
    )


def absolute_links(tags: Iterable[Tag], root: str) -> None:
    for tag in tags:
        for attribute in ("href", "src"):
            if not tag.has_attr(attribute):
                continue
            try:
                target = urljoin(root, str(tag[attribute]).strip())
                fetchable = urlsplit(target).scheme in ("http", "https", "mailto")
            except ValueError:
                fetchable = False
            if fetchable:
                tag[attribute] = target
            else:
                del tag[attribute]


def deeper_than(content: Tag, limit: int) -> bool:
    level = [content]
    for _ in range(limit):
        level = [child for tag in level for child in tag.children if isinstance(child, Tag)]
        if not level:
            return False
    return True


def plain_text(content: Tag) -> str:
    """The text of a page nested deeper than any real one, without recursion."""
    lines: list[str] = []
    left: list[PageElement] = [content]
    while left:
        element = left.pop()
        if isinstance(element, Tag):
            if element.name != DROPPED:
                left.extend(reversed(element.contents))
        elif type(element) is NavigableString and element.strip():
            lines.append(element.strip())
    return "\n".join(lines)
