"""JSON set out in lines, CSV as a table."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from .document import Document
from .feed import from_json_feed

MOST_COLUMNS, MOST_CELLS = 60, 500_000
GROWTH = 6
"""How many times its own length JSON may take set out; deep nesting would indent it to any size."""


def read_json(text: str, url: str) -> Document:
    """As it came where it is not quite JSON, or nested beyond reading."""
    try:
        value = json.loads(text)
        feed = from_json_feed(value, url)
        if feed is not None:
            return feed
        return Document(set_out(value, GROWTH * len(text) + 1000), kind="json")
    except (ValueError, RecursionError):
        return Document(text)


def set_out(value: Any, most: int) -> str:
    """Raises ValueError for more than `most` characters."""
    pieces, length = [], 0
    for piece in json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(value):
        pieces.append(piece)
        length += len(piece)
        if length > most:
            raise ValueError
    return "".join(pieces)


def read_table(text: str, *, tabs: bool) -> Document:
    """A Markdown table. The delimiter of a CSV is what its first line has most of."""
    first = text.partition("\n")[0]
    delimiter = "\t" if tabs else max(",;\t|", key=first.count)
    try:
        rows = [row[:MOST_COLUMNS] for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(row)]
    except csv.Error:
        return Document(text)
    if not rows or max(map(len, rows)) < 2:
        return Document(text)
    width = max(map(len, rows[:1000]))
    if width * len(rows) > MOST_CELLS:
        return Document(text)
    lines = [line(row, width) for row in rows]
    lines.insert(1, line(["---"] * width, width))
    return Document("\n".join(lines), kind="table", facts={"rows": str(len(rows) - 1)})


def line(cells: list[str], width: int) -> str:
    shown = [" ".join(cell.split()).replace("\\", "\\\\").replace("|", "\\|") for cell in cells[:width]]
    return "| " + " | ".join(shown + [""] * (width - len(shown))) + " |"
