"""Which elements no visitor sees: a favourite place for instructions to models.

Judged are attributes, inline styles and the top-level rules of the page's own `style` elements whose selector
is a tag, classes and an id. Not judged: style sheets in files of their own, rules inside `@media`, selectors
with combinators, what scripts do, and text covered by something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lxml.html import HtmlElement

INVISIBLE = {
    "head", "script", "style", "noscript", "template", "iframe", "svg", "canvas", "object", "embed", "title",
    "meta", "link", "datalist", "noframes", "map", "audio", "video",
}  # fmt: skip
_FOR_SCREEN_READERS = {
    "sr-only",
    "visually-hidden",
    "visuallyhidden",
    "screen-reader-text",
    "screen-reader-only",
}
_MOST_CSS = 300_000
_SELECTOR = re.compile(r"([a-z][a-z0-9]*)?((?:[.#][A-Za-z_-][\w-]*)*)")
_PART = re.compile(r"[.#][^.#]+")
_NUMBER = re.compile(r"(-?(?:\d+\.?\d*|\.\d+))\s*(px|em|rem|pt|%|vw|vh)?(?![\w.])")
_FAR = 900  # pixels to the left or above where nothing is on any screen
_WHITE = {"#fff", "#ffffff", "white", "rgb(255,255,255)", "rgba(255,255,255,1)"}

Styles = dict[str, str]


class Sheet:
    """The hiding rules of a page's own style sheet, found by the last class, id or tag they name."""

    def __init__(self, css: str) -> None:
        self.rules: dict[str, list[tuple[str, frozenset[str], Styles]]] = {}
        for selectors, styles in top_level_rules(css[:_MOST_CSS]):
            for selector in selectors.split(","):
                match = _SELECTOR.fullmatch(selector.strip())
                if match is None or not match[0]:
                    continue
                parts = _PART.findall(match[2])
                key = parts[-1] if parts else match[1]
                self.rules.setdefault(key, []).append((match[1] or "", frozenset(parts), styles))

    def styles(self, element: HtmlElement) -> Styles:
        if not self.rules:
            return {}
        names = {f".{name}" for name in (element.get("class") or "").split()[:50]}
        if element.get("id"):
            names.add(f"#{element.get('id')}")
        found: Styles = {}
        for key in (str(element.tag), *names):
            for tag, parts, styles in self.rules.get(key, ())[:50]:
                if tag in ("", element.tag) and parts <= names:
                    found |= styles
        return found


def top_level_rules(css: str) -> Iterable[tuple[str, Styles]]:
    depth = 0
    for piece in without_comments(css).split("}"):
        opened = piece.count("{")
        if opened == 1 and depth == 0:
            selectors, _, declarations = piece.partition("{")
            yield selectors.strip(), declared(declarations)
        depth = max(0, depth + opened - 1)


def without_comments(css: str) -> str:
    first, *rest = css.split("/*")
    return first + "".join(piece.partition("*/")[2] for piece in rest)


def declared(text: str) -> Styles:
    """The declarations of an inline style or rule, names and values in lower case without spaces to spare."""
    found: Styles = {}
    for declaration in text.split(";")[:200]:
        name, colon, value = declaration.partition(":")
        if colon:
            found[name.strip().lower()] = " ".join(value.lower().replace("!important", "").split())[:200]
    return found


def is_hidden(element: HtmlElement, sheet: Sheet) -> bool:
    if element.tag in INVISIBLE:
        return True
    if "hidden" in element.attrib or element.get("aria-hidden") == "true":
        return True
    if element.tag == "input" or (element.tag == "dialog" and "open" not in element.attrib):
        return True
    classes = element.get("class")
    if classes and not _FOR_SCREEN_READERS.isdisjoint(classes.lower().split()):
        return True
    inline = element.get("style")
    styles = sheet.styles(element) | (declared(inline) if inline else {})
    return bool(styles) and (hides(styles) or white_on_white(element, styles))


def hides(styles: Styles) -> bool:
    get = styles.get
    if get("display") == "none" or get("visibility") in ("hidden", "collapse"):
        return True
    if get("content-visibility") == "hidden":
        return True
    if number(get("opacity")) is not None and (number(get("opacity")) or 0) < 0.05:
        return True
    size = pixels(get("font-size"))
    if size is not None and size < 2:
        return True
    color = (get("color") or get("-webkit-text-fill-color") or "").replace(" ", "")
    background = (get("background-color") or get("background") or "").replace(" ", "")
    if color == "transparent" or (color and (color == background or {color, background} <= _WHITE)):
        return True
    if re.fullmatch(r"rgba\(\d+,\d+,\d+,0(?:\.0+)?\)", color):
        return True
    return off_screen(styles) or clipped(styles)


def off_screen(styles: Styles) -> bool:
    names = ["text-indent", "margin-left", "margin-top"]
    if styles.get("position") in ("absolute", "fixed", "relative"):
        names += ["left", "top"]
        if any((pixels(styles.get(name)) or 0) > 5000 for name in ("left", "top")):
            return True
        if any((pixels(styles.get(name)) or 0) < -_FAR for name in ("right", "bottom")):
            return True
    if any((pixels(styles.get(name)) or 0) < -_FAR for name in names):
        return True
    transform = styles.get("transform", "")
    if transform.startswith("translate"):
        return any((pixels(part) or 0) < -_FAR for part in transform.partition("(")[2].split(","))
    return re.match(r"scale[xy]?\(0(\.0+)?[,)]", transform.replace(" ", "")) is not None


def clipped(styles: Styles) -> bool:
    clip = styles.get("clip", "").replace("px", "").replace(",", " ")
    if re.match(r"rect\(\s*[01]\s+[01]\s+[01]\s+[01]\s*\)", clip):
        return True
    path = styles.get("clip-path", "")
    shrunk = re.match(r"inset\(\s*(\d+)%", path)
    if (shrunk and int(shrunk[1]) >= 50) or re.match(r"(circle|ellipse)\(\s*0", path):
        return True
    if not styles.get("overflow", "").startswith(("hidden", "clip")):
        return False
    return any(
        (size := pixels(styles.get(name))) is not None and size <= 1
        for name in ("width", "height", "max-width", "max-height")
    )


def white_on_white(element: HtmlElement, styles: Styles) -> bool:
    """White text where nothing around it could have given it a background."""
    if styles.get("color", "").replace(" ", "") not in _WHITE or "background" in " ".join(styles):
        return False
    around = element.getparent()
    for _ in range(30):
        if around is None or around.tag == "html":
            return True
        if around.get("class") or around.get("id") or around.get("style") or around.get("bgcolor"):
            return False
        around = around.getparent()
    return False


def number(value: str | None) -> float | None:
    match = _NUMBER.fullmatch(value) if value else None
    return float(match[1]) / (100 if match[2] == "%" else 1) if match else None


def pixels(value: str | None) -> float | None:
    """A length in pixels, roughly; None for a percentage of something, or no length."""
    match = _NUMBER.match(value.strip()) if value else None
    if match is None or match[2] == "%":
        return None
    return float(match[1]) * {"em": 16, "rem": 16, "pt": 1.33, "vw": 12, "vh": 8}.get(match[2] or "px", 1)
