"""The doctor before servers that are wrong in one thing each: it names the hop, a rule with its section
and a cure. The servers are real ones on loopback; each case changes one answer of a good one."""

from __future__ import annotations

import base64
import datetime
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
import trustme
from mcp_streamablehttp_client._common.hop import Verdict
from mcp_streamablehttp_client.credentials.records import Server, Tokens
from mcp_streamablehttp_client.credentials.store import Store
from mcp_streamablehttp_client.doctor import examine
from mcp_streamablehttp_client.settings import Settings
from mcp_streamablehttp_client.trust import Trust
from starlette.types import Receive, Scope, Send

from .support import Json, JsonRpc, Run, serving

Answer = tuple[int, dict[str, str], Any]
PRM, ASM = "/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-authorization-server"


class Site:
    """A good server with its authorization server; a case changes it."""

    def __init__(self) -> None:
        self.origin = ""
        self.reset()

    def reset(self) -> None:
        self.open = False
        self.session: str | None = None
        self.answers: dict[str, Answer] = {}
        """By `METHOD path`, or a JSON-RPC method, or `no token`, `unknown token`, `unknown session`."""
        self.seen: list[str] = []
        self.prm = {"resource": self.url, "authorization_servers": [self.origin]}
        self.asm: Json = {
            "issuer": self.origin,
            "authorization_endpoint": f"{self.origin}/authorize",
            "token_endpoint": f"{self.origin}/token",
            "registration_endpoint": f"{self.origin}/register",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }
        self.registered: Json = {
            "client_id": "c1",
            "redirect_uris": ["http://127.0.0.1:33418/callback"],
            "token_endpoint_auth_method": "none",
            "registration_client_uri": f"{self.origin}/register/c1",
            "registration_access_token": "manage",
        }
        self.challenge = f'Bearer resource_metadata="{self.origin}{PRM}"'
        self.token = jwt(aud=self.url, iss=self.origin, exp=time.time() + 600)

    @property
    def url(self) -> str:
        return f"{self.origin}/mcp"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while (part := await receive())["type"] == "http.request":
            body += part.get("body", b"")
            if not part.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        key = f"{scope['method']} {scope['path']}"
        self.seen.append(key)
        status, fields, value = self.answers.get(key) or self.answer(key, headers, body)
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        fields = {"content-type": "application/json"} | fields
        sent = [(name.encode(), text.encode("latin-1")) for name, text in fields.items()]
        await send({"type": "http.response.start", "status": status, "headers": sent})
        await send({"type": "http.response.body", "body": content})

    def answer(self, key: str, headers: dict[str, str], body: bytes) -> Answer:
        match key:
            case "POST /mcp":
                return self.mcp(headers, json.loads(body))
            case "GET /.well-known/oauth-protected-resource/mcp":
                return 200, {}, self.prm
            case "GET /.well-known/oauth-authorization-server":
                return 200, {}, self.asm
            case "POST /register":
                return 201, {}, self.registered
            case "DELETE /register/c1":
                return 204, {}, b""
            case "GET /authorize":
                return 302, {"location": "/login"}, b""
            case "POST /token":
                return 400, {}, {"error": "invalid_grant"}
        return 404, {}, {"error": "not_found"}

    def mcp(self, headers: dict[str, str], message: JsonRpc) -> Answer:
        token = headers.get("authorization", "").removeprefix("Bearer ")
        if not self.open and token != self.token:
            which = "unknown token" if token else "no token"
            return self.answers.get(which) or (401, {"www-authenticate": self.challenge}, {"error": "no"})
        if headers.get("mcp-session-id") not in (None, self.session):
            return self.answers.get("unknown session") or (404, {}, {"error": "no session"})
        if (instead := self.answers.get(message["method"])) is not None:
            return instead
        if message["method"] == "initialize":
            fields = {"mcp-session-id": self.session} if self.session else {}
            return 200, fields, rpc(HELLO)
        return 200, {}, rpc({"supportedVersions": ["2026-07-28", "2025-11-25"], "capabilities": {}})


HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}


def rpc(result: Any, **more: Any) -> Json:
    return {"jsonrpc": "2.0", "id": 1, "result": result} | more


def refused(text: str) -> Json:
    return {"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": text}}


def jwt(**claims: Any) -> str:
    parts = ({"alg": "none"}, claims)
    return (
        ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts) + ".x"
    )


@pytest.fixture(scope="module")
def running() -> Iterator[Site]:
    site = Site()
    with serving(lambda _: site) as origin:
        site.origin = origin
        yield site


@pytest.fixture
def site(running: Site) -> Site:
    running.reset()
    return running


async def walked(
    url: str, store: Store, *, signed_in: Site | None = None, trust: Trust | None = None
) -> list[Verdict]:
    if signed_in is not None:
        issuer = str(signed_in.asm.get("issuer"))
        store.save_server(Server(url, signed_in.url, issuer))
        store.save_tokens(Tokens(issuer, signed_in.url, f"{issuer}/token", "c1", signed_in.token))
    settings = Settings(url, trust=trust) if trust is not None else Settings(url)
    return [verdict async for verdict in examine(settings, store)]


def first_wrong(found: list[Verdict]) -> Verdict:
    for verdict in found:
        if verdict.state in ("wrong", "warning") and verdict.hop != "https":
            return verdict
    raise AssertionError(found)


HTML = {"content-type": "text/html"}
PAGE = b"<html><title>Just a moment...</title></html>"


def answers(key: str, status: int, value: Any = b"", **fields: str) -> Callable[[Site], None]:
    named = {name.replace("_", "-"): text for name, text in fields.items()}
    return lambda site: site.answers.update({key: (status, named, value)})


def page(key: str, status: int) -> Callable[[Site], None]:
    return lambda site: site.answers.update({key: (status, HTML, PAGE)})


def prm(**members: Any) -> Callable[[Site], None]:
    return lambda site: _set(site.prm, members)


def asm(**members: Any) -> Callable[[Site], None]:
    return lambda site: _set(site.asm, members)


def registered(**members: Any) -> Callable[[Site], None]:
    return lambda site: _set(site.registered, members)


def _set(document: Json, members: Json) -> None:
    for name, value in members.items():
        document.pop(name, None)
        if value is not None:
            document[name] = value


def challenged(value: str) -> Callable[[Site], None]:
    return lambda site: setattr(site, "challenge", value)


def token(**claims: Any) -> Callable[[Site], None]:
    def change(site: Site) -> None:
        usual = {"aud": site.url, "iss": site.origin, "exp": time.time() + 600}
        site.token = jwt(**(usual | claims))

    return change


def opened(key: str, status: int, value: Any = b"", **fields: str) -> Callable[[Site], None]:
    def change(site: Site) -> None:
        site.open = True
        answers(key, status, value, **fields)(site)

    return change


def sessions(identifier: str, status: int | None = None) -> Callable[[Site], None]:
    def change(site: Site) -> None:
        site.open, site.session = True, identifier
        if status is not None:
            site.answers["unknown session"] = (status, {}, refused("what session?"))

    return change


def back(query: str) -> Callable[[Site], None]:
    """Sent back to the client at once."""
    return answers("GET /authorize", 302, location=f"http://127.0.0.1:33418/callback?{query}")


MCP = "POST /mcp"
WRONG: list[tuple[str, str, Callable[[Site], None], str]] = [
    # redirects
    ("302", "redirect", answers(MCP, 302, location="/mcp/"), "308"),
    ("301 to another host", "redirect", answers(MCP, 301, location="https://x.example/mcp"), "x.example"),
    ("307 to another host", "redirect", answers(MCP, 307, location="https://x.example/mcp"), "x.example"),
    ("308 on the same host", "redirect", answers(MCP, 308, location="/v1/mcp"), "/v1/mcp"),
    ("redirect to nowhere", "redirect", answers(MCP, 303), "Location"),
    # before the server
    ("a bot check", "challenge", page(MCP, 403), "firewall"),
    ("Host refused", "challenge", answers(MCP, 421, b"Invalid Host header"), "host name"),
    ("too many", "challenge", answers(MCP, 429), "wait"),
    ("bad gateway", "challenge", page(MCP, 502), "away"),
    ("unavailable", "challenge", answers(MCP, 503), "away"),
    ("crash", "challenge", answers(MCP, 500, {"detail": "boom"}), "log"),
    ("not found", "url", answers(MCP, 404, {"detail": "Not Found"}), "/mcp"),
    ("no POST", "url", answers(MCP, 405), "/mcp"),
    ("teapot", "challenge", answers(MCP, 418), "401"),
    # the challenge
    ("no challenge", "challenge", answers("no token", 401), "WWW-Authenticate"),
    ("basic", "challenge", challenged('Basic realm="x"'), "proxy"),
    ("no resource_metadata", "challenge", challenged('Bearer realm="x"'), "resource_metadata"),
    ("relative", "challenge", challenged(f'Bearer resource_metadata="{PRM}"'), "absolute"),
    # the resource's metadata
    ("missing", "resource metadata", answers(f"GET {PRM}", 404), "without a token"),
    ("behind the token", "resource metadata", answers(f"GET {PRM}", 401, {"error": "no"}), "without a token"),
    ("a page", "resource metadata", page(f"GET {PRM}", 200), "JSON"),
    ("an array", "resource metadata", answers(f"GET {PRM}", 200, []), "JSON"),
    ("no resource", "resource metadata", prm(resource=None), "resource"),
    ("another host", "resource metadata", prm(resource="https://inner:8000/mcp"), "public address"),
    ("another path", "resource metadata", prm(resource="http://127.0.0.1/other"), "public address"),
    ("no issuer named", "resource metadata", prm(authorization_servers=None), "authorization_servers"),
    ("an empty list", "resource metadata", prm(authorization_servers=[]), "authorization_servers"),
    ("numbers", "resource metadata", prm(authorization_servers=[1]), "authorization_servers"),
    # the issuer's
    ("inside", "issuer", prm(authorization_servers=["http://10.0.0.1"]), "metadata"),
    ("no metadata", "issuer", answers(f"GET {ASM}", 404), "without a token"),
    ("crashes", "issuer", answers(f"GET {ASM}", 500, {"detail": "boom"}), "without a token"),
    ("a login page", "issuer", page(f"GET {ASM}", 200), "JSON"),
    ("another issuer", "issuer", asm(issuer="https://other.example"), "byte for byte"),
    ("a slash more", "issuer", lambda site: _set(site.asm, {"issuer": f"{site.origin}/"}), "only the last /"),
    ("no authorization_endpoint", "issuer", asm(authorization_endpoint=None), "authorization_endpoint"),
    ("relative token_endpoint", "issuer", asm(token_endpoint="/token"), "token_endpoint"),
    ("no PKCE", "issuer", asm(code_challenge_methods_supported=None), "S256"),
    ("plain PKCE", "issuer", asm(code_challenge_methods_supported=["plain"]), "S256"),
    ("implicit only", "issuer", asm(response_types_supported=["token"]), "code"),
    ("no code grant", "issuer", asm(grant_types_supported=["implicit"]), "authorization_code"),
    ("no iss", "issuer", asm(authorization_response_iss_parameter_supported=None), "mix-up"),
    # registration
    ("none", "registration", asm(registration_endpoint=None), "--client-id"),
    ("refused", "registration", answers("POST /register", 403, {"error": "access_denied"}), "says"),
    (
        "bad metadata",
        "registration",
        answers("POST /register", 400, {"error": "invalid_redirect_uri"}),
        "says",
    ),
    ("no id", "registration", registered(client_id=None), "client_id"),
    (
        "200",
        "registration",
        answers("POST /register", 200, {"client_id": "c1", "token_endpoint_auth_method": "none"}),
        "201",
    ),
    ("other redirects", "registration", registered(redirect_uris=["https://a.example/cb"]), "redirect"),
    ("no secret", "registration", registered(token_endpoint_auth_method="client_secret_post"), "secret"),
    # authorization
    ("unknown client", "authorize", answers("GET /authorize", 400, {"error": "invalid_client"}), "redirect"),
    ("crash at authorize", "authorize", page("GET /authorize", 500), "redirect"),
    ("json", "authorize", answers("GET /authorize", 200, {"detail": "hm"}), "page"),
    ("lost state", "authorize", back("error=access_denied"), "state"),
    ("no way to go", "authorize", answers("GET /authorize", 302), "address"),
    # token
    ("a page at token", "token", page("POST /token", 200), "bot check"),
    ("404 at token", "token", page("POST /token", 404), "bot check"),
    ("422", "token", answers("POST /token", 422, {"detail": "field required"}), "invalid_grant"),
    ("who are you", "token", answers("POST /token", 401, {"error": "invalid_client"}), "unknown"),
    ("takes anything", "token", answers("POST /token", 200, {"access_token": "x"}), "refuse"),
    ("no such target", "token", answers("POST /token", 400, {"error": "invalid_target"}), "resource"),
    ("invalid_grant as 401", "token", answers("POST /token", 401, {"error": "invalid_grant"}), "400"),
    # the token itself
    ("for another", "audience", token(aud="https://other.example"), "resource"),
    ("from another", "audience", token(iss="https://other.example"), "must be"),
    ("too old", "audience", token(exp=1), "clocks"),
    ("takes all tokens", "audience", answers("unknown token", 200, rpc(HELLO)), "check tokens"),
    ("400 for a bad token", "audience", answers("unknown token", 400), "invalid_token"),
    # the first calls
    ("initialize refused", "handshake", answers("initialize", 400, refused("no such client")), "says"),
    (
        "initialize as a page",
        "handshake",
        opened("initialize", 200, PAGE, content_type="text/html"),
        "event-stream",
    ),
    (
        "an empty stream",
        "handshake",
        opened("initialize", 200, b": x\n\n", content_type="text/event-stream"),
        "stream",
    ),
    ("another id", "handshake", opened("initialize", 200, rpc(HELLO, id=7)), "id"),
    (
        "an odd version",
        "handshake",
        opened("initialize", 200, rpc(HELLO | {"protocolVersion": "9"})),
        "version",
    ),
    (
        "no serverInfo",
        "handshake",
        opened("initialize", 200, rpc({"protocolVersion": "2025-11-25"})),
        "required",
    ),
    ("an error in 200", "handshake", opened("initialize", 200, refused("out of order")), "says"),
    ("own token refused", "audience", answers("initialize", 401, {"error": "invalid_token"}), "compare"),
    ("forbidden", "handshake", answers("initialize", 403, {"error": "insufficient_scope"}), "scope"),
    ("odd session id", "session", sessions("a b"), "letters"),
    ("session unknown as 200", "session", sessions("s1", 200), "404"),
    ("session unknown as 400", "session", sessions("s1", 400), "404"),
    ("nothing supported", "modern", opened("server/discover", 200, rpc({})), "versions"),
    ("discover crashes", "modern", opened("server/discover", 500), "200"),
]


@pytest.mark.parametrize(
    ("hop", "change", "cure"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG]
)
async def test_the_hop_that_is_wrong_is_named(
    hop: str, change: Callable[[Site], None], cure: str, site: Site, tmp_path: Path
) -> None:
    change(site)
    found = await walked(site.url, Store(tmp_path), signed_in=site)
    fault = first_wrong(found)
    assert fault.hop == hop, found
    assert cure in f"{fault.what} {fault.cure}", fault
    assert "§" in fault.rule or "MCP 20" in fault.rule


def test_the_table_is_long_enough() -> None:
    assert len(WRONG) >= 60
    assert len({case[0] for case in WRONG}) == len(WRONG)


async def test_a_good_server_is_well_at_every_hop(site: Site, tmp_path: Path) -> None:
    site.session = "s1"
    found = await walked(site.url, Store(tmp_path), signed_in=site)
    assert {verdict.state for verdict in found} == {"well"}, found
    hops = [verdict.hop for verdict in found]
    expected = ["url", "dns", "tcp", "https", "redirect", "challenge", "resource metadata", "issuer"]
    expected += ["registration", "authorize", "token", "refresh", "audience", "audience"]
    assert hops == [*expected, "handshake", "session", "modern", "clock"]
    assert "DELETE /register/c1" in site.seen  # nothing is left behind
    assert site.seen.count("DELETE /mcp") == 1


@pytest.mark.parametrize(("seconds", "what"), [(300, "300 s behind"), (-3600, "3600 s ahead of")])
async def test_clocks_that_differ(seconds: float, what: str, site: Site, tmp_path: Path) -> None:
    at = time.time() + seconds
    settings, store = Settings(site.url), Store(tmp_path)
    site.open = True
    found = [verdict async for verdict in examine(settings, store, lambda: at)]
    fault = first_wrong(found)
    assert fault.hop == "clock"
    said = int(fault.what.partition("clock is ")[2].partition(" ")[0])
    assert abs(said - abs(seconds)) < 20
    assert what.partition(" s ")[2] in fault.what


async def test_a_server_of_the_new_era_only(site: Site, tmp_path: Path) -> None:
    refusal = refused("unsupported version")
    refusal["error"]["code"] = -32022
    opened("initialize", 400, refusal)(site)
    found = {verdict.hop: verdict for verdict in await walked(site.url, Store(tmp_path))}
    assert found["handshake"].what == "the server speaks 2026-07-28 only"
    assert found["modern"].state == "well"


async def test_an_open_server_needs_no_sign_in(site: Site, tmp_path: Path) -> None:
    site.open = True
    found = await walked(site.url, Store(tmp_path))
    assert {verdict.state for verdict in found} == {"well"}
    assert not any(word.startswith(("GET /.well-known", "POST /register")) for word in site.seen)


async def test_who_is_not_signed_in_is_told_how(site: Site, tmp_path: Path) -> None:
    found = await walked(site.url, Store(tmp_path))
    assert [verdict.what for verdict in found if verdict.state == "unseen"] == [
        f"not signed in; run: mcp-streamablehttp-client login {site.url}"
    ]


@pytest.mark.parametrize("path", ["", "/", "/sse", "/other"])
async def test_an_address_without_mcp_is_answered_with_the_right_one(
    path: str, site: Site, tmp_path: Path
) -> None:
    fault = first_wrong(await walked(f"{site.origin}{path}", Store(tmp_path)))
    assert (fault.hop, fault.cure) == ("url", f"use {site.url}")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            answers(MCP, 400, {"error": "odd", "error_description": "The moon is full."}),
            "odd: The moon is full.",
        ),
        (page(MCP, 403), "Just a moment..."),
        (answers(MCP, 500, b"Traceback: no", content_type="text/plain"), "Traceback: no"),
        (opened("initialize", 400, refused("Bad Request: Server not initialized")), "Server not initialized"),
    ],
)
async def test_the_servers_own_sentence_is_shown(
    change: Callable[[Site], None], said: str, site: Site, tmp_path: Path
) -> None:
    change(site)
    assert said in first_wrong(await walked(site.url, Store(tmp_path))).said


async def test_a_port_where_nobody_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert first_wrong(await walked(f"http://127.0.0.1:{port}/mcp", Store(tmp_path))).hop == "tcp"


async def test_a_name_that_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*args: object, **options: object) -> NoReturn:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    fault = first_wrong(await walked("https://nowhere.example/mcp", Store(tmp_path)))
    assert (fault.hop, fault.said) == ("dns", "Name or service not known")


@contextmanager
def tls_server(certificate: trustme.LeafCert | None, *, asks: trustme.CA | None = None) -> Iterator[int]:
    """Shakes hands, or closes at once where there is no certificate, and says nothing more."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate is not None:
        certificate.configure_cert(context)
    if asks is not None:
        asks.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    if certificate is None:
                        connection.recv(100)
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                    else:
                        context.wrap_socket(connection, server_side=True).recv(100)
                except OSError:
                    pass

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(60)


@pytest.mark.parametrize(
    ("kind", "hop", "cure"),
    [
        ("unknown authority", "tls", "--ca-file"),
        ("expired", "tls", "renew"),
        ("another name", "tls", "names localhost"),
        ("plain http", "tls", "plain http"),
    ],
)
async def test_what_can_be_wrong_with_tls(kind: str, hop: str, cure: str, tmp_path: Path) -> None:
    ca = trustme.CA()
    (tmp_path / "ca.pem").write_bytes(ca.cert_pem.bytes())
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    leaf = {
        "unknown authority": trustme.CA().issue_cert("localhost"),
        "expired": ca.issue_cert("localhost", not_before=past - datetime.timedelta(1), not_after=past),
        "another name": ca.issue_cert("other.example"),
        "plain http": None,
    }[kind]
    with tls_server(leaf) as port:
        trust = Trust(tmp_path / "ca.pem")
        fault = first_wrong(await walked(f"https://localhost:{port}/mcp", Store(tmp_path), trust=trust))
    assert fault.hop == hop, fault
    assert cure in fault.cure, fault


async def test_http_to_a_port_that_speaks_tls(tmp_path: Path) -> None:
    with tls_server(trustme.CA().issue_cert("localhost")) as port:
        found = await walked(f"http://localhost:{port}/mcp", Store(tmp_path))
    assert [v.hop for v in found if v.state == "wrong"] == ["https"], found
    assert "use https://" in found[-2].cure


async def test_the_command_in_text_and_json(site: Site, run: Run) -> None:
    site.open = True
    finished = await run("doctor", site.url)
    assert finished.status == 0, finished
    assert ["ok", "handshake", "speaks", "2025-11-25"] in [
        line.split() for line in finished.stdout.splitlines()
    ]
    site.challenge, site.open = "Basic", False
    finished = await run("doctor", site.url, "--json")
    assert finished.status == 1
    fault = next(hop for hop in json.loads(finished.stdout)["hops"] if hop["state"] == "wrong")
    assert fault["hop"] == "challenge"
    assert fault["rule"] == "RFC 6750 §3"
