"""A page as a tree: parsed, freed of what no visitor sees, its links absolute, its code blocks named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from urllib.parse import urljoin, urlsplit

import lxml.etree
import lxml.html
from lxml.html import HtmlElement

from .document import UnreadableError
from .hidden import Sheet, is_hidden

LONGEST = 5_000_000
MOST_ELEMENTS = 60_000
DROPPED = "dropped"
MOST_ATTRIBUTES = 500
# A tag in which there is room for so many; each is looked at once, up to the next < or >.
_LONG_TAG = re.compile(r"(<[a-zA-Z][^\s<>/]*)([^<>]{1000,})>")
_XML_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_LANGUAGE = re.compile(
    r"(?:^|\s)(?:(?:language|lang|highlight-source|highlight|sourcecode)-|brush:\s*|sourcecode\s+)([a-z0-9+#.-]+)"
)
_NOT_LANGUAGES = {
    "default",
    "none",
    "text",
    "plaintext",
    "notranslate",
    "source",
    "code",
    "nohighlight",
    "block",
}
_LAZY = ("data-src", "data-original", "data-lazy-src", "data-lazy", "data-hi-res-src")
_MOST_CLASSES = 200


def parse(html: str) -> HtmlElement:
    """Raises UnreadableError for a page that is too long."""
    if len(html) > LONGEST:
        raise UnreadableError(
            f"The page has {len(html)} characters of HTML, too many to convert; fetch it with raw=true."
        )
    source = _XML_DECLARATION.sub("", html.replace("\0", "\ufffd"))
    # The parser's time grows with the square of a tag's attributes.
    source = _LONG_TAG.sub(fewer_attributes, source)
    parser = lxml.html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    try:
        root = lxml.html.document_fromstring(source.encode("utf-8", "replace"), parser=parser)
    except (lxml.etree.ParserError, AssertionError):
        return lxml.html.document_fromstring("<html><body></body></html>")  # nothing but comments or space
    return root


def fewer_attributes(tag: re.Match[str]) -> str:
    """A tag with more attributes than any page needs has none."""
    return f"{tag[1]}>" if tag[2].count("=") > MOST_ATTRIBUTES else tag[0]


def too_many(root: HtmlElement) -> bool:
    return next(islice(elements(root), MOST_ELEMENTS, None), None) is not None


def elements(root: HtmlElement) -> Iterator[HtmlElement]:
    yield from root.iter(lxml.etree.Element)


def remove(root: HtmlElement, unwanted: Iterator[HtmlElement]) -> None:
    """Take elements out, keeping the text after each; one pass, however many there are."""
    for element in unwanted:
        if element is not root:
            element.tag = DROPPED
    lxml.etree.strip_elements(root, DROPPED, with_tail=False)


def remove_hidden(root: HtmlElement) -> None:
    sheet = Sheet("\n".join(style.text or "" for style in root.iter("style")))
    remove(root, (element for element in list(elements(root)) if is_hidden(element, sheet)))


def base_of(root: HtmlElement, url: str) -> str:
    base = root.find(".//base[@href]")
    return absolute(url, base.get("href", "")) or url if base is not None else url


def absolute(base: str, target: str) -> str | None:
    """The address a link leads to, or None where it is none of http, https and mailto."""
    target = target.strip()
    if not target or len(target) > 8192:
        return None
    try:
        address = urljoin(base, target)
        return address if urlsplit(address).scheme in ("http", "https", "mailto") else None
    except ValueError:
        return None


def mend_links(root: HtmlElement, base: str) -> None:
    """Links and pictures get absolute addresses, lazy pictures the one they would load."""
    for element in elements(root):
        if element.tag in ("img", "source"):
            picture(element, base)
        href = element.get("href")
        if href is None:
            continue
        target = None if href.startswith("#") else absolute(base, href)
        if target is None:
            del element.attrib["href"]
        else:
            element.set("href", target)
            element.attrib.pop("title", None)


def picture(element: HtmlElement, base: str) -> None:
    candidates = [element.get(name) for name in _LAZY]
    candidates += [largest(element.get(name) or "") for name in ("data-srcset", "srcset")]
    source = element.get("src")
    if source and not source.startswith("data:"):
        candidates.insert(0 if not any(candidates[: len(_LAZY)]) else len(_LAZY), source)
    target = next((found for given in candidates if given and (found := absolute(base, given))), None)
    for name in ("src", "srcset", "title", "width", "height", *_LAZY):
        element.attrib.pop(name, None)
    if target is not None:
        element.set("src", target)


def tidy(root: HtmlElement) -> None:
    """Captions are not said twice, formulas stand in the words of their source, empty links go."""
    for figure in root.iter("figure"):
        caption = figure.find(".//figcaption")
        said = " ".join(caption.text_content().split()) if caption is not None else ""
        for image in figure.iter("img"):
            if " ".join((image.get("alt") or "").split()) in said:
                image.attrib.pop("alt", None)
    for formula in list(root.iter("math")):
        source = next(
            (note for note in formula.iter("annotation") if "tex" in (note.get("encoding") or "")), None
        )
        pieces = [source.text or ""] if source is not None else list(formula.itertext())
        text = " ".join(" ".join(pieces).split())
        tail = formula.tail
        formula.clear()
        formula.text, formula.tail = text, tail
    for quote in root.iter("blockquote"):
        if len(quote) == 1 and quote[0].tag == "pre" and not (quote.text or "").strip():
            quote.tag = "div"  # only to indent it
    empty = (link for link in list(root.iter("a")) if len(link) == 0 and not (link.text or "").strip())
    remove(root, empty)


def largest(srcset: str) -> str | None:
    """The widest candidate of a srcset (HTML 4.8.4.2.1)."""
    best, width = None, -1.0
    for candidate in re.split(r",\s+", srcset[:20_000]):
        address, _, size = candidate.strip().partition(" ")
        number = re.fullmatch(r"\s*([\d.]{1,10})[wx]\s*", size)
        value = float(number[1]) if number and number[1].count(".") < 2 and number[1] != "." else 0.0
        if address and value > width:
            best, width = address.rstrip(","), value
    return best


def name_code(root: HtmlElement) -> None:
    """Code blocks get `<code class=language-x>`, wherever the page says what language it is."""
    for block in list(root.iter("pre")):
        language = language_of(block)
        text = block.text_content()
        for child in list(block):
            block.remove(child)
        block.text = None
        block.attrib.clear()
        code = lxml.etree.SubElement(block, "code")
        code.text = text.strip("\n")
        if language:
            code.set("class", f"language-{language}")


def language_of(block: HtmlElement) -> str | None:
    inside = block[0] if len(block) and block[0].tag == "code" else None
    parent = block.getparent()
    grandparent = parent.getparent() if parent is not None else None
    for element in (inside, block, parent, grandparent):
        if element is None:
            continue
        stated = element.get("data-lang") or element.get("data-language")
        match = _LANGUAGE.search((element.get("class") or "")[:_MOST_CLASSES].lower())
        language = (stated or (match[1] if match else "")).strip().lower()
        if language and language not in _NOT_LANGUAGES and re.fullmatch(r"[a-z0-9+#.-]{1,30}", language):
            return {"python3": "python", "pycon3": "pycon"}.get(language, language)
    return None
