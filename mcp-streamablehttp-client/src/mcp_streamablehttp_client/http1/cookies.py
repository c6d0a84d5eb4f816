"""Cookies of one origin: load balancers keep a client at its server with them."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie

MOST_COOKIES = 50
LONGEST_COOKIE = 4096


class Cookies:
    """The cookies of one process and one server: kept in memory, sent to every path, gone at the end."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def take(self, fields: list[str]) -> None:
        """Set-Cookie fields of an answer; one with an end in the past removes (RFC 6265 section 5.3)."""
        for field in fields:
            if len(field) > LONGEST_COOKIE:
                continue
            try:
                found = SimpleCookie(field)
            except CookieError:
                continue
            for name, morsel in found.items():
                self._values.pop(name, None)
                gone = morsel["max-age"] == "0" or morsel["max-age"].startswith("-")
                if not gone and "1970" not in morsel["expires"]:
                    self._values[name] = morsel.coded_value
        while len(self._values) > MOST_COOKIES:
            del self._values[next(iter(self._values))]

    def header(self) -> list[tuple[str, str]]:
        if not self._values:
            return []
        return [("Cookie", "; ".join(f"{name}={value}" for name, value in self._values.items()))]
