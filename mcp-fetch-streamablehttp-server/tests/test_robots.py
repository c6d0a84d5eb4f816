"""robots.txt: asked at every hop, obeyed, remembered, and no way to wear the server out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from mcp_fetch_streamablehttp_server._common.addresses import AddressPolicy
from mcp_fetch_streamablehttp_server._common.pinned_transport import PinnedTransport
from mcp_fetch_streamablehttp_server.errors import FetchError
from mcp_fetch_streamablehttp_server.fetch import Fetcher, Order, parse_url
from mcp_fetch_streamablehttp_server.robots import Robots, parse
from starlette.responses import Response

from .support import Site, StartSite

NAME = "modelcontextprotocol"
Make = Callable[..., tuple[Fetcher, Robots]]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[Fetcher] = []

    def build(*sites: Site, **options: Any) -> tuple[Fetcher, Robots]:
        exempt = {("127.0.0.1", int(site.authority.split(":")[1])) for site in sites}
        policy = AddressPolicy(None, exempt)
        fetcher = Fetcher(
            policy, PinnedTransport(policy), max_redirects=5, max_bytes=10_000, seconds=10, max_concurrent=4
        )
        made.append(fetcher)
        return fetcher, Robots(fetcher, "ModelContextProtocol/1.0", **options)

    yield build
    for fetcher in made:
        await fetcher.aclose()


def rules(text: str) -> Response:
    return Response(text, media_type="text/plain")


async def test_a_forbidden_page_is_not_asked_for(make: Make, site: Site) -> None:
    site.pages["/robots.txt"] = rules("User-agent: *\nDisallow: /private")
    site.pages["/private"] = site.pages["/open"] = Response("x")
    fetcher, robots = make(site)
    await fetcher.fetch(Order(parse_url(f"{site.url}/open")), robots.check)
    with pytest.raises(FetchError, match="asks robots not to fetch this page"):
        await fetcher.fetch(Order(parse_url(f"{site.url}/private")), robots.check)
    assert site.paths == ["/robots.txt", "/open"]
    assert site.seen[0][2]["user-agent"] == "ModelContextProtocol/1.0"


async def test_every_hop_is_asked(make: Make, site: Site, start_site: StartSite) -> None:
    elsewhere = start_site()
    site.pages["/go"] = Response(status_code=302, headers={"location": f"{elsewhere.url}/private"})
    elsewhere.pages["/robots.txt"] = rules("User-agent: ModelContextProtocol\nDisallow: /")
    fetcher, robots = make(site, elsewhere)
    with pytest.raises(FetchError, match="asks robots not to fetch this page"):
        await fetcher.fetch(Order(parse_url(f"{site.url}/go")), robots.check)
    assert elsewhere.paths == ["/robots.txt"]


async def test_a_missing_robots_txt_allows_and_a_failing_one_forbids(make: Make, site: Site) -> None:
    now = 0.0
    _, robots = make(site, clock=lambda: now)
    url = parse_url(f"{site.url}/page")
    await robots.check(url)
    site.pages["/robots.txt"] = Response("oops", 503)
    now += 3600
    with pytest.raises(FetchError, match=r"cannot be read, so nothing is fetched from it: it answers 503"):
        await robots.check(url)
    site.pages["/robots.txt"] = rules("User-agent: *\nDisallow:")
    now += 59
    with pytest.raises(FetchError):
        await robots.check(url)
    now += 1
    await robots.check(url)


async def test_it_is_asked_once_an_hour_and_a_bounded_number_is_remembered(
    make: Make, site: Site, start_site: StartSite
) -> None:
    now = 0.0
    elsewhere = start_site()
    _, robots = make(site, elsewhere, clock=lambda: now, limit=1)
    first, second = parse_url(f"{site.url}/"), parse_url(f"{elsewhere.url}/")
    for _ in range(3):
        await robots.check(first)
    assert site.paths == ["/robots.txt"]
    now = 3600
    await robots.check(first)
    assert len(site.paths) == 2
    await robots.check(second)
    await robots.check(first)
    assert len(site.paths) == 3


async def test_robots_txt_is_no_way_around_the_address_check(
    make: Make, site: Site, start_site: StartSite
) -> None:
    inside = start_site()
    site.pages["/robots.txt"] = Response(status_code=302, headers={"location": f"{inside.url}/robots.txt"})
    _, robots = make(site)
    with pytest.raises(FetchError, match="only public addresses are fetched"):
        await robots.check(parse_url(f"{site.url}/page"))
    assert inside.seen == []


def test_the_group_for_this_robot_wins_over_the_one_for_all() -> None:
    text = (
        b"\xef\xbb\xbfUser-agent: *\r\nDisallow: /\r\n\r\n"
        b"User-agent: ModelContextProtocol/2\r\nUser-agent: x\r\nDisallow: /a"
    )
    found = parse(text, NAME)
    assert found.can_fetch("https://x/b", NAME) is True
    assert found.can_fetch("https://x/a", NAME) is False


def test_groups_for_others_do_not_count() -> None:
    assert parse(b"User-agent: otherbot\nDisallow: /", NAME).can_fetch("https://x/", NAME) is True


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"user-agent: a{number}\n" for number in range(12_000)) * 2 + "disallow: /x\n" * 10_000,
        "x: y"
        + "".join(f"\u2028user-agent: a{number}" for number in range(12_000))
        + "\ndisallow: /x" * 10_000,
        "user" + " " * 500_000,
        "user-agent: *\n" + ("disallow: /" + "*a" * 100 + "b\n") * 2000,
    ],
    ids=["groups", "hidden groups", "spaces", "wildcards"],
)
@pytest.mark.timeout(120)
def test_a_hostile_robots_txt_takes_no_more_time_than_its_size(text: str) -> None:
    """Work that grew with the square of these would take minutes and gigabytes; the time limit tells."""
    assert parse(text.encode()[:512_000], NAME).can_fetch("https://x/" + "a" * 8000, NAME) is True


@pytest.mark.parametrize(
    "agent", ["model", "modelcontext", "context", "ModelContextProtocolX", "Model Context"]
)
def test_a_product_token_is_matched_whole(agent: str) -> None:
    """RFC 9309 2.2.1: a group for another robot whose name is part of ours is not for us."""
    found = parse(f"User-agent: {agent}\nDisallow: /\n".encode(), NAME)
    assert found.can_fetch("http://a.example/x", NAME)
    ours = parse(f"User-agent: {NAME.upper()}/2.0\nDisallow: /\n".encode(), NAME)
    assert not ours.can_fetch("http://a.example/x", NAME)


async def test_robots_txt_itself_may_always_be_read(make: Make, site: Site) -> None:
    site.pages["/robots.txt"] = rules("User-agent: *\nDisallow: /")
    fetcher, robots = make(site)
    page = await fetcher.fetch(Order(parse_url(f"{site.url}/robots.txt")), robots.check)
    assert page.body.startswith(b"User-agent")


async def test_the_crawl_delay_of_a_site_is_known_once_it_was_asked(make: Make, site: Site) -> None:
    site.pages["/robots.txt"] = rules("User-agent: *\nCrawl-delay: 7")
    _, robots = make(site)
    url = parse_url(f"{site.url}/x")
    assert robots.crawl_delay(url) == 0
    await robots.check(url)
    assert robots.crawl_delay(url) == 7
