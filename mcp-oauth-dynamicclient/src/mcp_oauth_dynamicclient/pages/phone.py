"""A server's address for the camera of a phone."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urlsplit

import segno
from markupsafe import Markup

from ..this_machine import is_loopback

LONGEST = 200
"""Characters of an address; the work grows with them."""


@lru_cache(maxsize=256)
def qr_code(url: str) -> Markup:
    """An SVG of its own, without style and script; empty for what no phone can open, such as this machine."""
    host = urlsplit(url).hostname or ""
    if len(url) > LONGEST or is_loopback(host):
        return Markup()
    drawn = segno.make_qr(url).svg_inline(scale=4, border=3, light="#fff", omitsize=True)
    return Markup(drawn)  # noqa: S704  # drawn by segno: a path, nothing of what was given
