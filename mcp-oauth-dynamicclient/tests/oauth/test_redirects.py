"""Redirection URIs: RFC 6749 section 3.1.2, RFC 8252 sections 7 and 8.3."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_oauth_dynamicclient.clients import redirects
from mcp_oauth_dynamicclient.clients.redirects import UnusableRedirectURIError
from mcp_oauth_dynamicclient.errors import InvalidRedirectURIError
from mcp_oauth_dynamicclient.settings import Settings

SCHEMES = ("cursor", "vscode", "com.example.app")

GOOD = [
    "https://claude.ai/api/mcp/auth_callback",
    "https://claude.com/api/mcp/auth_callback",
    "https://chatgpt.com/connector/oauth/abc123",
    "https://client.example:8443/cb?x=1&y=%20",
    "https://xn--bcher-kva.example/cb",
    "http://localhost/callback",
    "http://localhost:49152/callback",
    "http://127.0.0.1:33418/",
    "http://127.0.0.1:33418",
    "http://[::1]:5000/cb",
    "cursor://anysphere.cursor-mcp/oauth/callback",
    "com.example.app:/oauth",
]
NEVER = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)//https://ok.example/",
    "data:text/html,<script>alert(1)</script>",
    "data:text/html;base64,PHNjcmlwdD4=",
    "vbscript:msgbox(1)",
    "file:///etc/passwd",
    "blob:https://a.example/1",
    "view-source:https://a.example/",
    "urn:ietf:wg:oauth:2.0:oob",
    "https://client.example/cb#fragment",
    "https://client.example/cb#",
    "cursor://app/cb#x",
    "https://user@client.example/cb",
    "https://user:pass@client.example/cb",
    "https://client.example@evil.example/cb",
    "http://localhost@evil.example/cb",
    "cursor://user@app/cb",
    "https:client.example/cb",
    "https:///cb",
    "https://",
    "https://client.example:99999/cb",
    "https://client.example:port/cb",
    "https://client.example\\@evil.example/cb",
    "https://client.example/cb\r\nSet-Cookie: a=b",
    "https://client.example/\tcb",
    " https://client.example/cb",
    "https://bücher.example/cb",
    "https://%6cocalhost/cb",
    "https://[]/cb",
    "https://[:::]/cb",
    "cursor://[x/cb",
    "//client.example/cb",
    "/cb",
    "client.example",
    "",
    "https://client.example/" + "x" * 2048,
    None,
    7,
    ["https://client.example/cb"],
]
NOT_HERE = [
    "http://client.example/cb",
    "http://localhost.evil.com/cb",
    "http://127.0.0.1.nip.io/cb",
    "http://127.0.0.2/cb",
    "http://0.0.0.0/cb",
    "http://192.168.1.4:3000/cb",
    "http://2130706433/cb",
    "grokbot://mcp/oauth/callback",
    "org.example.other:/cb",
]


@pytest.mark.parametrize("uri", GOOD)
def test_what_clients_register_is_accepted(uri: str) -> None:
    redirects.check_registrable(uri, SCHEMES)


@pytest.mark.parametrize("uri", NEVER)
def test_oa8_what_no_client_needs_is_never_accepted(uri: object) -> None:
    with pytest.raises(InvalidRedirectURIError) as caught:
        redirects.check_registrable(uri, ["javascript", "data", *SCHEMES])
    assert not isinstance(caught.value, UnusableRedirectURIError)


@pytest.mark.parametrize("uri", NOT_HERE)
def test_what_policy_does_not_allow_cannot_receive_codes(uri: str) -> None:
    with pytest.raises(UnusableRedirectURIError):
        redirects.check_registrable(uri, SCHEMES)


@pytest.mark.parametrize("uri", ["com.example.app:/oauth", "io.github.someone.tool://callback", "app.x:/"])
def test_by_default_every_scheme_with_a_dot_is_an_apps_own(uri: str) -> None:
    default = Settings.model_fields["redirect_schemes"].default
    redirects.check_registrable(uri, default)
    with pytest.raises(UnusableRedirectURIError):
        redirects.check_registrable(uri, ("cursor",))
    with pytest.raises(UnusableRedirectURIError):
        redirects.check_registrable("grokbot://mcp/oauth/callback", default)


def test_an_unusable_uri_is_left_out_of_a_set_that_has_a_usable_one() -> None:
    given = [
        "grokbot://mcp/oauth/callback",
        "http://localhost:8787/callback",
        "http://localhost:8787/callback",
    ]
    assert redirects.usable(given, SCHEMES) == ["http://localhost:8787/callback"]


def test_a_set_without_a_usable_uri_is_refused_and_so_is_one_with_a_dangerous_uri() -> None:
    with pytest.raises(UnusableRedirectURIError):
        redirects.usable(["grokbot://mcp/oauth/callback"], SCHEMES)
    with pytest.raises(InvalidRedirectURIError):
        redirects.usable(["https://client.example/cb", "javascript:alert(1)"], SCHEMES)


@pytest.mark.parametrize(
    ("registered", "requested"),
    [
        ("https://client.example/cb", "https://client.example/cb"),
        ("http://localhost/callback", "http://localhost:49536/callback"),
        ("http://localhost:8787/callback", "http://localhost/callback"),
        ("http://127.0.0.1:33418/", "http://127.0.0.1:50001/"),
        ("http://[::1]/cb?x=1", "http://[::1]:9/cb?x=1"),
        ("cursor://app/cb", "cursor://app/cb"),
    ],
)
def test_the_same_uri_matches_and_on_loopback_any_port(registered: str, requested: str) -> None:
    assert redirects.matches(["https://other.example/", registered], requested)


@pytest.mark.parametrize(
    ("registered", "requested"),
    [
        ("https://client.example/cb", "https://client.example/cb/"),
        ("https://client.example/cb", "https://client.example/cb?x=1"),
        ("https://client.example/cb", "https://client.example:8443/cb"),
        ("https://client.example/cb", "https://CLIENT.example/cb"),
        ("https://client.example/cb", "https://client.example/cb/../evil"),
        ("http://localhost/callback", "http://localhost:49536/other"),
        ("http://localhost/callback", "http://localhost:49536/callback?x=1"),
        ("http://localhost/callback", "http://localhost:49536/callback#x"),
        ("http://localhost/callback", "https://localhost:49536/callback"),
        ("http://localhost/callback", "http://user@localhost:49536/callback"),
        ("http://localhost/callback", "http://localhost:1@evil.example/callback"),
        ("http://localhost/callback", "http://localhost.evil.com/callback"),
        ("http://localhost/callback", "http://localhost:99999/callback"),
        ("http://localhost/callback", "http://localhost:/callback"),
        ("http://localhost/callback", "http://127.0.0.1:49536/callback"),
        ("http://127.0.0.1/callback", "http://[::1]:1/callback"),
        ("http://client.example/cb", "http://client.example:81/cb"),
    ],
)
def test_anything_else_does_not_match(registered: str, requested: str) -> None:
    assert not redirects.matches([registered], requested)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://claude.ai/api/mcp/auth_callback", "claude.ai"),
        ("http://localhost:1234/callback", "localhost"),
        ("http://[::1]:5000/cb", "::1"),
        ("cursor://anysphere.cursor-mcp/oauth/callback", "cursor:"),
    ],
)
def test_a_person_is_shown_who_receives_the_code(uri: str, shown: str) -> None:
    assert redirects.host(uri) == shown


uri_text = st.text("abcxyz019:/?#[]@!$&'()*+,;=%-._~\\ \n\té\x00", max_size=60)
uri_like = st.one_of(
    uri_text,
    st.builds(
        "{}://{}{}".format,
        st.sampled_from(["http", "https", "HTTPS", "cursor", "javascript"]),
        uri_text,
        uri_text,
    ),
    st.builds(
        "http://{}:{}{}".format, st.sampled_from(["localhost", "127.0.0.1", "[::1]"]), uri_text, uri_text
    ),
)


@given(uri_like)
def test_whatever_is_accepted_leads_where_a_browser_thinks_it_leads(uri: str) -> None:
    try:
        redirects.check_registrable(uri, ("cursor",))
    except InvalidRedirectURIError:
        return
    assert uri.isascii()
    assert uri.isprintable()
    assert not any(char in uri for char in '#\\ "<>')
    parts = urlsplit(uri)
    assert parts.username is None
    assert parts.scheme in ("https", "http", "cursor")
    if parts.scheme == "http":
        assert parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme == "https":
        assert parts.hostname


@given(uri_like, st.lists(st.sampled_from(GOOD), min_size=1, max_size=4))
def test_whatever_matches_is_registered_up_to_a_loopback_port(requested: str, registered: list[str]) -> None:
    if not redirects.matches(registered, requested):
        return
    parts = urlsplit(requested)
    assert parts.username is None
    assert any(
        uri == requested
        or (urlsplit(uri).hostname, urlsplit(uri).path, urlsplit(uri).query)
        == (parts.hostname, parts.path, parts.query)
        for uri in registered
    )
    assert requested in registered or parts.hostname in ("localhost", "127.0.0.1", "::1")


@given(st.sampled_from(["localhost", "127.0.0.1", "[::1]"]), st.integers(0, 65535), st.integers(0, 65535))
def test_every_port_of_a_loopback_host_matches(host: str, registered: int, requested: int) -> None:
    assert redirects.matches([f"http://{host}:{registered}/cb"], f"http://{host}:{requested}/cb")
