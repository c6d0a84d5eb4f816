"""Which addresses name a server of this gateway, in both shapes (design section 3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_oauth_dynamicclient.public import Place
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
        ("http://localhost:8080/time/mcp/", "http://localhost:8080/time/mcp"),
        ("http://localhost:8080/mcp-time_2.0/mcp", "http://localhost:8080/mcp-time_2.0/mcp"),
    ],
)
def test_one_host_knows_its_servers(one_host: Resources, url: str, canonical: str) -> None:
    assert one_host.canonical(url) == canonical


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8080/time/mcp//", "http://localhost:8080/time/mcp?x", "http://localhost:8080/time/mcp?",
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
        ("https://time.example.com/mcp/", "https://time.example.com/mcp"),
        ("https://TIME.Example.com:443/mcp", "https://time.example.com/mcp"),
        ("https://team.example.com/time/mcp", "https://team.example.com/time/mcp"),
    ],
)
def test_subdomains_know_their_servers(subdomains: Resources, url: str, canonical: str) -> None:
    assert subdomains.canonical(url) == canonical


@pytest.mark.parametrize(
    "url",
    [
        "https://time.example.com/mcp//", "https://time.example.com", "https://time.example.com/", "https://example.com/mcp",
        "https://auth.example.com/mcp", "https://a.b.example.com/mcp", "https://timeexample.com/mcp",
        "https://time.example.com.evil.com/mcp", "https://evil.com/mcp", "http://time.example.com/mcp",
        "https://time.example.com:8443/mcp", "https://-time.example.com/mcp", "https://.example.com/mcp",
        "https://time_x.example.com/mcp", "https://time.example.com/sse",
    ],
)  # fmt: skip
def test_subdomains_know_no_other_address(subdomains: Resources, url: str) -> None:
    assert subdomains.canonical(url) is None


ENDPOINT, BARE, NOWHERE, ELSEWHERE = Place.ENDPOINT, Place.BARE, Place.NOWHERE, Place.ELSEWHERE


@pytest.mark.parametrize(
    ("host", "target", "place", "asked"),
    [
        ("localhost:8080", "/time/mcp", ENDPOINT, "/time/mcp"),
        ("localhost:8080", "/time/mcp?sessionId=../..%2f", ENDPOINT, "/time/mcp"),
        ("localhost:8080", "/time/mcp/", ENDPOINT, "/time/mcp/"),
        ("localhost:8080", "/time/mcp/below", ENDPOINT, "/time/mcp"),
        ("localhost:8080", "/time/mcp/below/", ENDPOINT, "/time/mcp"),
        ("localhost:8080", "/team/time/mcp", ENDPOINT, "/team/time/mcp"),
        ("localhost:8080", "/time/mcp/.well-known/x", NOWHERE, ""),
        ("localhost:8080", "/time/mcp/a/.well-known/openid-configuration", Place.METADATA, ""),
        ("localhost:8080", "/time/mcp/.well-known/openid-configuration/x", NOWHERE, ""),
        ("localhost:8080", "/.well-known/x/../y", NOWHERE, ""),
        ("localhost:8080", "/.well-known/x%0d%0ay", NOWHERE, ""),
        ("localhost:8080", "/.well-known/x%41", NOWHERE, ""),
        ("localhost:8080", "/token/x%0a", NOWHERE, ""),
        ("localhost:8080", "/.well-known/oauth-protected-resource/time/mcp", Place.METADATA, ""),
        ("LOCALHOST:8080", "/time", BARE, "/time/mcp"),
        ("localhost:8080", "/time/", BARE, "/time/mcp"),
        ("localhost:8080", "/time/health", Place.HEALTH, "/time/mcp"),
        ("localhost:8080", "/time/health/", NOWHERE, ""),
        ("localhost:8080", "/time/mcp/health", ENDPOINT, "/time/mcp"),
        ("localhost:8080", "/", Place.OWN, ""),
        ("localhost:8080", "/token", Place.OWN, ""),
        ("localhost:8080", "/register/client_1", Place.OWN, ""),
        ("localhost:8080", "/token/mcp", Place.OWN, ""),
        ("localhost:8080", "/verify", NOWHERE, ""),
        ("localhost:8080", "/verify/mcp", NOWHERE, ""),
        ("localhost:8080", "/metrics/health", NOWHERE, ""),
        ("localhost:8080", "", NOWHERE, ""),
        ("localhost:8080", "*", NOWHERE, ""),
        ("localhost:8080", "/mcp/x", NOWHERE, ""),
        ("localhost:8080", "/time/other", NOWHERE, ""),
        ("localhost:8080", "/time/mcp/../../echo/mcp", NOWHERE, ""),
        ("localhost:8080", "/time/mcp/..", NOWHERE, ""),
        ("localhost:8080", "/time//mcp", NOWHERE, ""),
        ("localhost:8080", "/time/mcp//", NOWHERE, ""),
        ("localhost:8080", "//time/mcp", NOWHERE, ""),
        ("localhost:8080", "/time/mcp/%2e%2e/echo/mcp", NOWHERE, ""),
        ("localhost:8080", "/time%2fmcp", NOWHERE, ""),
        ("localhost:8080", "/time/mcp;x", NOWHERE, ""),
        ("localhost:8080", "/time\\mcp", NOWHERE, ""),
        ("localhost:8080", "/time/mcp/" + "x" * 3000, NOWHERE, ""),
        ("localhost:8080", "http://localhost:8080/time/mcp", NOWHERE, ""),
        ("evil.com", "/time/mcp", ELSEWHERE, ""),
        ("localhost:8081", "/time/mcp", ELSEWHERE, ""),
        ("localhost", "/time/mcp", ELSEWHERE, ""),
        ("localhost:8080/time/mcp", "/time/mcp", ELSEWHERE, ""),
        ("localhost:8080, evil.com", "/time/mcp", ELSEWHERE, ""),
        ("x@localhost:8080", "/time/mcp", ELSEWHERE, ""),
        ("", "/time/mcp", ELSEWHERE, ""),
    ],
)
def test_an_address_means_one_thing(
    one_host: Resources, host: str, target: str, place: Place, asked: str
) -> None:
    address = one_host.read(host, target)
    assert address.place is place
    assert address.asked == (f"http://localhost:8080{asked}" if asked else "")
    assert address.resource == address.asked.removesuffix("/")


@pytest.mark.parametrize(
    ("host", "target", "place", "server", "asked"),
    [
        ("time.example.com", "/mcp", ENDPOINT, "time", "https://time.example.com/mcp"),
        ("time.example.com", "/mcp/", ENDPOINT, "time", "https://time.example.com/mcp/"),
        ("time.example.com", "/sub/mcp/x", ENDPOINT, "time", "https://time.example.com/sub/mcp"),
        ("time.example.com:443", "/", BARE, "time", "https://time.example.com/mcp"),
        ("time.example.com", "/health", Place.HEALTH, "time", "https://time.example.com/mcp"),
        ("time.example.com", "/token", Place.TOKEN, "time", ""),
        ("time.example.com", "/token/x", NOWHERE, "", ""),
        ("time.example.com", "/mcp/.well-known/x", NOWHERE, "", ""),
        ("time.example.com", "/.well-known/oauth-protected-resource/mcp", Place.METADATA, "time", ""),
        ("time.example.com", "/authorize", NOWHERE, "", ""),
        ("time.example.com", "/verify", NOWHERE, "", ""),
        ("time.example.com", "/sse", NOWHERE, "", ""),
        ("auth.example.com", "/anything", Place.OWN, "", ""),
        ("auth.example.com", "/mcp", Place.OWN, "", ""),
        ("auth.example.com", "/verify", NOWHERE, "", ""),
        ("auth.example.com", "/metrics/x", NOWHERE, "", ""),
        ("example.com", "/mcp", ELSEWHERE, "", ""),
        ("time.evil.com", "/mcp", ELSEWHERE, "", ""),
        ("a.time.example.com", "/token", ELSEWHERE, "", ""),
    ],
)
def test_an_address_at_a_subdomain_means_one_thing(
    subdomains: Resources, host: str, target: str, place: Place, server: str, asked: str
) -> None:
    address = subdomains.read(host, target)
    assert (address.place, address.server, address.asked) == (place, server, asked)


def asked(resources: Resources, host: str, path: str) -> str | None:
    address = resources.of_metadata(host, path)
    return address.asked if address else None


def test_metadata_is_at_the_path_inserted_address_and_at_the_root_of_a_host_with_one_server(
    one_host: Resources, subdomains: Resources
) -> None:
    assert (
        one_host.metadata_url("http://localhost:8080/time/mcp")
        == "http://localhost:8080/.well-known/oauth-protected-resource/time/mcp"
    )
    assert asked(one_host, "localhost:8080", "/time/mcp") == "http://localhost:8080/time/mcp"
    assert asked(one_host, "localhost:8080", "/time/mcp/") == "http://localhost:8080/time/mcp/"
    assert asked(one_host, "localhost:8080", "") is None
    assert asked(one_host, "evil.com", "/time/mcp") is None
    assert asked(subdomains, "time.example.com", "/mcp") == "https://time.example.com/mcp"
    assert asked(subdomains, "time.example.com", "") == "https://time.example.com/mcp"
    assert asked(subdomains, "auth.example.com", "") is None
    assert asked(subdomains, "auth.example.com", "/mcp") is None


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
    address = resources.read("localhost:8080", "/" + path)
    if address.place is ENDPOINT:
        assert resources.canonical(address.asked) == resources.canonical(address.resource) == address.resource


@given(url=st.text(max_size=60) | TEXT.map(lambda path: f"http://localhost:8080{path}"))
def test_canonical_is_idempotent_and_never_raises(url: str) -> None:
    resources = Resources(
        load_settings(public_url="http://localhost:8080", gateway_secret=SECRET, local_accounts=True)
    )
    canonical = resources.canonical(url)
    assert canonical is None or resources.canonical(canonical) == canonical
