"""The authorization response (RFC 6749 section 4.1.2, RFC 9207): back to the client, whatever came of it."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from .. import pages
from ..clients import redirects
from ..context import Context
from ..errors import OAuth2Error
from .request import RedirectedError


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


def refuse_back(ctx: Context, request: Request, fault: RedirectedError) -> Response:
    """Tell the client what is wrong with its request, before anybody has approved anything.

    Whoever registers here can make such a request wrong on purpose, and let the gateway's address lead to any
    page of his own (RFC 9700 section 4.11.2). A person goes there by a link that names the host, unless the
    client is known here or the address is of the person's own device.
    """
    url = error_url(ctx, fault.redirect_uri, fault.state, fault.error)
    name = pages.cut(fault.client.name)
    anywhere = fault.redirect_uri.startswith("https:") and not redirects.is_loopback(fault.redirect_uri)
    if ctx.clients.is_known(fault.client) or not anywhere:
        return redirect_back(ctx, request, url, name, approved=False)
    host = urlsplit(url).netloc
    return pages.render(
        ctx, "returning.html", status=400,
        title="Not connected",
        sentence=f"{name} has asked for something that it cannot get here: {fault.error.reason}"
        f" You can go back to it, at {host}, if that is where you came from.",
        target=url, label=f"Continue to {pages.cut(host)}",
    )  # fmt: skip
