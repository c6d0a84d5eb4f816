"""The part of a text that was asked for: an outline, a section, what was found, or as much as fits."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import FetchError

_HEADING_OR_FENCE = re.compile(r"^(?:(#{1,6}) ([^\n]{1,2000})|[ >]{0,20}(```+|~~~+))", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
MOST_FOUND, AROUND, LONGEST_FOUND = 20, 300, 3000
MOST_HEADINGS = 2000


@dataclass(frozen=True)
class Heading:
    level: int
    title: str
    start: int


def headings(text: str) -> list[Heading]:
    """Markdown's headings with the character each stands at; those inside code are none.

    This and `search` run in the server's own process: their time is linear in the text, whatever it is.
    """
    found: list[Heading] = []
    fence: str | None = None
    for match in _HEADING_OR_FENCE.finditer(text):
        marks, title, opened = match.groups()
        if opened:
            if fence is None:
                fence = opened
            elif opened.startswith(fence):
                fence = None
        elif fence is None:
            found.append(Heading(len(marks), plain(title), match.start()))
            if len(found) == MOST_HEADINGS:
                break
    return found


def plain(text: str) -> str:
    return " ".join(_LINK.sub(r"\1", text).replace("*", "").replace("`", "").split())[:200]


def outline(text: str) -> str:
    found = headings(text)
    if not found:
        return "(The page has no headings.)"
    lines = [f"{'  ' * (head.level - 1)}- {head.title} (start_index {head.start})" for head in found]
    if len(found) == MOST_HEADINGS:
        lines.append("(and perhaps more)")
    return "\n".join(lines)


def section(text: str, title: str) -> tuple[int, int]:
    """Where the section begins and ends: up to the next heading that is no deeper. Raises FetchError."""
    found = headings(text)
    wanted = plain(title.lstrip("# ")).casefold()
    titles = [head.title.casefold() for head in found]
    index = next((number for number, name in enumerate(titles) if name == wanted), None)
    if index is None:
        index = next((number for number, name in enumerate(titles) if wanted and wanted in name), None)
    if index is None:
        raise FetchError(f"The page has no section {title!r}; ask for outline=true to see its headings.")
    level = found[index].level
    end = next((head.start for head in found[index + 1 :] if head.level <= level), len(text))
    return found[index].start, end


def search(text: str, words: str) -> str:
    """The places where the words stand, upper and lower case alike, with what is around them."""
    lowered, wanted = lower(text), lower(words)
    count = lowered.count(wanted)
    places: list[tuple[int, int]] = []
    at = lowered.find(wanted)
    while at >= 0 and len(places) <= MOST_FOUND:
        start, end = max(0, at - AROUND), min(len(text), at + len(wanted) + AROUND)
        if places and start <= places[-1][1] and places[-1][1] - places[-1][0] < LONGEST_FOUND:
            places[-1] = (places[-1][0], end)
        else:
            places.append((start, end))
        at = lowered.find(wanted, at + len(wanted))
    if not places:
        return f"({words!r} does not stand in the page.)"
    pieces = [f"[at start_index {start}]\n{text[start:end].strip()}" for start, end in places[:MOST_FOUND]]
    return f"({count} found)\n\n" + "\n\n".join(pieces)


def lower(text: str) -> str:
    """In lower case and of the same length: of all letters only U+0130 would become two."""
    return text.replace("\u0130", "i").lower()


def within_tokens(text: str, tokens: int) -> int:
    """How many characters take about so many tokens: four characters of ASCII or one other make a token."""
    left = float(tokens)
    step = 2000
    for start in range(0, len(text), step):
        piece = text[start : start + step]
        needed = cost(piece)
        if needed > left:
            low, high = 0, len(piece)
            while low < high:
                middle = (low + high + 1) // 2
                low, high = (middle, high) if cost(piece[:middle]) <= left else (low, middle - 1)
            return max(1, start + low)
        left -= needed
    return len(text)


def cost(text: str) -> float:
    ascii_only = len(text.encode("ascii", "ignore"))
    return ascii_only / 4 + (len(text) - ascii_only)
