"""A part of a page as Markdown, by html-to-markdown; first the tree gets bounds that the text keeps to."""

from __future__ import annotations

import re

import html_to_markdown
import lxml.html
from lxml.html import HtmlElement

from .html import elements

DEEPEST_QUOTE, DEEPEST_LIST = 6, 12
WIDEST_TABLE, MOST_SPANNED = 60, 20
REPEATED = 60
_BLANK_LINES = re.compile(r"\n(?:[ \t\r]*\n){2,}")
_OPTIONS = html_to_markdown.ConversionOptions(
    bullets="-",
    compact_tables=True,
    extract_metadata=False,
    autolinks=False,
    br_in_tables=True,
    hidden_content="all",  # what is hidden was taken out before, by our own rules
    preprocessing=html_to_markdown.PreprocessingOptions(enabled=False),
)


def markdown(part: HtmlElement) -> str:
    flatten(part)
    converted = html_to_markdown.convert(
        lxml.html.tostring(part, encoding="unicode", with_tail=False), _OPTIONS
    )
    return _BLANK_LINES.sub("\n\n", converted.content or "").strip()


def flatten(part: HtmlElement) -> None:
    """Nesting beyond what a reader can follow, and cells that only fill a table, are taken down: in Markdown
    each level is paid for on every line."""
    depth: dict[HtmlElement, tuple[int, int]] = {}
    for element in elements(part):
        parent = element.getparent()
        quotes, lists = depth.get(parent, (0, 0)) if parent is not None else (0, 0)
        if element.tag == "blockquote":
            quotes += 1
            if quotes > DEEPEST_QUOTE:
                element.tag = "div"
        elif element.tag in ("ul", "ol", "dl"):
            lists += 1
            if lists > DEEPEST_LIST:
                element.tag = "div"
        elif element.tag == "tr" and len(element) > WIDEST_TABLE:
            element.tag = "p"
            for cell in element:
                cell.tag = "span"
        elif element.tag in ("td", "th"):
            bound_spans(element)
        depth[element] = (quotes, lists)


def bound_spans(cell: HtmlElement) -> None:
    for name in ("colspan", "rowspan"):
        span = cell.get(name)
        if span is not None and not (
            span.isascii() and span.isdigit() and len(span) < 4 and int(span) <= MOST_SPANNED
        ):
            del cell.attrib[name]


def said_once(text: str) -> str:
    """Without what a list says that stood there before word for word, as the captions of a slide show do."""
    seen: set[str] = set()
    kept = []
    for block in text.split("\n\n"):
        words = block.strip(" -*#>")
        if len(words) >= REPEATED and words in seen and block.startswith(("-", " ")):
            continue
        seen.add(words)
        kept.append(block)
    return "\n\n".join(kept)
