"""Names of servers as a part of an address."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container

_ADDRESSABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LONGEST = 60


def address_name(name: str, taken: Container[str]) -> str:
    """The name if an address can have it, else one like it: "My Notes" is My-Notes, a second My-Notes-2."""
    if _ADDRESSABLE.fullmatch(name) and name not in taken:
        return name
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    base = re.sub(r"[^A-Za-z0-9._]+", "-", plain).strip("-._")[:_LONGEST] or "server"
    found, number = base, 2
    while found in taken:
        found, number = f"{base}-{number}", number + 1
    return found
