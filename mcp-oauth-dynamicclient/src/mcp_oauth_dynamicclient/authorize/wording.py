"""What the consent page says about a request, in words."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from .. import pages
from ..clients import redirects
from ..context import Context
from ..grants import grant
from ..records import Client

SCOPES = {
    "mcp": "Use everything the server offers, in your name: its tools, prompts and data",
    "offline_access": "Stay connected until you revoke it, without asking again",
}


LONGEST_PAGE = 100
"""Characters of an address that is shown."""


@dataclass(frozen=True, slots=True)
class ClientWords:
    name: str
    explanation: str
    vouched_by: str = ""
    """Empty: nobody vouches for the name."""
    unverified: bool = False
    """Whether there is a name that somebody else may bear."""
    pages: tuple[tuple[str, str], ...] = ()
    """What it says is its site, its policy and its terms: text and no links, since nobody has read them."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Who receives the code, and with it the access."""

    host: str
    warning: str = ""
    label: str = "Access goes to"


def describe_client(client: Client) -> ClientWords:
    name, told = pages.cut(client.name), _pages(client)
    match client.source:
        case "document":
            host = urlsplit(client.client_id).netloc
            return ClientWords(name, f"Published by {host}, which vouches for this name.", host, pages=told)
        case "wellknown":
            host = urlsplit(client.client_id).netloc
            return ClientWords(
                name, f"Known to this gateway as published by {host}, which did not answer just now.", host,
                pages=told,
            )  # fmt: skip
        case "preregistered":
            return ClientWords(name, "Entered by the operator of this gateway.", "known here", pages=told)
        case "dynamic":
            if not client.metadata.get("client_name"):
                return ClientWords(name, f"Here it is known as {client.client_id}.", pages=told)
            explanation = "It chose this name itself; nobody has checked it."
            return ClientWords(name, explanation, unverified=True, pages=told)


def _pages(client: Client) -> tuple[tuple[str, str], ...]:
    members = {"client_uri": "Site", "policy_uri": "Privacy policy", "tos_uri": "Terms"}
    found = ((label, str(client.metadata.get(member, ""))) for member, label in members.items())
    return tuple(
        (label, pages.cut(url, LONGEST_PAGE))
        for label, url in found
        if url.startswith(("https://", "http://")) and url.isascii() and url.isprintable()
    )


def describe_end(ctx: Context, client: Client) -> str:
    """The day until which what is approved now lasts at the latest."""
    if not client.allows_grant("refresh_token"):
        return f"{duration(grant.lifetime(ctx, client))}; then the client has to ask again"
    latest = pages.moment(ctx.now() + ctx.settings.grant_lifetime)
    unused = duration(min(grant.lifetime(ctx, client), ctx.settings.grant_lifetime))
    return f"{latest} at the latest, or {unused} after its last use, or until you revoke it"


def duration(seconds: float) -> str:
    """`30 days`, `2 hours`, `90 minutes`: the largest unit that says it whole."""
    units = {86400: "day", 3600: "hour", 60: "minute"}
    length = next((length for length in units if seconds >= length and seconds % length == 0), 60)
    number, unit = max(1, round(seconds / length)), units[length]
    return f"{number} {unit}{'' if number == 1 else 's'}"


def describe_destination(redirect_uri: str) -> Destination:
    parts = urlsplit(redirect_uri)
    if redirects.is_loopback(redirect_uri):
        return Destination(
            f"this computer ({parts.netloc})",
            "Any program running on this computer can ask in this name."
            " Approve only if you have just started to connect one here yourself.",
        )
    if parts.scheme != "https":
        return Destination(
            f"an app on this device ({parts.scheme}:)",
            f"Any app on this device can claim links that begin with {parts.scheme}:."
            " Approve only if you have just started to connect one here yourself.",
        )
    return Destination(parts.netloc)


def describe_scope(scope: str) -> list[str]:
    return [SCOPES.get(name, name) for name in scope.split()]
