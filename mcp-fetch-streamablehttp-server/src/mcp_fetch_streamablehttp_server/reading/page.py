"""An HTML page, read."""

from __future__ import annotations

import re
import time
from typing import Literal

from lxml.html import HtmlElement

from .article import main_part, whole
from .document import Document
from .hidden import Sheet, is_hidden
from .html import (
    absolute,
    base_of,
    elements,
    mend_links,
    name_code,
    parse,
    remove,
    remove_hidden,
    tidy,
    too_many,
)
from .markdown import markdown, said_once
from .metadata import facts_of, title_of

Content = Literal["main", "full"]
MOST_LINKS, LONGEST_LINK = 500, 1000
_REFRESH = re.compile(r"\s*[\d.]+\s*[;,]\s*(?:url\s*=\s*)?[\"']?([^\"'>]+)", re.IGNORECASE)


def read_page(html: str, url: str, content: Content = "main", *, plain: bool = False) -> Document:
    """The page's main part, or all of it (`full`), as Markdown; `plain` leaves it at its text, for speed."""
    start = time.process_time()
    root = parse(html)
    if plain or too_many(root):
        return plain_text(root)
    base = base_of(root, url)
    title, facts = title_of(root), facts_of(root, base)
    generator = facts.pop("generator", None)
    notes = reasons(root, base)
    remove_hidden(root)
    mend_links(root, base)
    name_code(root)
    tidy(root)
    part = main_part(root, generator, time.process_time() - start) if content == "main" else whole(root)
    links = links_of(part)
    text = markdown(part)
    if content == "main" and "```" not in text:
        text = said_once(text)
    return Document(text, title, "page", facts, links, [] if len(text) > 200 else notes)


def plain_text(root: HtmlElement) -> Document:
    """The text alone of a page that would take too long to convert; only its style sheets are not judged."""
    nothing = Sheet("")
    remove(root, (element for element in list(elements(root)) if is_hidden(element, nothing)))
    lines = (" ".join(piece.split()) for piece in root.itertext())
    text = "\n".join(line for line in lines if line)
    return Document(
        text, None, "page", notes=["The page is too large or tangled to convert; this is its text alone."]
    )


def links_of(part: HtmlElement) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for element in elements(part):
        target = element.get("href") if element.tag in ("a", "area") else None
        if target and target not in found and len(target) <= LONGEST_LINK:
            found[target] = " ".join(element.text_content().split())[:200]
            if len(found) == MOST_LINKS:
                break
    return list(found.items())


def reasons(root: HtmlElement, base: str) -> list[str]:
    """Why a page may have no text, for the caller to read if it has none."""
    found = []
    for element in root.iter("meta"):
        if (element.get("http-equiv") or "").strip().lower() == "refresh":
            match = _REFRESH.match(element.get("content") or "")
            target = absolute(base, match[1]) if match else None
            if target:
                found.append(f"The page sends its visitors on to {target[:2000]}; fetch that address.")
    if next(root.iter("frameset"), None) is not None:
        frames = [absolute(base, frame.get("src") or "") for frame in root.iter("frame")]
        found.append("The page is made of frames; fetch one of " + ", ".join(filter(None, frames[:10])) + ".")
    if not found and next(root.iter("script"), None) is not None:
        found.append("The page builds its text with JavaScript, which is not run here.")
    return found
