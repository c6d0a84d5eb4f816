"""The authorization response (RFC 6749 section 4.1.2, RFC 9207): back to the client, whatever came of it."""

from __future__ import annotations

import re
from urllib.parse import urlencode

from fastapi import Response
from fastapi.responses import RedirectResponse

from .. import pages
from ..clients import redirects
from ..context import Context
from ..errors import OAuth2Error

NOT_ALLOWED = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")
"""In an error_description (RFC 6749 section 4.1.2.1)."""


def answer_url(ctx: Context, redirect_uri: str, state: str | None, answer: dict[str, str]) -> str:
    """The redirect URI with the answer, `state` and `iss` added to whatever query it has."""
    parameters = answer | ({} if state is None else {"state": state}) | {"iss": ctx.settings.issuer}
    separator = "" if redirect_uri.endswith(("?", "&")) else "&" if "?" in redirect_uri else "?"
    return f"{redirect_uri}{separator}{urlencode(parameters)}"


def error_url(ctx: Context, redirect_uri: str, state: str | None, error: OAuth2Error) -> str:
    answer = {"error": error.error or "server_error"}
    if error.description:
        answer["error_description"] = NOT_ALLOWED.sub("?", error.description)
    return answer_url(ctx, redirect_uri, state, answer)


def send_back(ctx: Context, url: str, client_name: str, *, approved: bool, after_form: bool) -> Response:
    """Take the browser to the client.

    Browsers apply the form-action of a page to every redirect that answering its form leads to, also to those
    that the client makes afterwards. So after a form only an address of this machine, which the page's
    form-action names, is redirected to; elsewhere a page of ours goes on by itself. The same for an app's own
    scheme, where the browser stays on the page that opened the app.
    """
    if redirects.is_loopback(url) or (url.startswith("https:") and not after_form):
        return RedirectResponse(url, 303)
    return pages.render(
        ctx, "returning.html", headers={"Refresh": f"0;url={url}"},
        title="Approved" if approved else "Not approved",
        sentence=f"Taking you back to {client_name}.",
        target=url, label=f"Continue to {client_name}",
    )  # fmt: skip


def form_targets(redirect_uri: str) -> tuple[str, ...]:
    """What form-action has to name so that `send_back` can redirect."""
    return (redirect_uri,) if redirects.is_loopback(redirect_uri) else ()
