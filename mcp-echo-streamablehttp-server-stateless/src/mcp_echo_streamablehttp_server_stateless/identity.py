"""Who the gateway says is calling: X-User-Id, X-User-Name and X-Client-Id, set at the edge."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

USER_ID, USER_NAME, CLIENT_ID = "x-user-id", "x-user-name", "x-client-id"


@dataclass(frozen=True)
class Identity:
    user_id: str | None = None
    user_name: str | None = None
    client_id: str | None = None

    @classmethod
    def from_headers(cls, headers: Iterable[tuple[bytes, bytes]]) -> Self:
        """A header that comes twice counts as absent: nobody can tell which of the two the gateway set."""
        found: dict[str, list[str]] = {USER_ID: [], USER_NAME: [], CLIENT_ID: []}
        for key, value in headers:
            name = key.decode("latin-1").lower()
            if name in found:
                found[name].append(_text(value))
        single = {name: values[0] for name, values in found.items() if len(values) == 1 and values[0]}
        return cls(single.get(USER_ID), single.get(USER_NAME), single.get(CLIENT_ID))

    @property
    def empty(self) -> bool:
        return self == Identity()


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8").strip()
    except UnicodeDecodeError:
        return value.decode("latin-1").strip()
