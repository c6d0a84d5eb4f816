"""Which addresses name a server of this gateway, in both shapes (design section 3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_oauth_dynamicclient.resources import Resources
from mcp_oauth_dynamicclient.settings import Settings, load_settings

SECRET = "0123456789abcdef-test-secret-fedcba9876543210"


@pytest.fixture
def one_host(settings: Settings) -> Resources:
    return Resources(settings)


@pytest.fixture
def subdomains(subdomain_settings: Settings) -> Resources:
    return Resources(subdomain_settings)


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("http://localhost:8080/time/mcp", "http://localhost:8080/time/mcp"),
        ("HTTP://LocalHost:8080/time/mcp", "http://localhost:8080/time/mcp"),
        ("http://localhost:8080/team/time/mcp", "http://localhost:8080/team/time/mcp"),
        ("http://localhost:8080/mcp-time_2.0/mcp", "http://localhost:8080/mcp-time_2.0/mcp"),
    ],
)
def test_one_host_knows_its_servers(one_host: Resources, url: str, canonical: str) -> None:
    assert one_host.canonical(url) == canonical


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8080/time/mcp/", "http://localhost:8080/time/mcp?x", "http://localhost:8080/time/mcp?",
        "http://localhost:8080/time/mcp#", "http://localhost:8080/time/mcp#x", "http://localhost:8080/time",
        "http://localhost:8080/mcp", "http://localhost:8080/", "http://localhost:8080", "http://localhost:8080//mcp",
        "http://localhost:8080/time//mcp", "http://localhost:8080/time/../mcp", "http://localhost:8080/./mcp",
        "http://localhost:8080/time/mcp/mcp", "http://localhost:8080/ti%6de/mcp", "http://localhost:8080/a%2fb/mcp",
        "http://localhost:8080/time\\mcp",
        "http://localhost:8080/ti me/mcp", "http://localhost:8080/time/MCP",
        "http://localhost/time/mcp", "http://localhost:8081/time/mcp", "https://localhost:8080/time/mcp",
        "http://localhost.:8080/time/mcp", "http://user@localhost:8080/time/mcp", "http://evil.com/time/mcp",
        "http://localhost:8080@evil.com/time/mcp", "http://127.0.0.1:8080/time/mcp",
        "http://localhost:8080/register/mcp", "http://localhost:8080/.well-known/mcp",
        "//localhost:8080/time/mcp",
        "/time/mcp", "time", "", "http://localhost:8080/tïme/mcp",
        "http://localhost:8080/time/mcp\n",
        "http://localhost:99999/time/mcp",
        "http://localhost:8080/a/b/c/d/e/mcp", "http://[::1/mcp",
        "http://localhost:8080/" + "a" * 3000 + "/mcp",
    ],
)  # fmt: skip
def test_one_host_knows_no_other_address(one_host: Resources, url: str) -> None:
    assert one_host.canonical(url) is None


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://time.example.com/mcp", "https://time.example.com/mcp"),
        ("https://TIME.Example.com:443/mcp", "https://time.example.com/mcp"),
        ("https://team.example.com/time/mcp", "https://team.example.com/time/mcp"),
    ],
)
def test_subdomains_know_their_servers(subdomains: Resources, url: str, canonical: str) -> None:
    assert subdomains.canonical(url) == canonical


@pytest.mark.parametrize(
    "url",
    [
        "https://time.example.com/mcp/", "https://time.example.com", "https://time.example.com/", "https://example.com/mcp",
        "https://auth.example.com/mcp", "https://a.b.example.com/mcp", "https://timeexample.com/mcp",
        "https://time.example.com.evil.com/mcp", "https://evil.com/mcp", "http://time.example.com/mcp",
        "https://time.example.com:8443/mcp", "https://-time.example.com/mcp", "https://.example.com/mcp",
        "https://time_x.example.com/mcp", "https://time.example.com/sse",
    ],
)  # fmt: skip
def test_subdomains_know_no_other_address(subdomains: Resources, url: str) -> None:
    assert subdomains.canonical(url) is None


@pytest.mark.parametrize(
    ("host", "uri", "resource"),
    [
        ("localhost:8080", "/time/mcp", "http://localhost:8080/time/mcp"),
        ("localhost:8080", "/time/mcp?sessionId=../..%2f", "http://localhost:8080/time/mcp"),
        ("localhost:8080", "/time/mcp/", "http://localhost:8080/time/mcp"),
        ("localhost:8080", "/time/mcp/below", "http://localhost:8080/time/mcp"),
        ("LOCALHOST:8080", "/time", "http://localhost:8080/time/mcp"),
        ("localhost:8080", "/time/", "http://localhost:8080/time/mcp"),
        ("localhost:8080", "/team/time/mcp", "http://localhost:8080/team/time/mcp"),
        ("localhost:8080", "/", None),
        ("localhost:8080", "", None),
        ("localhost:8080", "/mcp", None),
        ("localhost:8080", "/time/other", None),
        ("localhost:8080", "/time/mcp/../../echo/mcp", None),
        ("localhost:8080", "/time/mcp/..", None),
        ("localhost:8080", "/time//mcp", None),
        ("localhost:8080", "/time/mcp//", None),
        ("localhost:8080", "//time/mcp", None),
        ("localhost:8080", "/time/mcp/%2e%2e/echo/mcp", None),
        ("localhost:8080", "/time%2fmcp", None),
        ("localhost:8080", "/time/mcp;x", None),
        ("localhost:8080", "/time\\mcp", None),
        ("localhost:8080", "http://localhost:8080/time/mcp", None),
        ("evil.com", "/time/mcp", None),
        ("localhost:8081", "/time/mcp", None),
        ("localhost", "/time/mcp", None),
        ("localhost:8080/time/mcp", "/time/mcp", None),
        ("localhost:8080, evil.com", "/time/mcp", None),
        ("x@localhost:8080", "/time/mcp", None),
        ("", "/time/mcp", None),
    ],
)
def test_a_forwarded_request_belongs_to_one_server_or_none(
    one_host: Resources, host: str, uri: str, resource: str | None
) -> None:
    assert one_host.of_request(host, uri) == resource


@pytest.mark.parametrize(
    ("host", "uri", "resource"),
    [
        ("time.example.com", "/mcp", "https://time.example.com/mcp"),
        ("time.example.com:443", "/", "https://time.example.com/mcp"),
        ("time.example.com", "/sub/mcp/x", "https://time.example.com/sub/mcp"),
        ("time.example.com", "/sse", None),
        ("auth.example.com", "/mcp", None),
        ("example.com", "/mcp", None),
        ("time.evil.com", "/mcp", None),
    ],
)
def test_a_forwarded_request_to_a_subdomain_belongs_to_its_server(
    subdomains: Resources, host: str, uri: str, resource: str | None
) -> None:
    assert subdomains.of_request(host, uri) == resource


def test_metadata_is_at_the_path_inserted_address_and_at_the_root_of_a_host_with_one_server(
    one_host: Resources, subdomains: Resources
) -> None:
    assert (
        one_host.metadata_url("http://localhost:8080/time/mcp")
        == "http://localhost:8080/.well-known/oauth-protected-resource/time/mcp"
    )
    assert one_host.of_metadata("localhost:8080", "/time/mcp") == "http://localhost:8080/time/mcp"
    assert one_host.of_metadata("localhost:8080", "") is None
    assert one_host.of_metadata("evil.com", "/time/mcp") is None
    assert subdomains.of_metadata("time.example.com", "/mcp") == "https://time.example.com/mcp"
    assert subdomains.of_metadata("time.example.com", "") == "https://time.example.com/mcp"
    assert subdomains.of_metadata("auth.example.com", "") is None
    assert subdomains.of_metadata("auth.example.com", "/mcp") is None


def test_the_token_endpoint_alone_is_at_a_servers_host_too(subdomains: Resources) -> None:
    assert subdomains.is_own("time.example.com", "/token")
    for host, path in (
        ("time.example.com", "/authorize"),
        ("time.example.com", "/token/x"),
        ("time.example.com", "/verify"),
        ("evil.example", "/token"),
        ("a.time.example.com", "/token"),
    ):
        assert not subdomains.is_own(host, path), (host, path)


def test_a_server_has_a_short_name(one_host: Resources, subdomains: Resources) -> None:
    assert one_host.name("http://localhost:8080/time/mcp") == "time"
    assert one_host.name("http://localhost:8080/team/time/mcp") == "team/time"
    assert subdomains.name("https://time.example.com/mcp") == "time"
    assert subdomains.name("https://team.example.com/time/mcp") == "team/time"


TEXT = st.text(alphabet=st.sampled_from("/.%2fFeE\\?#:@ mcptime\u00fc\n\x00-_~;"), max_size=30)


@given(path=TEXT)
def test_whatever_the_path_a_resource_that_is_derived_is_one_that_clients_can_ask_for(path: str) -> None:
    resources = Resources(
        load_settings(public_url="http://localhost:8080", gateway_secret=SECRET, local_accounts=True)
    )
    derived = resources.of_request("localhost:8080", "/" + path)
    assert derived is None or resources.canonical(derived) == derived


@given(url=st.text(max_size=60) | TEXT.map(lambda path: f"http://localhost:8080{path}"))
def test_canonical_is_idempotent_and_never_raises(url: str) -> None:
    resources = Resources(
        load_settings(public_url="http://localhost:8080", gateway_secret=SECRET, local_accounts=True)
    )
    canonical = resources.canonical(url)
    assert canonical is None or resources.canonical(canonical) == canonical
