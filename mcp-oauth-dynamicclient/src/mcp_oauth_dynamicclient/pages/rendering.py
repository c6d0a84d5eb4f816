"""Templates to responses, with the headers that keep a page from being framed, cached or injected into."""

from __future__ import annotations

import datetime
import re
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from ..bridge_wheel import install_line
from .connect import ways_to_connect
from .phone import qr_code
from .static import STYLE_VERSION

if TYPE_CHECKING:
    from ..context import Context

URL_CHARACTERS = "!$%&'()*+,/:;=?@[]"
"""Besides letters, digits and `-._~` (RFC 3986 section 2)."""
LONGEST_CLAIM = 100
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")


def moment(seconds: float) -> str:
    """As `23 November 2026, 18:22 UTC`."""
    when = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{when.day} {when:%B %Y, %H:%M} UTC"


def cut(text: str, most: int = 60) -> str:
    """What a stranger wrote, at most `most` characters of it, with "…" where more is left out."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def as_in_a_url(text: str) -> str:
    """What a stranger sent and nobody knows: so written that it is no sentence, hides nothing and turns no
    direction, and cut."""
    return cut(quote(text, safe=URL_CHARACTERS, errors="replace"), LONGEST_CLAIM)


def iso(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


templates = Environment(
    loader=PackageLoader(__package__, "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
templates.filters.update(moment=moment, iso=iso, cut=cut, qr_code=qr_code)


def render(
    ctx: Context,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    form_targets: tuple[str, ...] = (),
    copying: bool = False,
    **values: object,
) -> HTMLResponse:
    """A page. `form_targets` are URLs that answering a form on it may redirect to, besides this server.
    `copying` adds the one script there is, for copy buttons; no page on which something is decided has it."""
    nonce = secrets.token_urlsafe(16) if copying else ""
    text = templates.get_template(template).render(
        issuer=ctx.settings.issuer,
        host=urlsplit(ctx.settings.issuer).netloc,
        style=f"{ctx.settings.issuer}/static/style.css?v={STYLE_VERSION}",
        icon=f"{ctx.settings.issuer}/static/icon.svg?v={STYLE_VERSION}",
        nonce=nonce,
        **values,
    )
    return HTMLResponse(text, status, {**page_headers(ctx, form_targets, nonce), **(headers or {})})


def page_headers(ctx: Context, form_targets: tuple[str, ...] = (), nonce: str = "") -> dict[str, str]:
    issuer = ctx.settings.issuer
    targets = " ".join(["'self'", *(form_source(target) for target in form_targets)])
    policy = (
        f"default-src 'none'; style-src {issuer}; img-src {issuer}; form-action {targets};"
        " frame-ancestors 'none'; base-uri 'none'"
    )
    if nonce:
        policy += f"; script-src 'nonce-{nonce}'"
    return {
        "Content-Security-Policy": policy,
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",  # with no-referrer, forms would send `Origin: null`
        "Cache-Control": "no-store",
    }


def form_source(url: str) -> str:
    """The narrowest CSP source that covers a URL (CSP level 3 section 2.3.1).

    The grammar has no IPv6 addresses: there the port is named and the host left open.
    """
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        host = "*" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")
    if not SCHEME.fullmatch(parts.scheme):
        raise ValueError("not a redirect target")
    return f"{parts.scheme}:"


def server_page(
    ctx: Context, resource: str, status: int = 401, headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    """What a browser sees at a server's URL: what this is, and how to connect each client to it."""
    name = ctx.resources.name(resource)
    install = install_line(ctx.settings, ctx.bridge_wheel)
    return render(
        ctx, "server.html", status=status, headers=headers, copying=True,
        resource=resource, name=name, ways=ways_to_connect(name, resource, install),
    )  # fmt: skip
