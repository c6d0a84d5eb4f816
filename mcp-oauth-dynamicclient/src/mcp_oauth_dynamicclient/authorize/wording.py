"""What the consent page says about a request, in words."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from ..clients import redirects
from ..records import Client

SCOPES = {
    "mcp": "Use everything the server offers, in your name: its tools, prompts and data",
    "offline_access": "Stay connected until you revoke it, without asking again",
}


@dataclass(frozen=True, slots=True)
class ClientWords:
    name: str
    explanation: str
    vouched_by: str = ""
    """Empty: nobody vouches for the name."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Who receives the code, and with it the access."""

    host: str
    warning: str = ""
    label: str = "Access goes to"


def describe_client(client: Client) -> ClientWords:
    name = client.name[:100]
    match client.source:
        case "document":
            host = urlsplit(client.client_id).netloc
            return ClientWords(name, f"Published by {host}, which vouches for this name.", host)
        case "wellknown":
            host = urlsplit(client.client_id).netloc
            return ClientWords(
                name, f"Known to this gateway as published by {host}, which did not answer just now.", host
            )
        case "preregistered":
            return ClientWords(name, "Entered by the operator of this gateway.", "known here")
        case "dynamic":
            return ClientWords(name, "It chose this name itself; nobody has checked it.")


def describe_destination(redirect_uri: str, client_name: str) -> Destination:
    parts = urlsplit(redirect_uri)
    if redirects.is_loopback(redirect_uri):
        return Destination(
            f"this computer ({parts.netloc})",
            "Any program running on this computer can ask in this name."
            f" Approve only if you have just started to connect {client_name} here yourself.",
        )
    if parts.scheme != "https":
        return Destination(
            f"an app on this device ({parts.scheme}:)",
            f"Any app on this device can claim links that begin with {parts.scheme}:."
            f" Approve only if you have just started to connect {client_name} here yourself.",
        )
    return Destination(parts.netloc)


def describe_scope(scope: str) -> list[str]:
    return [SCOPES.get(name, name) for name in scope.split()]
