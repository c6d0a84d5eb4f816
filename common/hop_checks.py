"""What each hop must be like, from the name of a server to its first answer: facts in, verdict out.

Nothing here connects, sends or waits. A check names the first thing that is wrong. Times are seconds
since the epoch. The hops of authorization are in hop_checks_oauth.
"""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

from .error_codes import METHOD_NOT_FOUND, UNSUPPORTED_VERSION
from .hop import AUTHORIZATION, TRANSPORT, Bearer, Hop, Reply, State, Verdict, unseen, well, wrong
from .versions import HANDSHAKE_VERSIONS, MODERN_VERSION

CLOCK_MAY_DIFFER, CLOCK_SHOULD_DIFFER = 30.0, 5.0
"""Seconds; more, and fresh tokens seem expired, or not yet valid. The smaller is worth a word."""


def check_url(url: str) -> Verdict:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as problem:
        return wrong("url", f"the address is no URL ({problem})", "RFC 3986 §3", "check the spelling")
    rule = f"{AUTHORIZATION}, Canonical Server URI"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return wrong("url", "the address is not https://host/path", rule, "use the server's https address")
    if parts.username is not None or parts.password is not None:
        cure = "send credentials in a header"
        return wrong("url", "the address holds a user name or password", "RFC 9110 §4.2.4", cure)
    if parts.fragment:
        return wrong("url", "the address has a fragment", rule, "leave out what follows #")
    return well("url", url)


def check_names(host: str, addresses: Sequence[str], problem: str = "") -> Verdict:
    """What the name resolved to."""
    if not addresses:
        cure = "check the spelling, and that the name has an A or AAAA record that this machine can see"
        return wrong("dns", f"{host} has no address", "RFC 1034 §3.6", cure, problem)
    return well("dns", f"{host} is {', '.join(addresses)}")


def check_connection(host: str, port: int, problem: str = "") -> Verdict:
    if problem:
        cure = "check that the service runs and listens there, and the firewalls between"
        return wrong("tcp", f"nobody answers at {host}:{port}", "RFC 9293 §3.5", cure, problem)
    return well("tcp", f"{host}:{port} answers")


def check_tls(
    host: str, problem: str = "", version: str = "", ends_at: float | None = None, now: float = 0
) -> Verdict:
    """`problem` is the TLS library's own sentence when the handshake failed."""
    lower = problem.lower()
    if problem:
        rule, cure = "RFC 8446 §4.4.2", "look at the server's TLS configuration"
        if "expired" in lower:
            rule, cure = "RFC 5280 §4.1.2.5", "renew the certificate"
        elif "hostname" in lower or "not valid for" in lower or "ip address mismatch" in lower:
            rule, cure = "RFC 9525 §6.3", f"get a certificate that names {host}"
        elif (
            "self-signed" in lower
            or "self signed" in lower
            or "local issuer" in lower
            or "unknown ca" in lower
        ):
            rule = "RFC 5280 §6.1"
            cure = "serve the whole chain from an authority the clients trust (this client: --ca-file)"
        elif "wrong_version" in lower or "record layer" in lower or "http_request" in lower:
            rule, cure = (
                "RFC 9110 §4.2.2",
                f"this port speaks plain http; use http://{host}… or enable TLS there",
            )
        elif "certificate_required" in lower or "certificate required" in lower:
            rule, cure = "RFC 8446 §4.3.2", "it asks for a client certificate: --client-certificate"
        return wrong("tls", f"TLS with {host} fails", rule, cure, problem)
    if ends_at is not None and ends_at - now < 7 * 86400:
        days = int((ends_at - now) / 86400)
        what = f"the certificate of {host} ends in {days} days"
        return wrong("tls", what, "RFC 5280 §4.1.2.5", "see why it is not renewed", state="warning")
    return well("tls", f"{version or 'TLS'}, trusted")


def check_https(url: str, *, loopback: bool, problem: str = "") -> Verdict:
    """`problem` is why no http was spoken over the connection, if none was."""
    if problem:
        cure = "use https:// in the address" if urlsplit(url).scheme == "http" else "look at the server's log"
        return wrong("https", "what answers there speaks no http", "RFC 9110 §4.2", cure, problem)
    if urlsplit(url).scheme == "https":
        return well("https", "the address is https")
    if loopback:
        return well("https", "plain http on this machine, which is allowed")
    rule = f"{AUTHORIZATION}, Communication Security"
    cure = "put TLS in front and use the https address; most clients refuse this one"
    return wrong("https", "the address is plain http", rule, cure, state="warning")


def check_redirect(url: str, reply: Reply) -> Verdict:
    """The verdict on an answer to a POST."""
    if reply.status not in (301, 302, 303, 307, 308):
        return well("redirect", "none")
    try:
        target = urljoin(url, reply.headers.get("location", ""))
        old, new = urlsplit(url), urlsplit(target)
    except ValueError as problem:
        return wrong("redirect", f"Location is no URL ({problem})", "RFC 9110 §10.2.2", "name the address")
    cure = f"give clients {target} as the address"
    if not reply.headers.get("location"):
        return wrong(
            "redirect", f"{reply.status} without Location", "RFC 9110 §15.4", "name the address", reply.said
        )
    if new.scheme == "http" and old.scheme == "https":
        what = f"https is redirected to {target}"
        cure = "make the server know its public scheme (X-Forwarded-Proto), or correct the redirect"
        return wrong("redirect", what, f"{AUTHORIZATION}, Communication Security", cure)
    if reply.status in (301, 302, 303):
        what = (
            f"a POST is redirected with {reply.status} to {target}: clients repeat it as GET, without a body"
        )
        return wrong("redirect", what, "RFC 9110 §15.4", f"{cure}, or redirect with 308")
    if (old.hostname, old.port) != (new.hostname, new.port):
        what = f"redirected to another host, {target}; clients do not send credentials there"
        return wrong("redirect", what, "RFC 9110 §15.4", cure)
    return wrong("redirect", f"redirected to {target}", "RFC 9110 §15.4.9", cure, state="warning")


def check_session(opened: Reply, unknown: Reply | None) -> Verdict:
    """`opened` answers initialize, `unknown` a request in a session that never was."""
    identifier = opened.headers.get("mcp-session-id")
    rule = f"{TRANSPORT}, Session Management"
    if identifier is None:
        return well("session", "the server keeps none")
    if not identifier or not all("\x21" <= character <= "\x7e" for character in identifier):
        return wrong("session", "the session id is not visible ASCII", rule, "use letters and digits")
    if unknown is not None and unknown.status != 404:
        cure = "answer 404, so that clients open a new session after a restart"
        state: State = "warning" if unknown.status == 400 else "wrong"
        return wrong(
            "session", f"an unknown session is answered {unknown.line}", rule, cure, unknown.said, state=state
        )
    return well("session", "kept, and an unknown one is refused with 404")


def check_handshake(reply: Reply, *, has_token: bool = False) -> Verdict:
    """The verdict on the answer to initialize (2025-11-25, Lifecycle)."""
    rule = "MCP 2025-11-25, Lifecycle"
    if (fault := _transport_fault("handshake", reply, has_token)) is not None:
        return fault
    result = (reply.message or {}).get("result")
    if not isinstance(result, dict):
        return wrong("handshake", "initialize is refused", rule, "see what it says", reply.said)
    version = result.get("protocolVersion")
    if version not in HANDSHAKE_VERSIONS:
        return wrong(
            "handshake", f"it answers with the version {version!r}", rule, "answer with a known version"
        )
    if not isinstance(result.get("capabilities"), dict) or not isinstance(result.get("serverInfo"), dict):
        return wrong("handshake", "the result has no capabilities or serverInfo", rule, "both are required")
    return well("handshake", f"speaks {version}")


def refuses_the_handshake(reply: Reply) -> bool:
    """Whether initialize is refused as something the server does not speak at all."""
    error = (reply.message or {}).get("error")
    return isinstance(error, dict) and error.get("code") in (UNSUPPORTED_VERSION, METHOD_NOT_FOUND)


def check_modern(reply: Reply, *, has_token: bool = False) -> Verdict:
    """The verdict on the answer to server/discover (2026-07-28); a server may not speak it."""
    rule = f"MCP {MODERN_VERSION}, Discovery"
    message = reply.message
    if message is not None and "error" in message and reply.status in (200, 400, 404):
        return unseen("modern", f"the server does not speak {MODERN_VERSION}")
    if reply.status in (400, 404, 405, 406):
        return unseen("modern", f"the server does not speak {MODERN_VERSION} ({reply.line})")
    if (fault := _transport_fault("modern", reply, has_token)) is not None:
        return fault
    result = (message or {}).get("result")
    versions = result.get("supportedVersions") if isinstance(result, dict) else None
    if not isinstance(versions, list):
        return wrong("modern", "the result has no supportedVersions", rule, "name the versions")
    if MODERN_VERSION not in versions:
        return unseen("modern", f"the server names {', '.join(map(str, versions))} only")
    return well("modern", f"speaks {MODERN_VERSION}")


def _transport_fault(hop: Hop, reply: Reply, has_token: bool) -> Verdict | None:
    rule = f"{TRANSPORT}, Sending Messages to the Server"
    if reply.status == 401 and has_token:
        cure = "the server must accept what its own authorization server issues: compare issuer, aud and keys"
        return wrong("audience", "the token is refused", "RFC 6750 §3.1", cure, reply.said)
    if reply.status == 403:
        return wrong(
            hop, "forbidden", "RFC 6750 §3.1", "the token lacks a scope, or the person a right", reply.said
        )
    if reply.status != 200:
        if (message := reply.message) is not None and "error" in message:
            return wrong(hop, f"refused with {reply.status}", rule, "see what it says", reply.said)
        return wrong(hop, f"answered {reply.line}", rule, "answer 200 with a JSON-RPC message", reply.said)
    if reply.media_type not in ("application/json", "text/event-stream"):
        cure = "answer application/json or text/event-stream"
        return wrong(hop, f"the answer is {reply.media_type or 'of no type'}", rule, cure, reply.said)
    message = reply.message
    if message is None:
        return wrong(
            hop,
            "the answer holds no JSON-RPC message",
            rule,
            "send the response, then end the stream",
            reply.said,
        )
    if message.get("jsonrpc") != "2.0" or message.get("id") != 1:
        what = f"jsonrpc is {message.get('jsonrpc')!r} and id {message.get('id')!r}"
        return wrong(
            hop, what, "JSON-RPC 2.0 §5", 'repeat the request\'s id beside "jsonrpc": "2.0"', reply.said
        )
    return None


def check_clock(
    date: str | None, now: float, asked_at: float | None = None, whose: str = "the server"
) -> Verdict:
    """By the Date header of an answer that came `now`; small differences count only where it is known when it
    was asked for."""
    try:
        there = parsedate_to_datetime(date or "").timestamp()
    except (ValueError, TypeError, OverflowError):
        return unseen("clock", f"{whose} tells no time")
    # The header tells whole seconds, cut off; the answer was made at some time in between.
    behind = (now if asked_at is None else asked_at - 1) - there
    differ = max(there - now, behind, 0.0)
    if differ <= (CLOCK_MAY_DIFFER if asked_at is None else CLOCK_SHOULD_DIFFER):
        return well("clock", f"{whose}'s agrees with this machine's")
    side = "ahead of" if there > now else "behind"
    what = f"{whose}'s clock is {differ:.0f} s {side} this machine's"
    cure = "let both machines follow a time server (NTP); tokens seem expired, or not yet valid"
    state: State = "wrong" if differ > CLOCK_MAY_DIFFER else "warning"
    return wrong("clock", what, "RFC 9110 §6.6.1", cure, state=state)


def is_server(reply: Reply) -> bool:
    """Whether an answer to initialize comes from an MCP server, or from what guards one."""
    if reply.status == 401:
        return Bearer.of(reply.headers.get("www-authenticate")) is not None
    message = reply.message
    if reply.media_type == "text/event-stream" and reply.status == 200:
        return True
    return message is not None and message.get("jsonrpc") == "2.0"


def elsewhere(url: str, right: str, reply: Reply) -> Verdict:
    """There is a server, at another address than the one given."""
    what = f"there is no MCP server at {url} ({reply.line}), but there is one at {right}"
    return wrong("url", what, f"{TRANSPORT}, Streamable HTTP", f"use {right}", reply.said)


def broke_off(after: Verdict | None, problem: str) -> Verdict:
    """No answer was had, or an address was not to be used, on the hop behind `after`."""
    following: dict[str, Hop] = {
        "challenge": "resource metadata",
        "resource metadata": "issuer",
        "issuer": "registration",
        "registration": "authorize",
        "authorize": "token",
        "token": "refresh",
        "refresh": "audience",
        "audience": "handshake",
        "handshake": "session",
    }
    hop = following.get(after.hop if after is not None else "", "handshake")
    cure = "check the address in the metadata, and that it answers from here"
    return wrong(hop, "no answer was had", "RFC 9110 §15.6", cure, problem)
