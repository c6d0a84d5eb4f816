"""What a person is told when something does not go on, and what the audit log keeps of it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import Response

from ..errors import (
    AccessDeniedError,
    OAuth2Error,
    StoreUnavailableError,
    TemporarilyUnavailableError,
    TooManyRequestsError,
)
from .rendering import as_in_a_url, cut, render

if TYPE_CHECKING:
    from .._common.hop import Verdict
    from ..audit import Event
    from ..context import Context
    from ..visible import Shown

TITLES = {
    "access_denied": "Not admitted",
    "invalid_client": "This client is not known here",
    "invalid_redirect_uri": "Nothing was sent",
    "temporarily_unavailable": "Not available just now",
}
CONNECT_AGAIN = "Go back to your client and connect again."
HINTS = {
    "invalid_client": "Remove the connection in your client and add it again: it then registers again.",
    "access_denied": "Start again with another account, or ask the person who runs this gateway to admit this"
    " one.",
    "temporarily_unavailable": "Wait a moment, then load this page again.",
    "invalid_redirect_uri": "Remove the connection in your client and add it again. If that does not help,"
    " ask whoever makes the client.",
    "server_error": "Try again. If it happens again, give the reference below to whoever runs this gateway.",
}
LONGEST_NAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A page that ends something, and a line of the audit log with the same reference."""

    event: Event
    title: str
    sentence: str
    hint: str = ""
    status: int = 400
    again: str | None = None
    """A link of our own that starts over."""
    again_label: str = "Start again"
    client_id: str | None = None
    client_name: str | None = None
    claimed_client: str | None = None
    """The client_id that was sent, where no such client is known, or nobody could look."""
    error: OAuth2Error | None = None
    findings: Sequence[Verdict] = ()
    """What the owner of a local run is told besides."""


def refuse(ctx: Context, refusal: Refusal) -> Response:
    """Show the page and record it. What is away is recorded once a minute, with one reference for all whom it
    stops; a store is away for everybody, so that its line names nobody."""
    error, reference = refusal.error, secrets.token_hex(4)
    unwritten: int | None = 0
    client, claimed = refusal.client_id, refusal.claimed_client
    if isinstance(error, StoreUnavailableError):
        client = claimed = None
    if isinstance(error, TemporarilyUnavailableError):
        what = (refusal.event, client, claimed, error.reason, error.detail)
        reference, unwritten = ctx.outages.meet(*what)
    if unwritten is not None:
        ctx.audit.record(
            refusal.event,
            outcome="refused",
            client=client,
            claimed_client=claimed,
            reason=refusal.sentence,
            error=error,
            reference=reference,
            unwritten=unwritten or None,
        )
    return render(
        ctx, "error.html", status=refusal.status,
        title=refusal.title, sentence=refusal.sentence, hint=refusal.hint,
        again=refusal.again, again_label=refusal.again_label,
        client=cut(refusal.client_name or refusal.client_id or "", LONGEST_NAME),
        claimed_client=as_in_a_url(refusal.claimed_client or ""), reference=reference,
        findings=refusal.findings,
    )  # fmt: skip


def refuse_error(
    ctx: Context,
    event: Event,
    error: OAuth2Error,
    *,
    again: str | None = None,
    client_id: str | None = None,
    client_name: str | None = None,
    claimed_client: str | None = None,
    findings: Sequence[Verdict] = (),
) -> Response:
    """The same for an error: 403 where somebody is not admitted, Retry-After where waiting helps. Where there
    is no link that starts over, words say what to do."""
    code = error.error or ""
    title, status = TITLES.get(code, "That did not work"), error.status_code or 400
    if isinstance(error, TooManyRequestsError):
        title = "Too many attempts"
    elif isinstance(error, AccessDeniedError):
        status = 403
    refusal = Refusal(
        event=event,
        title=title,
        sentence=error.reason,
        hint="" if again else HINTS.get(code, CONNECT_AGAIN),
        status=status,
        again=again,
        client_id=client_id,
        client_name=client_name,
        claimed_client=claimed_client,
        error=error,
        findings=findings,
    )
    response = refuse(ctx, refusal)
    if isinstance(error, TooManyRequestsError | TemporarilyUnavailableError):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def no_cookie(
    ctx: Context,
    event: Event,
    again: str,
    *,
    client_id: str | None = None,
    client_name: str | None = None,
) -> Response:
    host = ctx.settings.issuer.partition("://")[2]
    refusal = Refusal(
        event=event,
        title="Your browser did not send our cookie",
        sentence="The cookie proves that the browser that approved is the one signing in. Without it we"
        " cannot continue.",
        hint=f"Allow cookies for {host}. If this window belongs to an app, open the link in your usual"
        " browser instead. Then start again.",
        again=again,
        client_id=client_id,
        client_name=client_name,
    )
    return refuse(ctx, refusal)


def not_opened(ctx: Context, allow: str) -> Response:
    """405: an address that only takes what is sent, opened as if it were a page. Not recorded, since nothing
    has happened."""
    return render(
        ctx, "error.html", status=405, headers={"Allow": allow},
        title="This is not a page",
        sentence="This address takes what forms and programs send; there is nothing to read.",
        hint=CONNECT_AGAIN, again="/", again_label="The servers of this gateway",
        client="", claimed_client="", reference="", findings=(),
    )  # fmt: skip


def not_found(ctx: Context, servers: Sequence[Shown] | None = None, meant: str = "") -> Response:
    """An address that leads nowhere: not recorded, since strangers try thousands. `servers` are those that
    the visitor may see, `meant` is the one that the address may have meant."""
    return render(ctx, "nothing.html", status=404, copying=True, servers=servers or (), meant=meant)
