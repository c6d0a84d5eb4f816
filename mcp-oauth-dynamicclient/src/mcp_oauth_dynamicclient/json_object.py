"""JSON from strangers: an object, in plain RFC 8259, or ValueError."""

from __future__ import annotations

from codecs import BOM_UTF8
from typing import Any

from pydantic_core import from_json


def parse_object(body: bytes) -> dict[str, Any]:
    """A JSON object of valid Unicode; NaN, half surrogate pairs and bottomless nesting are refused."""
    value = from_json(body.removeprefix(BOM_UTF8), allow_inf_nan=False)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004  # one kind of error for every fault of the text
    return value
