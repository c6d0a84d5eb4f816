"""Client ID Metadata Documents, and the fetch that must not become anybody's tool (MCP 2026-07-28, SSRF)."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import ssl
from pathlib import Path
from typing import Any

import httpcore
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp_oauth_dynamicclient._common.addresses import is_public
from mcp_oauth_dynamicclient._common.resolver import SystemResolver, asker
from mcp_oauth_dynamicclient.clients.documents import (
    UnreachableDocumentError,
    UnusableDocumentError,
    wellknown,
)
from mcp_oauth_dynamicclient.clients.fetch import AddressRefusedError, Fetcher, FetchError, freshness

from ..answering import Answering
from ..support import Clock
from .support import Gateway, Internet, MakeGateway

ID = "https://client.example/oauth/client.json"
DOCUMENT = {"client_id": ID, "client_name": "Example", "redirect_uris": ["https://client.example/cb"]}
DAY = 86400


EXEMPT = [("client.example", 443), ("other.example", 443)]
"""Hosts that may be on loopback, for one test."""


class ToPort(httpcore.AnyIOBackend):
    """Connects to the address that it is told, but at one port."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def connect_tcp(
        self, host: str, port: int, *args: Any, **options: Any
    ) -> httpcore.AsyncNetworkStream:
        return await super().connect_tcp(host, self._port, *args, **options)


async def test_a_document_describes_a_public_client(gateway: Gateway) -> None:
    gateway.internet.publish(ID, DOCUMENT)
    client = await gateway.client(ID)
    assert (client.client_id, client.name, client.source, client.auth_method) == (
        ID,
        "Example",
        "document",
        "none",
    )
    assert client.secret_hash is None
    request = gateway.internet.connections[0]
    assert request.url.host == "93.184.216.34"
    assert request.headers["host"] == "client.example"
    assert request.extensions["sni_hostname"] == "client.example"


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "https://client.example/oauth/CLIENT.json"},
        {"client_id": ID + "?"},
        {"client_id": None},
        {"client_name": None},
        {"client_name": "  "},
        {"client_name": "\u3164"},
        {"client_name": ["Example"]},
        {"redirect_uris": None},
        {"redirect_uris": []},
        {"redirect_uris": ["javascript:alert(1)", "https://client.example/cb"]},
        {"redirect_uris": ["http://client.example/cb"]},
        {"token_endpoint_auth_method": "client_secret_basic"},
        {"token_endpoint_auth_method": "private_key_jwt"},
        {"client_secret": "x"},
        {"grant_types": ["client_credentials"]},
    ],
)
async def test_a_document_that_breaks_a_rule_identifies_nobody_and_is_not_cached(
    gateway: Gateway, change: dict[str, Any]
) -> None:
    gateway.internet.publish(ID, DOCUMENT | change)
    with pytest.raises(UnusableDocumentError):
        await gateway.client(ID)
    gateway.internet.publish(ID, DOCUMENT)
    assert (await gateway.client(ID)).name == "Example"


@pytest.mark.parametrize(
    "client_id",
    [
        "https://client.example",
        "https://client.example/",
        "https://client.example/a/../b",
        "https://client.example/a/%2e%2e/b",
        "https://client.example/a/.%2E/b",
        "https://client.example/%2e/b",
        "https://client.example/a/%2E.",
        "https://client.example/./b",
        "https://client.example/b#x",
        "https://user@client.example/b",
        "https://client.example\\@other.example/b",
        "https://client.example/ b",
        "https://client.example/" + "x" * 2100,
        "https://client.example:8443/b",
        "https://localhost/b",
        "https://127.0.0.1/b",
        "https://2130706433/b",
        "https://0x7f.1/b",
        "https://[::1]/b",
        "https://[::ffff:93.184.216.34]/b",
        "https://client.example./b",
        "https://redis/b",
        "https://[x/b",
        "https://client.example/[",
    ],
)
async def test_a_url_that_is_no_document_id_is_refused_without_a_connection(
    gateway: Gateway, client_id: str
) -> None:
    with pytest.raises(UnusableDocumentError):
        await gateway.client(client_id)
    assert gateway.internet.connections == []


@pytest.mark.parametrize(
    "client_id", ["http://client.example/c.json", "ftp://client.example/c", "HTTPS://x.example/c"]
)
async def test_another_url_is_simply_an_unknown_client(gateway: Gateway, client_id: str) -> None:
    assert await gateway.ctx.clients.find(client_id) is None
    assert gateway.internet.connections == []


PRIVATE = [
    "127.0.0.1", "127.8.9.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "169.254.170.2", "100.64.0.1", "192.0.0.8", "192.0.2.1", "198.18.0.1", "203.0.113.9",
    "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0",
    "fec0::1", "fc00::1", "fd12:3456::1", "ff02::1", "2001:db8::1", "100::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::93.184.216.34", "::ffff:0:10.0.0.1",
    "64:ff9b::10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::10.0.0.1", "64:ff9b:1::93.184.216.34",
    "2002:7f00:1::", "2002:0a00:0001::1", "2002:5db8:d822::1", "2001:0:7f00:1::1",
    "2001:0:5db8:d822:0:0:f5ff:fffe", "2606:2800:220:1:0:5efe:10.0.0.1",
    "2606:2800:220:1:200:5efe:192.168.0.1", "fe80::5efe:10.0.0.1", "168.63.129.16", "3fff::1",
    "2606:2800:220:1:200:5efe:93.184.216.34", "", "client.example",
]  # fmt: skip
PUBLIC = [
    "93.184.216.34", "8.8.8.8", "172.217.16.14", "172.15.0.1", "2606:2800:220:1:248:1893:25c8:1946",
    "::ffff:93.184.216.34", "64:ff9b::93.184.216.34",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
async def test_a_host_with_an_address_that_is_not_public_is_never_connected_to(
    gateway: Gateway, address: str
) -> None:
    assert not is_public(address)
    gateway.internet.publish(ID, DOCUMENT)
    gateway.internet.addresses["client.example"] = ["93.184.216.34", address]
    with pytest.raises(UnusableDocumentError):
        await gateway.client(ID)
    assert gateway.internet.connections == []


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_public_in_every_form(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_no_ipv6_form_makes_a_private_ipv4_address_public(inner: ipaddress.IPv4Address) -> None:
    number = int(inner)
    forms = [
        0xFFFF << 32 | number,
        0x64FF9B << 96 | number,
        0x2002 << 112 | number << 80 | 1,
        0x20010000 << 96 | number << 64 | (~number & 0xFFFFFFFF),
        0x2606280002200001 << 64 | 0x5EFE << 32 | number,
    ]
    for form in forms:
        if is_public(str(ipaddress.IPv6Address(form))):
            assert is_public(str(inner))


async def test_the_name_is_resolved_once_so_that_a_second_answer_cannot_lead_inside(
    internet: Internet,
) -> None:
    asked: list[str] = []

    async def rebinding(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["93.184.216.34"] if len(asked) == 1 else ["127.0.0.1"]

    internet.publish(ID, DOCUMENT)
    fetcher = Fetcher(resolve=rebinding, connector=internet.network)
    assert (await fetcher.get(ID)).value == DOCUMENT
    assert asked == ["client.example"]
    assert [request.url.host for request in internet.connections] == ["93.184.216.34"]
    with pytest.raises(AddressRefusedError):
        await fetcher.get(ID)
    assert len(internet.connections) == 1


async def test_a_real_resolver_and_a_real_socket_never_reach_loopback() -> None:
    connected = asyncio.Event()

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    resolver = SystemResolver()

    async def names(_host: str, port: int) -> list[str]:
        return await resolver("localhost", port)

    async with server:
        with pytest.raises(AddressRefusedError):
            await Fetcher(resolve=names, connector=ToPort(port)).get(ID)
        assert not connected.is_set()
        # The same fetch does arrive when loopback is allowed, so the refusal above is what stopped it.
        fetcher = Fetcher(resolve=names, connector=ToPort(port), exempt=EXEMPT)
        fetching = asyncio.create_task(fetcher.get(ID))
        await connected.wait()
        fetching.cancel()
        await asyncio.gather(fetching, return_exceptions=True)


async def test_redirects_are_not_followed(gateway: Gateway) -> None:
    gateway.internet.publish("https://client.example/elsewhere.json", DOCUMENT)
    for status in (301, 302, 303, 307, 308):
        gateway.internet.publish(ID, b"", status, location="https://client.example/elsewhere.json")
        with pytest.raises(UnreachableDocumentError):
            await gateway.client(ID)
    assert {str(request.url) for request in gateway.internet.connections} == {
        "https://93.184.216.34/oauth/client.json"
    }


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"<html></html>", {"content_type": "text/html"}),
        (json.dumps(DOCUMENT).encode(), {"content_type": "text/html"}),
        (b"{", {}),
        (b"[]", {}),
        (b'{"client_id": NaN}', {}),
        (b"\xff", {}),
        (b"[" * 60_000, {}),
        (json.dumps(DOCUMENT | {"x": "y" * 65_536}).encode(), {}),
        (b"x", {"content_encoding": "br"}),
    ],
)
async def test_what_is_not_a_small_json_object_is_no_document(
    gateway: Gateway, content: bytes, headers: dict[str, Any]
) -> None:
    gateway.internet.publish(ID, content, **headers)
    with pytest.raises(UnreachableDocumentError):
        await gateway.client(ID)


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("no"), httpx.ReadError("no"), httpx.RemoteProtocolError("no")]
)
async def test_a_host_that_fails_is_a_503_and_not_a_wrong_client(gateway: Gateway, error: Exception) -> None:
    gateway.internet.fail(ID, error)
    response = await gateway.post("/token", grant_type="refresh_token", client_id=ID, refresh_token="x")
    assert (response.status_code, response.json()["error"]) == (503, "temporarily_unavailable")


async def test_a_slow_host_is_given_up(internet: Internet) -> None:
    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    fetcher = Fetcher(resolve=internet.resolve, connector=Answering(never), timeout=0.05)
    with pytest.raises(FetchError, match="did not answer"):
        await fetcher.get(ID)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 3600),
        ({"cache-control": "max-age=600"}, 600),
        ({"cache-control": "public, max-age=600", "age": "100"}, 500),
        ({"cache-control": "max-age=1"}, 60),
        ({"cache-control": "max-age=999999999999"}, DAY),
        ({"cache-control": "no-store, max-age=3600"}, 60),
        ({"cache-control": "no-cache"}, 60),
        ({"cache-control": "max-age=soon"}, 60),
        ({"expires": "Mon, 05 Oct 2026 12:10:00 GMT", "date": "Mon, 05 Oct 2026 12:00:00 GMT"}, 600),
        ({"expires": "0", "date": "Mon, 05 Oct 2026 12:00:00 GMT"}, 60),
        ({"expires": "Mon, 05 Oct 2026 12:10:00 GMT"}, 60),
    ],
)
def test_caching_follows_http_within_a_minute_and_a_day(headers: dict[str, str], seconds: float) -> None:
    assert freshness(headers) == seconds


@given(st.dictionaries(st.sampled_from(["cache-control", "age", "expires", "date"]), st.text(max_size=40)))
def test_no_header_breaks_the_bounds(headers: dict[str, str]) -> None:
    assert 60 <= freshness(headers) <= DAY


async def test_a_document_is_fetched_again_when_it_is_stale(gateway: Gateway, clock: Clock) -> None:
    gateway.internet.publish(ID, DOCUMENT, cache_control="max-age=600")
    await gateway.client(ID)
    gateway.internet.publish(ID, DOCUMENT | {"client_name": "Renamed"}, cache_control="max-age=600")
    clock.advance(599)
    assert (await gateway.client(ID)).name == "Example"
    clock.advance(1)
    assert (await gateway.client(ID)).name == "Renamed"
    assert len(gateway.internet.connections) == 2


async def test_a_host_that_is_away_does_not_lock_its_client_out_for_a_day(
    gateway: Gateway, clock: Clock
) -> None:
    gateway.internet.publish(ID, DOCUMENT)
    await gateway.client(ID)
    gateway.internet.fail(ID, httpx.ConnectError("away"))
    clock.advance(DAY - 1)
    assert (await gateway.client(ID)).name == "Example"
    clock.advance(1)
    with pytest.raises(UnreachableDocumentError):
        await gateway.client(ID)


async def test_a_host_that_turns_servers_away_is_asked_once_a_minute(gateway: Gateway, clock: Clock) -> None:
    client_id = "https://zed.dev/oauth/client-metadata.json"
    gateway.internet.publish(client_id, b"", 403)
    for _ in range(5):
        assert (await gateway.client(client_id)).source == "wellknown"
    assert len(gateway.internet.connections) == 1
    gateway.internet.publish(client_id, DOCUMENT | {"client_id": client_id})
    clock.advance(60)
    assert (await gateway.client(client_id)).source == "document"


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=100,
    deadline=None,
)
@given(st.text("abc.:/?#[]@%0129-_\\ \né", max_size=40))
async def test_any_url_is_a_client_or_a_refusal(gateway: Gateway, rest: str) -> None:
    with pytest.raises((UnusableDocumentError, UnreachableDocumentError)):
        await gateway.client(f"https://{rest}")


async def test_a_document_that_was_taken_down_ends_its_client(gateway: Gateway, clock: Clock) -> None:
    gateway.internet.publish(ID, DOCUMENT)
    await gateway.client(ID)
    gateway.internet.publish(ID, b"", 404)
    clock.advance(3600)
    with pytest.raises(UnreachableDocumentError):
        await gateway.client(ID)


async def test_failures_are_not_remembered(gateway: Gateway) -> None:
    gateway.internet.publish(ID, b"", 500)
    with pytest.raises(UnreachableDocumentError):
        await gateway.client(ID)
    gateway.internet.publish(ID, DOCUMENT)
    assert (await gateway.client(ID)).name == "Example"


async def test_memory_is_bounded_whatever_the_documents_ask_for(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_oauth_dynamicclient.clients.fetch_cache.CAPACITY", 8000)
    monkeypatch.setattr("mcp_oauth_dynamicclient.clients.fetch_cache.FETCHES_PER_MINUTE", 1000)
    for number in range(20):
        url = f"https://client.example/{number}.json"
        gateway.internet.publish(url, DOCUMENT | {"client_id": url}, cache_control="max-age=86400")
        await gateway.client(url)
    await gateway.client("https://client.example/19.json")
    assert len(gateway.internet.connections) == 20
    await gateway.client("https://client.example/0.json")
    assert len(gateway.internet.connections) == 21


async def test_what_is_remembered_of_documents_is_bounded_by_size(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ten documents of 60 kB each, three fit into 200 kB; once read, each takes a megabyte."""
    monkeypatch.setattr("mcp_oauth_dynamicclient.clients.fetch_cache.CAPACITY", 200_000)
    urls = [f"https://client.example/{number}.json" for number in range(10)]
    for url in urls:
        gateway.internet.publish(url, DOCUMENT | {"client_id": url, "junk": [[]] * 15_000})
        await gateway.client(url)
    for url in reversed(urls):
        await gateway.client(url)
    assert len(gateway.internet.connections) == 10 + 7


async def test_hosts_that_hang_hold_up_only_who_named_them() -> None:
    """An address that names many of them has its share of the fetches, and no more."""
    asked: list[str] = []
    hanging = asyncio.Event()

    async def names(host: str, port: int) -> list[str]:
        asked.append(host)
        if host.startswith("slow"):
            await hanging.wait()
        return ["10.0.0.1"]

    fetcher = Fetcher(resolve=names, timeout=60)
    asker.set("192.0.2.66")
    hung = [asyncio.create_task(fetcher.get(f"https://slow{number}.example/")) for number in range(40)]
    while not asked:
        await asyncio.sleep(0)
    asker.set("192.0.2.1")
    with pytest.raises(AddressRefusedError):
        await fetcher.get("https://other.example/")
    assert len(asked) == 4 + 1
    for task in hung:
        task.cancel()
    await asyncio.gather(*hung, return_exceptions=True)


async def test_nobody_can_make_the_gateway_hammer_a_host(gateway: Gateway) -> None:
    for number in range(40):
        with pytest.raises(UnreachableDocumentError):
            await gateway.client(f"https://client.example/{number}.json")
    assert len(gateway.internet.connections) == 30


@pytest.mark.parametrize(
    ("rules", "accepted"),
    [
        ({"client_document_allow": ("client.example",)}, True),
        ({"client_document_allow": ("example",)}, True),
        ({"client_document_allow": ("other.example",)}, False),
        ({"client_document_allow": ("lient.example",)}, False),
        ({"client_document_deny": ("client.example",)}, False),
        ({"client_document_deny": ("CLIENT.example",), "client_document_allow": ("client.example",)}, False),
        ({"client_documents": False}, False),
    ],
)
async def test_the_operator_says_whose_documents_count(
    make_gateway: MakeGateway, rules: dict[str, Any], accepted: bool
) -> None:
    gateway = await make_gateway(**rules)
    gateway.internet.publish(ID, DOCUMENT)
    if accepted:
        assert (await gateway.client(ID)).name == "Example"
        return
    with pytest.raises(UnusableDocumentError):
        await gateway.client(ID)
    assert gateway.internet.connections == []


async def test_portless_loopback_redirects_stay_as_published(gateway: Gateway) -> None:
    uris = ["http://localhost/callback", "http://127.0.0.1/callback"]
    gateway.internet.publish(ID, DOCUMENT | {"redirect_uris": uris})
    assert (await gateway.client(ID)).redirect_uris == uris


async def test_the_built_in_copies_are_valid_documents_and_marked(gateway: Gateway) -> None:
    assert len(wellknown()) >= 8
    for client_id in wellknown():
        client = await gateway.client(client_id)
        assert (client.client_id, client.source) == (client_id, "wellknown")


async def test_the_built_in_copies_can_be_switched_off(make_gateway: MakeGateway) -> None:
    gateway = await make_gateway(wellknown_clients=False)
    for client_id in wellknown():
        with pytest.raises(UnreachableDocumentError):
            await gateway.client(client_id)


async def test_a_published_document_wins_over_the_built_in_copy_and_a_wrong_one_is_not_papered_over(
    gateway: Gateway, clock: Clock
) -> None:
    client_id = "https://zed.dev/oauth/client-metadata.json"
    document = DOCUMENT | {"client_id": client_id, "client_name": "Zed, newer"}
    gateway.internet.publish(client_id, document)
    client = await gateway.client(client_id)
    assert (client.name, client.source) == ("Zed, newer", "document")
    clock.advance(3600)
    gateway.internet.publish(client_id, document | {"client_id": "https://evil.example/x"})
    with pytest.raises(UnusableDocumentError):
        await gateway.client(client_id)


async def test_an_entry_of_the_operator_replaces_a_built_in_copy(
    make_gateway: MakeGateway, tmp_path: Path
) -> None:
    client_id = "https://zed.dev/oauth/client-metadata.json"
    entry = {"client_id": client_id, "client_name": "Our Zed", "redirect_uris": ["http://127.0.0.1/cb"],
             "token_endpoint_auth_method": "none"}  # fmt: skip
    (tmp_path / "clients.json").write_text(json.dumps([entry]))
    gateway = await make_gateway(clients_file=tmp_path / "clients.json")
    client = await gateway.client(client_id)
    assert (client.name, client.source) == ("Our Zed", "preregistered")
    assert gateway.internet.connections == []


async def test_over_real_tls_the_certificate_of_the_name_is_what_counts(tmp_path: Path) -> None:
    """A real server on loopback: pinned to its address, checked by its name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client.example")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("client.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain = tmp_path / "server.pem"
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(chain)
    trusting = ssl.create_default_context(
        cadata=certificate.public_bytes(serialization.Encoding.PEM).decode()
    )
    seen: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        body = json.dumps(DOCUMENT).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            + body
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=serving)
    port = server.sockets[0].getsockname()[1]

    async def names(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    fetcher = Fetcher(resolve=names, exempt=EXEMPT, connector=ToPort(port), tls=trusting)
    async with server:
        assert (await fetcher.get(ID)).value == DOCUMENT
        assert b"Host: client.example\r\n" in seen[0]
        with pytest.raises(FetchError):
            await fetcher.get("https://other.example/oauth/client.json")
        assert len(seen) == 1
