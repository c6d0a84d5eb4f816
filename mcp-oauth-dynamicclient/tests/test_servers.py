"""Which servers exist: read from Traefik's API, from a list, or by the shape of an address alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from mcp_oauth_dynamicclient.resources import Resources
from mcp_oauth_dynamicclient.servers import MIDDLEWARE, ListedServers, Presence, RoutedServers
from mcp_oauth_dynamicclient.settings import Settings
from mcp_oauth_dynamicclient.store import Store
from mcp_oauth_dynamicclient.store.recent import RecentStore

from .support import Clock

SECRET = "e" * 32


class TraefikApi(httpx.AsyncBaseTransport):
    """Traefik's API as it pages and answers, two items a page; `down` makes it unreachable."""

    def __init__(self) -> None:
        self.routers: list[dict[str, Any]] = []
        self.services: list[dict[str, Any]] = []
        self.down = False
        self.asked = 0

    def route(self, name: str, **changes: Any) -> None:
        router = {
            "name": f"{name}@docker", "provider": "docker", "status": "enabled", "service": name,
            "rule": f"Host(`localhost`) && PathRegexp(`^/{name}(/|$)`)",
            "middlewares": ["edge@file", MIDDLEWARE],
        }  # fmt: skip
        self.routers.append(router | changes)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.down:
            raise httpx.ConnectError("nobody there")
        if request.headers.get("x-edge-secret") != SECRET:
            return httpx.Response(404, text="404 page not found")
        items = {"/api/http/routers": self.routers, "/api/http/services": self.services}[request.url.path]
        page = int(request.url.params["page"])
        following = page + 1 if len(items) > page * 2 else 1
        answer = items[page * 2 - 2 : page * 2]
        return httpx.Response(200, json=answer, headers={"X-Next-Page": str(following)})


@pytest.fixture
def api() -> TraefikApi:
    return TraefikApi()


@pytest.fixture
def monotonic(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(1000.0)
    monkeypatch.setattr("mcp_oauth_dynamicclient.servers.time.monotonic", clock)
    monkeypatch.setattr("mcp_oauth_dynamicclient.store.recent.time.monotonic", clock)
    return clock


@pytest.fixture
def routed(
    make_settings: Callable[..., Settings], store: Store, clock: Clock, api: TraefikApi, monotonic: Clock
) -> Callable[..., RoutedServers]:
    """Another one over the same store is the same process after a restart."""

    def make(**overrides: object) -> RoutedServers:
        settings = make_settings(edge_url="http://traefik:8090", edge_secret=SECRET, **overrides)
        return RoutedServers(settings, RecentStore(store), Resources(settings), clock, api)

    return make


async def test_every_page_is_read(routed: Callable[..., RoutedServers], api: TraefikApi) -> None:
    for name in "abcdefg":
        api.route(name)
    servers = routed()
    assert [await servers.presence(name) for name in "agz"] == [
        Presence.HERE, Presence.HERE, Presence.UNKNOWN,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"middlewares": ["edge@file"]}, {"middlewares": ["edge@file", "server@docker"]},
        {"status": "disabled"}, {"rule": "Host(`localhost`)"},
    ],
)  # fmt: skip
async def test_a_route_that_is_not_a_gated_servers_is_none(
    routed: Callable[..., RoutedServers], api: TraefikApi, changes: dict[str, Any]
) -> None:
    """Without the middleware its pages would run in the authorization server's origin."""
    api.route("time", **changes)
    assert await routed().presence("time") is Presence.UNKNOWN


async def test_subdomains_are_named_by_their_host(
    routed: Callable[..., RoutedServers], api: TraefikApi
) -> None:
    api.route("time", rule="Host(`time.example.com`)")
    api.route("other", rule="Host(`other.example.org`)")
    servers = routed(base_domain="example.com")
    assert await servers.presence("time") is Presence.HERE
    assert await servers.presence("other") is Presence.UNKNOWN


async def test_a_new_server_is_found_at_once_and_wrong_addresses_cost_four_reads_a_second(
    routed: Callable[..., RoutedServers], api: TraefikApi, monotonic: Clock
) -> None:
    servers = routed()
    assert await servers.presence("time") is Presence.UNKNOWN
    asked = api.asked
    for number in range(1000):
        assert await servers.presence(f"wrong-{number}") is Presence.UNKNOWN
    assert api.asked == asked
    api.route("time")
    monotonic.advance(0.3)
    assert await servers.presence("time") is Presence.HERE


async def test_a_server_that_goes_is_away_and_then_forgotten(
    routed: Callable[..., RoutedServers], api: TraefikApi, monotonic: Clock, clock: Clock
) -> None:
    api.route("time")
    assert await routed().presence("time") is Presence.HERE
    api.routers.clear()
    after_a_restart = routed()
    assert await after_a_restart.presence("time") is Presence.AWAY
    clock.advance(31 * 86400)
    monotonic.advance(31 * 86400)
    assert await after_a_restart.presence("time") is Presence.UNKNOWN


async def test_a_server_whose_instances_are_all_down_is_unhealthy(
    routed: Callable[..., RoutedServers], api: TraefikApi, monotonic: Clock
) -> None:
    api.route("time")
    api.services.append({"name": "time@docker", "serverStatus": {"http://a": "DOWN", "http://b": "DOWN"}})
    servers = routed()
    assert await servers.presence("time") is Presence.UNHEALTHY
    api.services[0]["serverStatus"]["http://b"] = "UP"
    monotonic.advance(0.3)
    assert await servers.presence("time") is Presence.HERE


async def test_after_a_quiet_time_what_was_known_before_counts_for_nothing(
    routed: Callable[..., RoutedServers], api: TraefikApi, monotonic: Clock
) -> None:
    """The first request after a night would be passed to a server that hung since the evening."""
    api.route("time")
    servers = routed()
    assert await servers.presence("time") is Presence.HERE
    api.services.append({"name": "time@docker", "serverStatus": {"http://a": "DOWN"}})
    monotonic.advance(3600)
    assert await servers.presence("time") is Presence.UNHEALTHY


async def test_a_server_that_something_else_speaks_for_is_unhealthy_too(
    routed: Callable[..., RoutedServers], api: TraefikApi
) -> None:
    """A local run's: the route leads to a failover, which knows no state itself."""
    api.route("time")
    failover = {"service": "time-itself", "fallback": "time-away"}
    api.services.append({"name": "time@docker", "provider": "docker", "failover": failover})
    api.services.append({"name": "time-itself@docker", "serverStatus": {"http://a": "DOWN"}})
    assert await routed().presence("time") is Presence.UNHEALTHY


async def test_until_the_edge_was_asked_nothing_is_decided(
    routed: Callable[..., RoutedServers], api: TraefikApi, monotonic: Clock
) -> None:
    api.route("time")
    api.down = True
    servers = routed()
    assert await servers.presence("time") is Presence.UNDECIDED
    api.down = False
    monotonic.advance(0.3)
    assert await servers.presence("time") is Presence.HERE
    assert await servers.presence("other") is Presence.UNKNOWN
    api.down = True
    monotonic.advance(60)
    assert await servers.presence("time") is Presence.HERE
    assert await servers.presence("other") is Presence.UNDECIDED
    known_before = routed()
    assert await known_before.presence("time") is Presence.HERE


async def test_a_wrong_secret_reads_nothing(routed: Callable[..., RoutedServers], api: TraefikApi) -> None:
    api.route("time")
    servers = routed()
    servers._http.headers["X-Edge-Secret"] = "x"
    assert await servers.presence("time") is Presence.UNDECIDED


async def test_a_list_names_them_all_and_without_one_every_name_counts() -> None:
    assert await ListedServers(("time",)).presence("time") is Presence.HERE
    assert await ListedServers(("time",)).presence("other") is Presence.UNKNOWN
    assert await ListedServers(()).presence("other") is Presence.HERE
