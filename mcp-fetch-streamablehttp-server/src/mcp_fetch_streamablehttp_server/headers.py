"""Which request headers a caller may choose."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .errors import FetchError

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\x20-\x7e\t]*")
_MOST, _LONGEST = 30, 8192

# The connection's own business (RFC 9110 7.6.1, 8.6, 10.1.1), logins, and whom the server takes us for.
_RESERVED = {
    "accept-encoding",
    "connection",
    "content-length",
    "cookie",
    "cookie2",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "metadata",
    "metadata-flavor",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-client-id",
    "x-real-ip",
}
_RESERVED_PREFIXES = (
    "proxy-",
    "sec-",
    "x-aws-ec2-metadata",
    "x-forwarded-",
    "x-original-",
    "x-rewrite-",
    "x-user-",
)

# Kept when a redirect leaves the origin; anything else might be meant for the first server alone.
NEUTRAL = {"accept", "accept-language", "user-agent"}


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The caller's headers in lower case. Raises FetchError for one that may not be sent."""
    if len(headers) > _MOST or sum(len(name) + len(value) for name, value in headers.items()) > _LONGEST:
        raise FetchError(f"Send at most {_MOST} headers of {_LONGEST} characters together.")
    checked: dict[str, str] = {}
    for name, value in headers.items():
        lowered = name.lower()
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise FetchError(f"The header {name!r} is malformed: names are tokens, values printable ASCII.")
        reserved = lowered.replace("_", "-")
        if reserved in _RESERVED or reserved.startswith(_RESERVED_PREFIXES):
            raise FetchError(f"The header {name} may not be set.")
        if lowered in checked:
            raise FetchError(f"The header {name} is given twice.")
        checked[lowered] = value.strip()
    return checked


def for_other_origin(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name in NEUTRAL}
