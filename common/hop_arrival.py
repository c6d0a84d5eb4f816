"""The hops of a request that has arrived, judged by what came with it and by the gateway's signed statement.

Facts in, verdicts out; none of them holds a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .hop import AUTHORIZATION, TRANSPORT, Verdict, unseen, well, wrong

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Stated:
    """What a verified statement says; `expires_at` in seconds since the epoch."""

    issuer: str
    audience: str
    user_id: str
    client_id: str
    scope: str
    expires_at: float


@dataclass(frozen=True)
class Arrival:
    """A request as it reached the server.

    `headers` have names in lower case. `own` is the server's own resource identifier, empty where it was not
    told; `stated` is None where no statement was required. `client` is the name that the client gave itself.
    """

    headers: Mapping[str, str]
    version: str
    handshake: bool
    has_session: bool
    client: str = ""
    own: str = ""
    stated: Stated | None = None
    now: float = 0.0


def hops(arrival: Arrival) -> list[Verdict]:
    """The verdict on each hop, in the order in which a request passes them."""
    checks = (_client, _tls, _edge, _gate, _token, _audience, _session, _era)
    return [check(arrival) for check in checks]


def _client(arrival: Arrival) -> Verdict:
    if not arrival.client:
        return unseen("client", "the client did not say its name, which this request need not hold")
    return well("client", f"the client calls itself {arrival.client}")


def _tls(arrival: Arrival) -> Verdict:
    scheme = arrival.headers.get("x-forwarded-proto", "").lower()
    if not scheme:
        return unseen("tls", "no X-Forwarded-Proto says how the client reached the edge")
    if scheme == "https":
        return well("tls", "the client reached the edge by https, as the edge says")
    host = arrival.headers.get("x-forwarded-host", "")
    near = host.rpartition(":")[0] in _LOOPBACK or host in _LOOPBACK
    return wrong(
        "tls",
        f"the client reached the edge by plain {scheme if scheme == 'http' else 'something else than https'}"
        + (", on this machine" if near else "; whoever is on the way can read its token"),
        f"{AUTHORIZATION}, Communication Security; RFC 6750 §5.3",
        "use it on this machine only" if near else "serve the edge by https, and redirect or close port 80",
        state="warning" if near else "wrong",
    )


def _edge(arrival: Arrival) -> Verdict:
    scheme, host = (arrival.headers.get(f"x-forwarded-{name}", "") for name in ("proto", "host"))
    if not scheme and not host:
        return wrong(
            "edge",
            "no X-Forwarded header: the request did not pass the edge, or the edge does not say so",
            "RFC 7239 §4",
            "call the server by its public address, and let nothing else reach its port",
            state="wrong" if arrival.own else "warning",
        )
    if arrival.own and not arrival.own.startswith(f"{scheme}://{host}/"):
        return wrong(
            "edge",
            f"the request came by another address than this server's own, {arrival.own}",
            f"{AUTHORIZATION}, Canonical Server URI",
            "make MCP_PUBLIC_URL and the edge's address of this server the same",
        )
    return well("edge", "the request passed the edge under this server's address")


def _gate(arrival: Arrival) -> Verdict:
    stated = arrival.stated
    if stated is None:
        if "x-user-id" in arrival.headers:
            return wrong(
                "gate",
                "X-User-Id came without a signed statement: whoever reaches this port can write it",
                "RFC 8725 §3.1",
                "set MCP_PUBLIC_URL and MCP_IDENTITY_URL, so that only signed identity is taken",
                state="warning",
            )
        return unseen("gate", "nobody vouches for this request, and none is required to (MCP_IDENTITY_URL)")
    left = round(stated.expires_at - arrival.now)
    if left <= 0:
        cure = "compare the clocks of gateway and server"
        return wrong("gate", f"the statement expired {-left} s ago", "RFC 7519 §4.1.4", cure, state="warning")
    who = f"{stated.user_id} by client {stated.client_id or '(unnamed)'}"
    return well("gate", f"{stated.issuer} signed that this is {who}; valid for {left} s more")


def _token(arrival: Arrival) -> Verdict:
    if "authorization" in arrival.headers:
        return wrong(
            "token",
            "an Authorization header reached this server",
            f"{AUTHORIZATION}, Token Passthrough; RFC 6750 §5.2",
            "let the edge remove it: a server needs the identity, not the token",
            state="wrong" if arrival.stated else "warning",
        )
    if arrival.stated is None:
        return unseen("token", "no token reached this server, and nobody says that one was checked")
    return well(
        "token", f"checked at the gate and kept there; its scope is {arrival.stated.scope or 'empty'}"
    )


def _audience(arrival: Arrival) -> Verdict:
    if arrival.stated is None:
        return unseen("audience", "there is no statement that names a server")
    if arrival.stated.audience != arrival.own:
        cure = "make MCP_PUBLIC_URL the address that clients use"
        return wrong("audience", f"the token is for {arrival.stated.audience}", "RFC 8707 §2", cure)
    return well("audience", f"the token is for this server, {arrival.own}")


def _session(arrival: Arrival) -> Verdict:
    if not arrival.handshake:
        return well("session", f"protocol {arrival.version} has none")
    if not arrival.has_session:
        return well("session", "this server keeps none, as a server may")
    return well("session", "the request belongs to a session of this server's, and of this user's")


def _era(arrival: Arrival) -> Verdict:
    said = arrival.headers.get("mcp-protocol-version", "")
    if arrival.handshake and not said and arrival.version != "2025-03-26":
        return wrong(
            "era",
            f"protocol {arrival.version}, but the request has no MCP-Protocol-Version header",
            "MCP 2025-11-25, Transports, Protocol Version Header",
            "update the client, or let the edge pass that header",
            state="warning",
        )
    if not arrival.handshake and "mcp-method" not in arrival.headers:
        cure = "let the edge pass the Mcp- headers"
        return wrong("era", f"protocol {arrival.version} without Mcp-Method", f"{TRANSPORT}, Headers", cure)
    kind = "a handshake version" if arrival.handshake else "without a handshake"
    return well("era", f"protocol {arrival.version}, {kind}")
