"""The cache by RFC 9111, alone and over a site on loopback."""

from __future__ import annotations

from email.utils import formatdate

import httpx
import pytest
from mcp_fetch_streamablehttp_server._common.addresses import AddressPolicy
from mcp_fetch_streamablehttp_server._common.pinned_transport import PinnedTransport
from mcp_fetch_streamablehttp_server.cache import Answer, Cache, lifetime_of
from mcp_fetch_streamablehttp_server.fetch import Fetcher, Order, Page, parse_url
from starlette.requests import Request
from starlette.responses import Response

from .support import Json, Site

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("headers", "status", "lifetime"),
    [
        ({}, 200, 60),
        ({}, 500, None),
        ({}, 302, None),
        ({}, 301, 60),
        ({"cache-control": "max-age=5"}, 302, 5),
        ({"cache-control": "max-age=100", "age": "40"}, 200, 60),
        ({"cache-control": "max-age=100, s-maxage=7"}, 200, 7),
        ({"cache-control": 'MAX-AGE="9"'}, 200, 9),
        ({"cache-control": "max-age=-1"}, 200, 0),
        ({"cache-control": "no-store"}, 200, None),
        ({"cache-control": "private, max-age=60"}, 200, None),
        ({"cache-control": "no-cache"}, 200, 0),
        ({"vary": "*"}, 200, None),
        ({"set-cookie": "a=b"}, 200, None),
        ({"expires": "0"}, 200, 0),
        ({"expires": formatdate(NOW + 30, usegmt=True), "date": formatdate(NOW, usegmt=True)}, 200, 30),
        (
            {"last-modified": formatdate(NOW - 10_000, usegmt=True), "date": formatdate(NOW, usegmt=True)},
            200,
            1000,
        ),
    ],
)
def test_how_long_an_answer_is_fresh(headers: dict[str, str], status: int, lifetime: float | None) -> None:
    assert lifetime_of(Answer(status, headers, b""), NOW) == lifetime


def test_it_is_bounded_and_forgets_the_oldest() -> None:
    cache = Cache(1000, clock=lambda: NOW)
    for number in range(10):
        cache.keep((str(number),), Answer(200, {}, b"x" * 200))
    assert cache.bytes <= 1000
    assert cache.fresh(("0",)) is None
    assert cache.fresh(("9",)) is not None
    cache.keep(("big",), Answer(200, {}, b"x" * 500))
    assert cache.fresh(("big",)) is None


class Everything:
    def __contains__(self, pair: object) -> bool:
        return True


async def visit(site: Site, *orders: Json) -> list[Page]:
    policy = AddressPolicy(None, Everything())  # type: ignore[arg-type]  # only membership is asked
    fetcher = Fetcher(policy, PinnedTransport(policy), max_redirects=3, max_bytes=50_000, seconds=5,
                      max_concurrent=4, cache_bytes=1_000_000)  # fmt: skip

    async def anywhere(url: httpx.URL) -> None:
        pass

    try:
        return [await fetcher.fetch(Order(parse_url(f"{site.url}/a"), **order), anywhere) for order in orders]
    finally:
        await fetcher.aclose()


async def test_a_fresh_answer_is_not_asked_for_again(site: Site) -> None:
    site.pages["/a"] = Response("text", headers={"cache-control": "max-age=60"})
    first, second = await visit(site, {}, {})
    assert (first.body, second.body, site.paths) == (b"text", b"text", ["/a"])


async def test_a_stale_answer_is_asked_about_with_its_etag(site: Site) -> None:
    async def page(request: Request) -> Response:
        if request.headers.get("if-none-match") == '"1"':
            return Response(status_code=304, headers={"etag": '"1"'})
        return Response("text", headers={"etag": '"1"', "cache-control": "no-cache"})

    site.pages["/a"] = page
    first, second = await visit(site, {}, {})
    assert (second.status, second.body) == (200, first.body)
    assert len(site.seen) == 2


@pytest.mark.parametrize(
    "order",
    [
        {"headers": {"authorization": "Bearer x"}},
        {"headers": {"x-anything": "1"}},
        {"method": "POST", "body": b"x"},
    ],
)
async def test_what_one_caller_alone_may_see_is_not_kept(site: Site, order: Json) -> None:
    site.pages["/a"] = Response("text", headers={"cache-control": "max-age=60"})
    await visit(site, order, order)
    assert site.paths == ["/a", "/a"]


async def test_what_an_answer_may_vary_by_tells_requests_apart(site: Site) -> None:
    site.pages["/a"] = Response("text", headers={"cache-control": "max-age=60", "vary": "accept-language"})
    await visit(site, {"headers": {"accept-language": "de"}}, {"headers": {"accept-language": "en"}})
    assert site.paths == ["/a", "/a"]
