"""Templates to responses, with the headers that keep a page from being framed, cached or injected into."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from .connect import ways_to_connect
from .static import STYLE_VERSION

if TYPE_CHECKING:
    from ..context import Context

SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")


def moment(seconds: float) -> str:
    """`23 November 2026, 18:22 UTC`"""
    when = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{when.day} {when:%B %Y, %H:%M} UTC"


def iso(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


templates = Environment(
    loader=PackageLoader(__package__, "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
templates.filters.update(moment=moment, iso=iso)


def render(
    ctx: Context,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    form_targets: tuple[str, ...] = (),
    **values: object,
) -> HTMLResponse:
    """A page. `form_targets` are URLs that answering a form on it may redirect to, besides this server."""
    text = templates.get_template(template).render(
        issuer=ctx.settings.issuer,
        host=urlsplit(ctx.settings.issuer).netloc,
        style=f"{ctx.settings.issuer}/static/style.css?v={STYLE_VERSION}",
        icon=f"{ctx.settings.issuer}/static/icon.svg?v={STYLE_VERSION}",
        **values,
    )
    return HTMLResponse(text, status, {**page_headers(ctx, form_targets), **(headers or {})})


def page_headers(ctx: Context, form_targets: tuple[str, ...] = ()) -> dict[str, str]:
    issuer = ctx.settings.issuer
    targets = " ".join(["'self'", *(form_source(target) for target in form_targets)])
    policy = (
        f"default-src 'none'; style-src {issuer}; img-src {issuer}; form-action {targets};"
        " frame-ancestors 'none'; base-uri 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
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


def error_page(
    ctx: Context,
    title: str,
    sentence: str,
    hint: str = "",
    status: int = 400,
    *,
    again: str | None = None,
    again_label: str = "Start again",
) -> HTMLResponse:
    """What went wrong and what to do; `again` is a link of our own that starts over."""
    return render(
        ctx, "error.html", status=status,
        title=title, sentence=sentence, hint=hint, again=again, again_label=again_label,
    )  # fmt: skip


def server_page(
    ctx: Context, resource: str, status: int = 401, headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    """What a browser sees at a server's URL: what this is, and how to connect each client to it."""
    name = ctx.resources.name(resource)
    return render(
        ctx, "server.html", status=status, headers=headers,
        resource=resource, name=name, ways=ways_to_connect(name, resource),
    )  # fmt: skip
