"""Server-side request forgery: nothing forbidden is connected to, and what is allowed is what was checked."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpcore
import httpx
import pytest
import trustme
from mcp_fetch_streamablehttp_server._common.addresses import AddressPolicy, AddressRefusedError
from mcp_fetch_streamablehttp_server._common.pinned_transport import PinnedTransport
from mcp_fetch_streamablehttp_server.errors import FetchError, RefusedError
from mcp_fetch_streamablehttp_server.fetch import Fetcher, Order, Page, parse_url
from mcp_fetch_streamablehttp_server.settings import PORTS
from starlette.responses import RedirectResponse, Response

from .support import Network, Site, StartSite


def fetcher(policy: AddressPolicy, transport: PinnedTransport) -> Fetcher:
    return Fetcher(policy, transport, max_redirects=5, max_bytes=10_000, seconds=10, max_concurrent=4)


async def no_robots(url: httpx.URL) -> None:
    pass


async def get(url: str, network: Network, policy: AddressPolicy | None = None) -> Page:
    policy = policy or AddressPolicy(PORTS)
    made = fetcher(policy, PinnedTransport(policy, resolver=network.resolve, connector=network))
    try:
        return await made.fetch(Order(parse_url(url)), no_robots)
    finally:
        await made.aclose()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.0.0.1./",
        "http://0/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://127.1/",
        "http://0177.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[::127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[2001:0:7f00:1::]/",
        "http://[fe80::5efe:127.0.0.1]/",
        "http://[fe80::1%25eth0]/",
        "http://[fd00:ec2::254]/latest/meta-data/",
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost/",
        "http://localhost./",
        "http://LOCALHOST/",
        "http://app.localhost/",
        "http://１２７.０.０.１/",
        "http://127。0。0。1/",
        "http://ⓛocalhost/",
        "http://example.com:6379/",
        "http://example.com:22/",
        "http://user:secret@example.com/",
        "http://example.com\\@127.0.0.1/",
        "http://127.0.0.1#@example.com/",
        "http://127.0.0.1\t/",
        "http:///etc/passwd",
        "file:///etc/passwd",
        "gopher://example.com/",
        "ftp://example.com/",
        "//example.com/",
        "example.com",
        "",
        "unix:/var/run/docker.sock",
        "http://" + "a" * 9000,
    ],
)
async def test_refused_before_any_lookup_or_connection(url: str, network: type[Network]) -> None:
    net = network(example_com=["1.1.1.1"])
    with pytest.raises(FetchError):
        await get(url, net)
    assert (net.resolved, net.connected) == ([], [])


@pytest.mark.parametrize(
    "addresses",
    [
        ["10.0.0.1"],
        ["127.0.0.1"],
        ["1.1.1.1", "192.168.0.1"],
        ["1.1.1.1", "::1"],
        ["169.254.169.254"],
        ["64:ff9b::a9fe:a9fe"],
        ["::ffff:10.0.0.1"],
        ["fe80::1%2"],
        [],
    ],
)
async def test_a_name_with_a_private_address_is_never_connected_to(
    addresses: list[str], network: type[Network]
) -> None:
    net = network(rebind_example=addresses)
    with pytest.raises(RefusedError):
        await get("http://rebind.example/", net)
    assert net.resolved == ["rebind.example"]
    assert net.connected == []


async def test_a_public_name_is_resolved_once_and_connected_to_by_address(network: type[Network]) -> None:
    net = network(example_com=["1.1.1.1", "2606:4700::1111"])
    with pytest.raises(FetchError, match=r"example\.com\. cannot be reached: the connection failed"):
        await get("https://Example.com./", net)
    assert net.resolved == ["example.com"]
    assert net.connected == [("1.1.1.1", 443), ("2606:4700::1111", 443)]


async def test_proxy_variables_cannot_lead_around_the_check(
    network: type[Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    net = network(example_com=["1.1.1.1"])
    with pytest.raises(FetchError):
        await get("http://example.com/", net)
    assert net.connected == [("1.1.1.1", 80)]


async def test_local_sockets_are_out_of_reach(network: type[Network]) -> None:
    policy = AddressPolicy(PORTS)
    net = network()
    transport = PinnedTransport(policy, resolver=net.resolve, connector=net)
    backend = transport._pool._network_backend
    assert isinstance(backend, httpcore.AsyncNetworkBackend)
    with pytest.raises(AddressRefusedError):
        await backend.connect_unix_socket("/var/run/docker.sock")


class Loopback(httpcore.AnyIOBackend):
    """The real network, noting where it goes."""

    def __init__(self) -> None:
        self.connected: list[tuple[str, int]] = []

    async def connect_tcp(
        self, host: str, port: int, *rest: Any, **named: Any
    ) -> httpcore.AsyncNetworkStream:
        self.connected.append((host, port))
        return await super().connect_tcp(host, port, *rest, **named)


@pytest.fixture
async def through_loopback(site: Site) -> AsyncIterator[tuple[Fetcher, Loopback, Site, int]]:
    """A fetcher for which the operator vouches for site.test on the site's port, and for nothing else."""
    port = int(site.authority.split(":")[1])
    answers = {
        "site.test": ["127.0.0.1"],
        "rebind.test": ["127.0.0.1"],
        "mixed.test": ["1.1.1.1", "127.0.0.1"],
    }

    async def resolve(host: str, port: int) -> list[str]:
        return answers.get(host, [])

    policy = AddressPolicy(None, {("site.test", port)})
    net = Loopback()
    made = fetcher(policy, PinnedTransport(policy, resolver=resolve, connector=net))
    yield made, net, site, port
    await made.aclose()


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:{port}/secret",
        "http://localhost:{port}/secret",
        "http://rebind.test:{port}/secret",
        "http://mixed.test:{port}/secret",
        "http://2130706433:{port}/secret",
        "http://[::ffff:127.0.0.1]:{port}/secret",
        "//rebind.test:{port}/secret",
        "http://site.test:1/secret",
        "file:///etc/passwd",
        "http://x:y@site.test:{port}/secret",
        "http://[",
    ],
)
async def test_a_redirect_is_checked_like_the_first_address(
    target: str, through_loopback: tuple[Fetcher, Loopback, Site, int]
) -> None:
    made, net, site, port = through_loopback
    site.pages["/"] = Response(status_code=302, headers={"location": target.format(port=port)})
    site.pages["/secret"] = Response("the secret", media_type="text/plain")
    with pytest.raises(FetchError):
        await made.fetch(Order(parse_url(f"http://site.test:{port}/")), no_robots)
    assert site.paths == ["/"]
    assert net.connected == [("127.0.0.1", port)]


async def test_host_and_tls_name_stay_the_site_s_own(start_site: StartSite, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("named.test")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    certificate.cert_chain_pems[0].write_to_path(str(chain))
    certificate.private_key_pem.write_to_path(str(key))
    site = start_site(ssl_certfile=str(chain), ssl_keyfile=str(key))
    site.pages["/"] = Response("hello", media_type="text/plain")
    port = int(site.authority.split(":")[1])
    trust = ssl.create_default_context()
    authority.configure_trust(trust)

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    policy = AddressPolicy(PORTS, {("named.test", port), ("other.test", port)})
    made = fetcher(policy, PinnedTransport(policy, resolver=resolve, tls=trust))
    try:
        page = await made.fetch(Order(parse_url(f"https://named.test:{port}/")), no_robots)
        with pytest.raises(FetchError, match="certificate is not valid"):
            await made.fetch(Order(parse_url(f"https://other.test:{port}/")), no_robots)
    finally:
        await made.aclose()
    assert page.body == b"hello"
    assert site.seen[0][2]["host"] == f"named.test:{port}"


async def test_a_kept_connection_serves_only_the_host_it_was_made_for(
    through_loopback: tuple[Fetcher, Loopback, Site, int],
) -> None:
    made, net, site, port = through_loopback
    site.pages["/"] = Response("hello", media_type="text/plain")
    for _ in range(2):
        await made.fetch(Order(parse_url(f"http://site.test:{port}/")), no_robots)
    with pytest.raises(RefusedError):
        await made.fetch(Order(parse_url(f"http://rebind.test:{port}/")), no_robots)
    assert len(site.seen) == 2
    assert net.connected == [("127.0.0.1", port)]


async def test_a_redirect_loop_ends(through_loopback: tuple[Fetcher, Loopback, Site, int]) -> None:
    made, _, site, port = through_loopback
    site.pages["/"] = RedirectResponse("/")
    with pytest.raises(FetchError, match="more than 5 times"):
        await made.fetch(Order(parse_url(f"http://site.test:{port}/")), no_robots)
    assert len(site.seen) == 6
