"""JSON from strangers: an object, in plain RFC 8259, or ValueError."""

from __future__ import annotations

import json
from typing import Any, NoReturn

DEEP = 100


def parse_object(body: bytes) -> dict[str, Any]:
    """A JSON object of valid Unicode; NaN, half surrogate pairs and bottomless nesting are refused."""
    try:
        value = json.loads(body, parse_constant=_refuse)
        if b"\\u" in body or body.count(b"[") + body.count(b"{") > DEEP:  # else neither can be there
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004  # one kind of error for every fault of the text
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
