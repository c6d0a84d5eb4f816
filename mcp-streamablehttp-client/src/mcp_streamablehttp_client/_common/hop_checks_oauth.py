"""What the hops of authorization must be like, from the challenge to the token: facts in, verdict out.

A check names the first thing that is wrong. Times are seconds since the epoch.
"""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .hop import AUTHORIZATION, TRANSPORT, Bearer, Hop, Reply, Verdict, unseen, well, wrong


def check_challenge(url: str, reply: Reply) -> Verdict:
    """The verdict on the answer to a request without a token."""
    rule = f"{AUTHORIZATION}, Protected Resource Metadata Discovery"
    if reply.status == 401:
        header = reply.headers.get("www-authenticate")
        bearer = Bearer.of(header)
        if header is None:
            cure = 'send WWW-Authenticate: Bearer resource_metadata="…" with 401'
            return wrong("challenge", "401 without WWW-Authenticate", "RFC 9110 §11.6.1", cure, reply.said)
        if bearer is None:
            cure = "a proxy's own login stands before the server; let MCP requests pass it"
            return wrong(
                "challenge", f"the challenge is not Bearer: {header}", "RFC 6750 §3", cure, reply.said
            )
        where = bearer.parameters.get("resource_metadata")
        if where is None:
            cure = "add resource_metadata to the challenge; clients can only guess"
            return wrong("challenge", "the challenge has no resource_metadata", rule, cure, state="warning")
        if not where.startswith(("https://", "http://")):
            cure = "an absolute https URL belongs there"
            return wrong("challenge", f"resource_metadata is {where!r}", "RFC 9728 §5.1", cure)
        if urlsplit(url).scheme == "https" and where.startswith("http://"):
            cure = "make the server know its public address; it takes what it is spoken to in for it"
            return wrong("challenge", f"resource_metadata is plain http: {where}", "RFC 9728 §7.2", cure)
        return well("challenge", f"401, resource_metadata={where}")
    if 200 <= reply.status < 300:
        return well("challenge", "the server is open: no token is asked for")
    if reply.status == 400 and reply.message is not None:
        return well("challenge", "the server is open: it reads messages without a token")
    return _no_server(url, reply)


def check_gated(url: str, reply: Reply) -> Verdict:
    """The same, where every server has to ask for a token."""
    verdict = check_challenge(url, reply)
    if verdict.state != "well" or reply.status == 401:
        return verdict
    what = f"{url} answered {reply.line} without a challenge"
    cure = "the edge must ask the gate (/verify) about every request to it"
    return wrong("challenge", what, f"{AUTHORIZATION}, Access Token Usage", cure, reply.said)


def _no_server(url: str, reply: Reply) -> Verdict:
    what = f"the server answered {reply.line} to a request without a token"
    if reply.status == 403:
        cure = "a firewall, a bot check or the Host/Origin rule refuses; let requests pass, and answer 401"
        return wrong("challenge", what, "RFC 9110 §15.5.2", cure, reply.said)
    if reply.status in (404, 405, 410, 501):
        cure = "look up the server's address; it usually ends in /mcp"
        return wrong(
            "url",
            f"there is no MCP server at {url} ({reply.line})",
            f"{TRANSPORT}, Streamable HTTP",
            cure,
            reply.said,
        )
    if reply.status == 421:
        cure = "add this host name to those the server allows"
        return wrong("challenge", what, "RFC 9110 §15.5.20", cure, reply.said)
    if reply.status == 429:
        return wrong("challenge", what, "RFC 6585 §4", "wait, or raise the limit", reply.said)
    if reply.status in (502, 503, 504):
        cure = "the server behind the gateway is away; look at its log"
        return wrong("challenge", what, "RFC 9110 §15.6", cure, reply.said)
    if reply.status >= 500:
        return wrong("challenge", what, "RFC 9110 §15.6.1", "look at the server's log", reply.said)
    cure = "a request without a token is answered 401, with a challenge, or served"
    return wrong("challenge", what, "RFC 9110 §15.5.2", cure, reply.said)


def check_resource_metadata(url: str, where: str, reply: Reply) -> Verdict:
    """`where` the document was asked for; `url` is the MCP server's."""
    hop: Hop = "resource metadata"
    if reply.status != 200:
        cure = "serve the document there, without a token"
        return wrong(hop, f"{where} answered {reply.line}", "RFC 9728 §3", cure, reply.said)
    document = reply.document
    if document is None:
        return wrong(
            hop, f"{where} is no JSON object ({reply.line})", "RFC 9728 §3.2", "serve JSON there", reply.said
        )
    resource = document.get("resource")
    if not isinstance(resource, str):
        return wrong(hop, "the document names no resource", "RFC 9728 §2", f'add "resource": "{url}"')
    if not _covers(resource, url):
        cure = f'"resource" must be the address clients use, {url}: correct the server\'s public address'
        return wrong(hop, f"the document is about {resource}", "RFC 9728 §3.3", cure)
    issuers = document.get("authorization_servers")
    if not isinstance(issuers, list) or not issuers or not all(isinstance(item, str) for item in issuers):
        rule = f"{AUTHORIZATION}, Authorization Server Location"
        return wrong(hop, "the document names no authorization server", rule, 'add "authorization_servers"')
    if not issuers[0].startswith("https://") and urlsplit(url).scheme == "https":
        return wrong(
            hop, f"the issuer {issuers[0]} is not https", "RFC 8414 §2", "use the issuer's https address"
        )
    return well(hop, f"issuer {issuers[0]}")


def _covers(resource: str, url: str) -> bool:
    """RFC 9728 section 3.3, and a parent path of the server as clients accept it."""
    try:
        a, b = urlsplit(resource), urlsplit(url)
        same = (a.scheme, a.hostname, a.port) == (b.scheme, b.hostname, b.port)
    except ValueError:
        return False
    parent = a.path.rstrip("/")
    return same and not a.fragment and (b.path.rstrip("/") == parent or b.path.startswith(f"{parent}/"))


def check_issuer(issuer: str, where: str, reply: Reply) -> Verdict:
    """The authorization server's metadata, asked for at `where`."""
    if reply.status != 200:
        cure = "serve the document there, without a token"
        return wrong("issuer", f"{where} answered {reply.line}", "RFC 8414 §3", cure, reply.said)
    document = reply.document
    if document is None:
        return wrong(
            "issuer",
            f"{where} is no JSON object ({reply.line})",
            "RFC 8414 §3.2",
            "serve JSON there",
            reply.said,
        )
    named = document.get("issuer")
    if named != issuer:
        slash = isinstance(named, str) and named.rstrip("/") == issuer.rstrip("/")
        cure = "make both say the same, byte for byte" + (" (only the last / differs)" if slash else "")
        what = f"the document names the issuer {named}, the resource {issuer}"
        return wrong("issuer", what, "RFC 8414 §3.3", cure, state="warning" if slash else "wrong")
    for name in ("authorization_endpoint", "token_endpoint"):
        address = document.get(name)
        if not isinstance(address, str) or not _is_address(address):
            return wrong("issuer", f"{name} is {address!r}", "RFC 8414 §2", f"name an absolute {name}")
        if issuer.startswith("https://") and not address.startswith("https://"):
            return wrong("issuer", f"{name} is not https: {address}", "RFC 8414 §2", "use https")
    if "S256" not in _list(document, "code_challenge_methods_supported"):
        cure = 'announce "code_challenge_methods_supported": ["S256"]; clients must refuse to go on without'
        return wrong(
            "issuer",
            "PKCE with S256 is not announced",
            f"{AUTHORIZATION}, Authorization Code Protection",
            cure,
        )
    if "code" not in _list(document, "response_types_supported"):
        return wrong("issuer", "the response type code is not announced", "RFC 8414 §2", 'announce ["code"]')
    grants = document.get("grant_types_supported")
    if isinstance(grants, list) and "authorization_code" not in grants:
        cure = "announce authorization_code, or leave grant_types_supported out"
        return wrong("issuer", "the grant authorization_code is not announced", "RFC 8414 §2", cure)
    if document.get("authorization_response_iss_parameter_supported") is not True:
        cure = "send iss with the code, and announce it, against mix-up"
        return wrong("issuer", "no iss parameter is announced", "RFC 9207 §3", cure, state="warning")
    return well("issuer", f"{issuer}, PKCE S256")


def check_registration(document: dict[str, Any], reply: Reply | None) -> Verdict:
    """`document` is the issuer's metadata; `reply` answers the request of RFC 7591, None if none was sent."""
    hop: Hop = "registration"
    if reply is None:
        if document.get("client_id_metadata_document_supported") is True:
            return well(hop, "by client metadata documents")
        cure = "offer dynamic registration or metadata documents, or give each client an id (--client-id)"
        rule = f"{AUTHORIZATION}, Client Registration Approaches"
        return wrong(hop, "clients cannot register by themselves", rule, cure, state="warning")
    if reply.status not in (200, 201):
        return wrong(
            hop, f"registration answered {reply.line}", "RFC 7591 §3.2.2", "see what it says", reply.said
        )
    answer = reply.document
    if answer is None or not isinstance(answer.get("client_id"), str):
        cure = "answer with the registered metadata and a client_id"
        return wrong(hop, f"the answer has no client_id ({reply.line})", "RFC 7591 §3.2.1", cure, reply.said)
    if reply.status == 200:
        return wrong(hop, "registration answered 200", "RFC 7591 §3.2.1", "answer 201", state="warning")
    redirects = answer.get("redirect_uris")
    if redirects is not None and not any("127.0.0.1" in str(item) for item in redirects if redirects):
        cure = "register the redirect addresses that were asked for, loopback ones included"
        return wrong(hop, f"other redirect addresses were registered: {redirects}", "RFC 7591 §3.2.1", cure)
    method = answer.get("token_endpoint_auth_method", "client_secret_basic")
    if method != "none" and not answer.get("client_secret"):
        cure = "register public clients with token_endpoint_auth_method none, or give a secret"
        return wrong(hop, f"the method is {method}, and there is no secret", "RFC 7591 §3.2.1", cure)
    return well(hop, f"a new client, method {method}")


def check_authorize(reply: Reply, redirect_uri: str, state: str, issuer: str) -> Verdict:
    """The verdict on the answer to an authorization request in order, before anybody signed in."""
    if reply.status in (302, 303, 307):
        location = reply.headers.get("location", "")
        if not location.startswith(redirect_uri):
            return (
                well("authorize", "leads to a sign-in")
                if location
                else wrong(
                    "authorize",
                    f"{reply.status} without Location",
                    "RFC 9110 §15.4",
                    "name the address",
                    reply.said,
                )
            )
        answer = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
        if answer.get("state") != state:
            return wrong("authorize", "state is not given back", "RFC 6749 §4.1.2", "send state as it came")
        if answer.get("iss") not in (None, issuer):
            return wrong("authorize", f"iss is {answer['iss']}", "RFC 9207 §2.4", f"send {issuer}")
        if error := answer.get("error"):
            said = answer.get("error_description", "")
            return wrong("authorize", f"refused with {error}", "RFC 6749 §4.1.2.1", "see what it says", said)
        return wrong(
            "authorize",
            "a code is given without asking anybody",
            "RFC 6749 §10.2",
            "ask the person",
            state="warning",
        )
    if reply.status == 200:
        if reply.media_type != "text/html":
            return wrong(
                "authorize", f"answered {reply.line}, no page", "RFC 6749 §3.1", "show a page", reply.said
            )
        return well("authorize", "shows a page")
    cure = "see what it says; is the redirect address registered, and resource allowed (RFC 8707)?"
    return wrong("authorize", f"answered {reply.line}", "RFC 6749 §4.1.2.1", cure, reply.said)


def check_token(hop: Hop, reply: Reply) -> Verdict:
    """The verdict on the answer to a code or refresh token that nobody issued; `hop` is token or refresh."""
    document = reply.document
    rule = "RFC 6749 §5.2"
    if reply.status == 200 and document is not None and "access_token" in document:
        return wrong(hop, "an invented credential was taken", rule, "refuse with invalid_grant")
    if document is None:
        cure = "answer in JSON; is there a bot check or login page before the endpoint?"
        return wrong(hop, f"the endpoint answered {reply.line}", rule, cure, reply.said)
    error = document.get("error")
    if not isinstance(error, str):
        return wrong(
            hop,
            f"the answer has no error ({reply.line})",
            rule,
            'answer {"error": "invalid_grant"}',
            reply.said,
        )
    if error == "invalid_grant" and reply.status == 400:
        return well(hop, "answers in order")
    if error == "unsupported_grant_type" and hop == "refresh":
        cure = "support refresh_token; without it a person signs in each time a token ends"
        return wrong(hop, "refresh is not supported", "RFC 6749 §6", cure, reply.said, state="warning")
    if error == "invalid_grant":
        return wrong(
            hop, f"invalid_grant with {reply.status}", rule, "answer 400", reply.said, state="warning"
        )
    cure = {
        "invalid_client": "the client it just registered is unknown, or its method is refused",
        "invalid_request": "the form of RFC 6749 §4.1.3 with resource (RFC 8707) must be understood",
        "invalid_target": "the resource must be one it issues tokens for (RFC 8707 §2)",
    }.get(error, "see what it says")
    return wrong(hop, f"refused with {error}", rule, cure, reply.said)


def check_audience(token: str, resource: str, issuer: str, now: float) -> Verdict:
    """What the access token says of itself, if it is a JWT; the signature is the server's to check."""
    claims = _claims(token)
    if claims is None:
        return unseen("audience", "the token is opaque; only its server can say what it is for")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if resource not in audiences:
        cure = f"issue tokens for the resource that was asked for, {resource}"
        return wrong("audience", f"the token is for {audience}", "RFC 8707 §2", cure)
    if claims.get("iss") != issuer:
        return wrong(
            "audience", f"the token's issuer is {claims.get('iss')}", "RFC 9068 §2.2", f"it must be {issuer}"
        )
    ends = claims.get("exp")
    if isinstance(ends, (int, float)) and ends <= now:
        return wrong("audience", "the token has expired", "RFC 9068 §4", "sign in again, or check the clocks")
    return well("audience", f"for {resource} from {issuer}")


def check_invented_token(reply: Reply) -> Verdict:
    """The verdict on the answer to a token that nobody issued."""
    if reply.status == 401:
        return well("audience", "an invented token is refused")
    if reply.status < 300:
        return wrong("audience", "an invented token is taken", "RFC 6750 §3.1", "check tokens before serving")
    cure = 'answer 401 with error="invalid_token", so that clients renew it'
    return wrong("audience", f"an invented token is answered {reply.line}", "RFC 6750 §3.1", cure, reply.said)


def _claims(token: str) -> dict[str, Any] | None:
    parts = token.split(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, IndexError, RecursionError):
        return None
    return claims if len(parts) == 3 and isinstance(claims, dict) else None


def _list(document: dict[str, Any], name: str) -> list[Any]:
    value = document.get(name)
    return value if isinstance(value, list) else []


def _is_address(url: str) -> bool:
    try:
        return bool(urlsplit(url).hostname)
    except ValueError:
        return False
