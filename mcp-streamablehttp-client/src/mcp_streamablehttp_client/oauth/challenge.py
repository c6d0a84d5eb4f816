"""The Bearer or DPoP challenge of a 401 or 403 answer (RFC 6750 §3, RFC 9449 §7.1, RFC 9728 §5.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105
_PARAMETER = re.compile(rf'({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
"""An unquoted value should be a token (RFC 9110 section 11.2); addresses are found unquoted too."""
_SCHEME = re.compile(rf"({_TOKEN})(?=\s|,|$)")


@dataclass(frozen=True)
class Challenge:
    resource_metadata: str | None = None
    scope: str | None = None
    error: str | None = None


def bearer_challenge(headers: Iterable[str]) -> Challenge:
    """The first Bearer or DPoP challenge among WWW-Authenticate headers, empty when there is none."""
    for header in headers:
        for scheme, parameters in _challenges(header):
            if scheme.lower() in ("bearer", "dpop"):
                return Challenge(
                    parameters.get("resource_metadata"),
                    parameters.get("scope"),
                    parameters.get("error"),
                )
    return Challenge()


def _challenges(header: str) -> list[tuple[str, dict[str, str]]]:
    found: list[tuple[str, dict[str, str]]] = []
    position = 0
    while position < len(header):
        if header[position] in " \t,":
            position += 1
        elif match := _PARAMETER.match(header, position):
            name, quoted, plain = match.groups()
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
            if found:
                found[-1][1].setdefault(name.lower(), value)
            position = match.end()
        elif match := _SCHEME.match(header, position):
            found.append((match.group(1), {}))
            position = match.end()
        else:
            position += 1
    return found
