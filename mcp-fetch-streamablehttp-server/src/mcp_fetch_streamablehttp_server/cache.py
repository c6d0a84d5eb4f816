"""A shared cache of answers by the rules of RFC 9111, bounded in bytes, so that reading on fetches once."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime

HEURISTIC_STATUS = {200, 203, 204, 301, 308, 404, 405, 410, 414}  # RFC 9110 15.1, less what needs ranges
UNSTATED = 60.0
"""Seconds for which an answer that states no lifetime is held (RFC 9111 4.2.2): enough to read on."""
LONGEST = 86_400.0
_DIRECTIVE = re.compile(r"([a-z-]+)(?:\s*=\s*(?:\"([^\"]*)\"|([^\s,;]+)))?", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """One hop's answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class _Kept:
    answer: Answer
    until: float
    validators: Mapping[str, str]

    @property
    def size(self) -> int:
        return len(self.answer.body) + sum(
            len(name) + len(value) for name, value in self.answer.headers.items()
        )


class Cache:
    """`limit` 0 keeps nothing. Keys are whatever tells two requests apart."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.time) -> None:
        self.limit = limit
        self.clock = clock
        self.bytes = 0
        self._kept: OrderedDict[tuple[str, ...], _Kept] = OrderedDict()

    def fresh(self, key: tuple[str, ...]) -> Answer | None:
        kept = self._kept.get(key)
        if kept is None or kept.until <= self.clock():
            return None
        self._kept.move_to_end(key)
        return kept.answer

    def conditions(self, key: tuple[str, ...]) -> Mapping[str, str]:
        """The headers that ask whether a stale answer still holds (RFC 9111 4.3.1)."""
        kept = self._kept.get(key)
        return kept.validators if kept else {}

    def renewed(self, key: tuple[str, ...], headers: Mapping[str, str]) -> Answer | None:
        """The stale answer, made fresh by a 304 (RFC 9111 4.3.4)."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        changed = {name: value for name, value in headers.items() if not name.startswith("content-")}
        answer = replace(kept.answer, headers={**kept.answer.headers, **changed})
        self.keep(key, answer)
        return answer

    def keep(self, key: tuple[str, ...], answer: Answer) -> None:
        self.drop(key)
        lifetime = lifetime_of(answer, self.clock())
        validators = validators_of(answer.headers)
        if lifetime is None or (lifetime <= 0 and not validators):
            return
        kept = _Kept(answer, self.clock() + min(lifetime, LONGEST), validators)
        if kept.size > self.limit // 4:
            return
        self._kept[key] = kept
        self.bytes += kept.size
        while self.bytes > self.limit:
            self.drop(next(iter(self._kept)))

    def drop(self, key: tuple[str, ...]) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self.bytes -= kept.size


def lifetime_of(answer: Answer, now: float) -> float | None:
    """Seconds the answer is fresh from now on; None where it may not be stored at all (RFC 9111 3, 4.2)."""
    headers = answer.headers
    control = directives(headers.get("cache-control", ""))
    if "no-store" in control or "private" in control or "set-cookie" in headers:
        return None
    if headers.get("vary", "").strip() == "*":
        return None
    if answer.status not in HEURISTIC_STATUS and not {"max-age", "s-maxage"} & control.keys():
        return None
    if "no-cache" in control:
        return 0.0
    age = number(headers.get("age")) or 0.0
    for name in ("s-maxage", "max-age"):
        if name in control:
            return (number(control[name]) or 0.0) - age
    date = moment(headers.get("date")) or now
    if "expires" in headers:
        expires = moment(headers["expires"])
        return 0.0 if expires is None else expires - date - age
    modified = moment(headers.get("last-modified"))
    if modified is not None and modified < date:
        return max(UNSTATED, (date - modified) / 10) - age
    return UNSTATED - age


def directives(text: str) -> dict[str, str]:
    return {name.lower(): quoted or plain or "" for name, quoted, plain in _DIRECTIVE.findall(text[:2000])}


def validators_of(headers: Mapping[str, str]) -> dict[str, str]:
    names = (("etag", "if-none-match"), ("last-modified", "if-modified-since"))
    return {condition: headers[name] for name, condition in names if name in headers}


def number(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdigit() and len(text) < 12 else None


def moment(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
