"""Redirects, headers, sizes, encodings and time, against a site on loopback."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from mcp_fetch_streamablehttp_server._common.addresses import AddressPolicy
from mcp_fetch_streamablehttp_server._common.pinned_transport import PinnedTransport
from mcp_fetch_streamablehttp_server.errors import FetchError
from mcp_fetch_streamablehttp_server.fetch import Fetcher, Order, Page, parse_url
from mcp_fetch_streamablehttp_server.headers import check_headers
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from .support import Site, StartSite

LIMIT = 50_000
Get = Callable[..., Awaitable[Page]]


async def no_robots(url: httpx.URL) -> None:
    pass


class Vouched:
    """Holds any host and port: these tests are about what comes after the address check."""

    def __contains__(self, pair: object) -> bool:
        return True


@pytest.fixture
async def get() -> AsyncIterator[Get]:
    policy = AddressPolicy(None, Vouched())  # type: ignore[arg-type]  # only membership is asked
    seconds = 5.0
    made = Fetcher(
        policy, PinnedTransport(policy), max_redirects=3, max_bytes=LIMIT, seconds=seconds, max_concurrent=4
    )

    async def fetch(url: str, **order: Any) -> Page:
        return await made.fetch(Order(parse_url(url), **order), no_robots)

    fetch.fetcher = made  # type: ignore[attr-defined]
    yield fetch
    await made.aclose()


async def test_a_page_and_its_redirects(get: Get, site: Site) -> None:
    site.pages["/a"] = Response(status_code=301, headers={"location": "b?x=1#part"})
    site.pages["/b"] = Response("here", media_type="text/plain")
    page = await get(f"{site.url}/a#top")
    assert (page.status, page.body) == (200, b"here")
    assert str(page.url) == f"{site.url}/b?x=1"
    assert page.redirects == [f"{site.url}/a"]
    assert site.paths == ["/a", "/b?x=1"]


@pytest.mark.parametrize(
    ("status", "method", "body"),
    [(301, "GET", b""), (302, "GET", b""), (303, "GET", b""), (307, "POST", b"x=1"), (308, "POST", b"x=1")],
)
async def test_what_becomes_of_a_post(get: Get, site: Site, status: int, method: str, body: bytes) -> None:
    site.pages["/a"] = Response(status_code=status, headers={"location": "/b"})
    site.pages["/b"] = Response("ok")
    headers = {"content-type": "application/x-www-form-urlencoded"}
    await get(f"{site.url}/a", method="POST", body=b"x=1", headers=headers)
    assert site.seen[0][3] == b"x=1"
    assert (site.seen[1][0], site.seen[1][3]) == (method, body)
    assert ("content-type" in site.seen[1][2]) is (method == "POST")


async def test_headers_for_one_origin_do_not_travel_to_another(
    get: Get, site: Site, start_site: StartSite
) -> None:
    elsewhere = start_site()
    site.pages["/a"] = Response(status_code=302, headers={"location": "/b"})
    site.pages["/b"] = Response(status_code=302, headers={"location": f"{elsewhere.url}/c"})
    elsewhere.pages["/c"] = Response("ok")
    sent = {"authorization": "Bearer t", "x-api-key": "k", "accept-language": "de", "user-agent": "U/1"}
    await get(f"{site.url}/a", headers=sent)
    assert site.seen[1][2]["authorization"] == "Bearer t"
    arrived = elsewhere.seen[0][2]
    assert "authorization" not in arrived
    assert "x-api-key" not in arrived
    assert (arrived["accept-language"], arrived["user-agent"]) == ("de", "U/1")


async def test_cookies_are_never_kept(get: Get, site: Site) -> None:
    site.pages["/a"] = Response(
        status_code=302, headers={"location": "/b", "set-cookie": "sid=alice; Path=/"}
    )
    site.pages["/b"] = Response("ok", headers={"set-cookie": "sid=alice; Path=/"})
    await get(f"{site.url}/a")
    await get(f"{site.url}/b")
    assert all("cookie" not in headers for _, _, headers, _ in site.seen)


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data, wbits=-15)),
        ("gzip", lambda data: gzip.compress(data[:5]) + gzip.compress(data[5:])),
        ("identity", lambda data: data),
    ],
)
async def test_encodings(get: Get, site: Site, encoding: str, compress: Callable[[bytes], bytes]) -> None:
    site.pages["/"] = Response(compress(b"hello world" * 100), headers={"content-encoding": encoding})
    assert (await get(f"{site.url}/")).body == b"hello world" * 100
    assert site.seen[0][2]["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "zstd"])
async def test_an_encoding_not_asked_for_is_refused(get: Get, site: Site, encoding: str) -> None:
    site.pages["/"] = Response(b"x", headers={"content-encoding": encoding})
    with pytest.raises(FetchError, match="was not asked for"):
        await get(f"{site.url}/")


async def test_broken_compression_is_said_to_be(get: Get, site: Site) -> None:
    site.pages["/"] = Response(b"not gzip at all", headers={"content-encoding": "gzip"})
    with pytest.raises(FetchError, match="compressed, but broken"):
        await get(f"{site.url}/")


async def test_the_size_limit_holds_while_streaming(get: Get, site: Site) -> None:
    sent = 0

    async def endless(request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            nonlocal sent
            while True:
                sent += 1
                yield b"x" * 10_000
                await asyncio.sleep(0)

        return StreamingResponse(chunks(), media_type="text/plain")

    site.pages["/"] = endless
    with pytest.raises(FetchError, match=f"larger than the {LIMIT} bytes"):
        await get(f"{site.url}/")
    site.pages["/"] = Response(b"x" * LIMIT)
    assert len((await get(f"{site.url}/")).body) == LIMIT


async def test_a_compression_bomb_is_stopped_at_the_limit(get: Get, site: Site) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    assert len(bomb) < LIMIT * 2
    site.pages["/"] = Response(bomb, headers={"content-encoding": "gzip"})
    with pytest.raises(FetchError, match=f"larger than the {LIMIT} bytes"):
        await get(f"{site.url}/")


async def test_a_page_that_trickles_is_given_up(get: Get, site: Site) -> None:
    async def trickle(request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            while True:
                yield b"x"
                await asyncio.sleep(0.02)

        return StreamingResponse(chunks(), media_type="text/plain")

    site.pages["/"] = trickle
    get.fetcher.seconds = 0.3  # type: ignore[attr-defined]
    with pytest.raises(FetchError, match=r"did not deliver within 0\.3 seconds"):
        await get(f"{site.url}/")


async def test_a_server_that_does_not_speak_http(get: Get) -> None:
    async def junk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"220 mail.example ESMTP\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(junk, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(FetchError, match="does not speak HTTP properly"):
            await get(f"http://127.0.0.1:{port}/")


async def test_a_closed_port_and_an_unknown_name(get: Get, site: Site) -> None:
    with pytest.raises(FetchError, match=r"127\.0\.0\.1 cannot be reached: the connection failed"):
        await get("http://127.0.0.1:1/")
    with pytest.raises(FetchError, match="the name does not resolve"):
        await get("http://no-such-name.invalid/")


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "host",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Cookie",
        "Proxy-Authorization",
        "X-Forwarded-For",
        "X_Forwarded_For",
        "X-User-Id",
        "Metadata-Flavor",
        "X-aws-ec2-metadata-token",
        "Accept-Encoding",
        "Expect",
        "Upgrade",
        "TE",
    ],
)
def test_headers_that_may_not_be_set(name: str) -> None:
    with pytest.raises(FetchError, match="may not be set"):
        check_headers({name: "x"})


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "1\r\nHost: evil"},
        {"X-A": "1\n"},
        {"X A": "1"},
        {"X-A:": "1"},
        {"": "1"},
        {"X-A": "é"},
        {"X-A": "\0"},
        {f"X-{number}": "1" for number in range(31)},
        {"X-A": "x" * 9000},
        {"X-A": "1", "x-a": "2"},
    ],
)
def test_headers_that_are_malformed_or_too_many(headers: dict[str, str]) -> None:
    with pytest.raises(FetchError):
        check_headers(headers)


def test_ordinary_headers_pass() -> None:
    sent = {"Accept": "application/json", "Authorization": "Bearer x", "If-None-Match": '"a"'}
    assert json.dumps(check_headers(sent)) == json.dumps(
        {name.lower(): value for name, value in sent.items()}
    )
