"""The authorization response (RFC 6749 section 4.1.2, RFC 9207): back to the client, whatever came of it."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from .. import pages
from ..context import Context
from ..errors import OAuth2Error


def answer_url(ctx: Context, redirect_uri: str, state: str | None, answer: dict[str, str]) -> str:
    """The redirect URI with the answer, `state` and `iss` added to whatever query it has."""
    parameters = answer | ({} if state is None else {"state": state}) | {"iss": ctx.settings.issuer}
    separator = "" if redirect_uri.endswith(("?", "&")) else "&" if "?" in redirect_uri else "?"
    return f"{redirect_uri}{separator}{urlencode(parameters)}"


def error_url(ctx: Context, redirect_uri: str, state: str | None, error: OAuth2Error) -> str:
    answer = {"error": error.error or "server_error"}
    if error.description:
        answer["error_description"] = error.description
    return answer_url(ctx, redirect_uri, state, answer)


def redirect_back(ctx: Context, request: Request, url: str, client_name: str, *, approved: bool) -> Response:
    """Take the browser to the client.

    Browsers apply a page's form-action to every redirect that follows its form, those that the client makes
    afterwards included. So the answer to a form is a page that goes on by itself, which ends that chain; only
    what does not announce itself as a browser (Fetch Metadata) is redirected. An app's own scheme always gets
    the page: the browser stays on it when the app has opened.
    """
    from_a_form = request.method == "POST" and "sec-fetch-mode" in request.headers
    if url.startswith(("https:", "http:")) and not from_a_form:
        return RedirectResponse(url, 303)
    return pages.render(
        ctx, "returning.html", headers={"Refresh": f"0;url={url}"},
        title="Approved" if approved else "Not approved",
        sentence=f"Taking you back to {client_name}.",
        target=url, label=f"Continue to {client_name}",
    )  # fmt: skip
