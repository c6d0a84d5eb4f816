"""JSON from strangers, in plain RFC 8259, or ValueError."""

from __future__ import annotations

import base64
import math
from codecs import BOM_UTF8
from typing import Any

from pydantic_core import from_json


def parse_json(body: bytes) -> Any:
    """JSON of valid Unicode and finite numbers; half surrogate pairs, what no double can hold (`1e400`, four
    hundred digits) and bottomless nesting are refused."""
    value = from_json(body.removeprefix(BOM_UTF8), allow_inf_nan=False)
    _check_numbers(value)
    return value


def parse_object(body: bytes) -> dict[str, Any]:
    """As `parse_json`, and an object."""
    value = parse_json(body)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004  # one kind of error for every fault of the text
    return value


def parse_base64url(part: str) -> dict[str, Any]:
    """The JSON object in a part of a JWS (RFC 7515 section 3)."""
    return parse_object(base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True))


def _check_numbers(value: object) -> None:
    """As deep as the parser lets text be nested, which is far from Python's own limit."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            _check_numbers(item)
    elif isinstance(value, int | float):
        try:
            finite = math.isfinite(value)
        except OverflowError:
            finite = False
        if not finite:
            raise ValueError("a number is too large")
