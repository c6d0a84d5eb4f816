#!/usr/bin/env python3
"""The browser of somebody without one, and without anything beside Python: `BROWSER="sign-in %s"`.

Approves the consent page, signs in as `admin` with the password in GATEWAY_PASSWORD, and follows where it is
sent.
"""

from __future__ import annotations

import os
import sys
import urllib.parse
import urllib.request
from html.parser import HTMLParser
from http.cookiejar import CookieJar


class Forms(HTMLParser):
    """Each form of a page: where it goes, and what its fields hold."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attributes}
        if tag == "form":
            self.found.append((has["action"], {}))
        elif self.found and tag in ("input", "button") and "name" in has:
            self.found[-1][1].setdefault(has["name"], has.get("value", ""))


def main(url: str) -> None:
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    entered = {"username": "admin", "password": os.environ["GATEWAY_PASSWORD"], "decision": "approve"}
    page = browser.open(url, timeout=120)
    for _ in ("consent", "password"):
        forms = Forms()
        forms.feed(page.read().decode())
        if not forms.found:
            return
        action, fields = forms.found[0]
        filled = {name: entered.get(name, value) for name, value in fields.items()}
        address = urllib.parse.urljoin(page.url, action)
        sent = urllib.request.Request(
            address, urllib.parse.urlencode(filled).encode(), {"Origin": _origin(address)}
        )
        page = browser.open(sent, timeout=120)
    page.read()


def _origin(address: str) -> str:
    parts = urllib.parse.urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


if __name__ == "__main__":
    main(sys.argv[1])
