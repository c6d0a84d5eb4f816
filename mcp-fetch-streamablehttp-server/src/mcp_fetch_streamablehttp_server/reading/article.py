"""Which part of a page to read: an article by readability-lxml, documentation whole, as the page is.

readability-lxml was chosen by measurement (`just bench fetch`). What it leaves out of documentation (code,
tables, definition lists, headings) is why a page with much of that is not given to it.
"""

from __future__ import annotations

import copy
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import lxml.etree
import lxml.html
from lxml.html import HtmlElement
from readability import Document as Readability
from readability.readability import Unparseable

from .html import elements, remove

FURNITURE = {"nav", "footer", "aside", "form", "button", "select", "textarea"}
TOGETHER = 0.9
"""Seconds of processor time after which the extraction is given up, counted from the page's beginning."""
MOST_CODE_OF_AN_ARTICLE = 20
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
UNLINKED = "span-link"
KEPT = 0.9
SHORTEST_ARTICLE = 140
_GENERATORS = (
    "sphinx", "docutils", "docbook", "doxygen", "asciidoc", "mkdocs", "docusaurus", "vitepress", "hugo docs",
    "gitbook", "javadoc", "rustdoc", "pdoc", "jsdoc", "antora", "makeinfo", "man2html", "groff",
)  # fmt: skip

logging.getLogger("readability").setLevel(logging.CRITICAL)


class TooSlowError(BaseException):
    """The extraction took longer than a page is worth; readability-lxml catches every Exception."""


def whole(root: HtmlElement) -> HtmlElement:
    body = root.find("body")
    return root if body is None else body


def main_part(root: HtmlElement, generator: str | None, spent: float) -> HtmlElement:
    """What to read of a page that was freed of hidden text: its article, or all of its main part."""
    careful = careful_part(root)
    if made_by_documentation_tool(generator) or code_blocks(careful) >= MOST_CODE_OF_AN_ARTICLE:
        return careful
    article = extracted(root, spent)
    if article is None or loses(article, careful):
        return careful
    remove(article, (link for link in list(article.iter("a")) if is_button(link)))
    return article


def careful_part(root: HtmlElement) -> HtmlElement:
    """The page's main element or only article, else its body without navigation and the like."""
    mains = [element for element in elements(root) if element.tag == "main" or element.get("role") == "main"]
    mains = mains or [element for element in elements(root) if element.tag == "article"]
    if len(mains) == 1 and mains[0].text_content().strip():
        return mains[0]
    body = copy.deepcopy(whole(root))
    remove(body, iter([element for element in elements(body) if is_furniture(element)]))
    return body


def is_furniture(element: HtmlElement) -> bool:
    return element.tag in FURNITURE or element.get("role") in ("navigation", "contentinfo", "search")


def made_by_documentation_tool(generator: str | None) -> bool:
    return generator is not None and any(name in generator.lower() for name in _GENERATORS)


def code_blocks(part: HtmlElement) -> int:
    return sum(1 for _ in part.iter("pre"))


def structures(part: HtmlElement) -> int:
    """Code blocks, tables with header cells, and lists that define code or have terms one can link to."""
    tables = sum(
        1 for table in part.iter("table") if table.find(".//th") is not None and not mostly_links(table)
    )
    terms = sum(1 for term in part.iter("dt") if term.get("id") or term.find(".//code") is not None)
    return code_blocks(part) + tables + terms


def headings(part: HtmlElement) -> int:
    return sum(1 for _ in part.iter(*HEADINGS))


def loses(article: HtmlElement, careful: HtmlElement) -> bool:
    """Whether the article leaves out structure that documentation has and an article's surroundings have not,
    or is next to nothing of a page that has something to say."""
    there = structures(careful)
    if there and structures(article) < KEPT * there:
        return True
    # Headings prove nothing by themselves: those around an article are over what else there is to read.
    if there > 1 and headings(article) < KEPT * headings(careful):
        return True
    kept = length(article)
    return kept < SHORTEST_ARTICLE and 2 * kept < length(careful)


def is_button(link: HtmlElement) -> bool:
    """A picture that leads elsewhere and stands in no figure: to share the page with, or an advertisement."""
    if link.text_content().strip() or next(link.iter("img"), None) is None:
        return False
    target = (link.get("href") or "").partition("?")[0].lower()
    if target.endswith((".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg")):
        return False
    return next(link.iterancestors("figure"), None) is None


def mostly_links(part: HtmlElement) -> bool:
    return 2 * sum(length(link) for link in part.iter("a")) > length(part)


def length(part: HtmlElement) -> int:
    return len(" ".join(part.text_content().split()))


def extracted(root: HtmlElement, spent: float) -> HtmlElement | None:
    """The article, or None where there is none to be had in time."""
    for element in elements(root):
        element.attrib.pop("style", None)  # judged before; readability-lxml would only spend time on it
    for element in root.iter("blockquote", "table", *HEADINGS):
        # A quoted post's class says twitter, a heading's id may say header: readability-lxml takes both for
        # furniture, and a heading that is a link as well.
        element.attrib.clear()
        if element.tag in HEADINGS:
            for link in element.iter("a"):
                link.tag = UNLINKED
    try:
        with seconds(max(0.001, TOGETHER - spent)):
            found = Reader(lxml.html.tostring(root, encoding="unicode")).summary(html_partial=True)
            part = lxml.html.fragment_fromstring(found, create_parent="div") if found.strip() else None
    except (Unparseable, ValueError, AssertionError, lxml.etree.ParserError, TooSlowError):
        return None
    finally:
        relink(root)
    return part if part is None else relink(part)


def relink(part: HtmlElement) -> HtmlElement:
    for link in list(part.iter(UNLINKED)):
        link.tag = "a"
    return part


class Reader(Readability):  # type: ignore[misc]  # the library carries no types
    def get_clean_html(self) -> str:
        """The article as it is: styles and handlers mean nothing to the Markdown writer, and to take them out
        with expressions takes the square of a hostile page's size."""
        return str(lxml.html.tostring(self._html(), encoding="unicode"))


@contextmanager
def seconds(limit: float) -> Iterator[None]:
    """Raises TooSlowError in the block after `limit` seconds of this process's own time."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooSlowError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
