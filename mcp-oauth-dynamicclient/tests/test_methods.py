"""Which methods an address answers (RFC 9110 sections 9.1 and 15.5.6), for every route there is."""

from __future__ import annotations

import re

from .support import App

UNHEARD_OF = ("PATCH", "TRACE", "PROPFIND")


def addresses(app: App) -> dict[str, set[str]]:
    """A path of every route, with the methods of all routes that it leads to."""
    paths = {re.sub(r"\{[^}]*\}", "x", route.path) for route in app.routes()}
    return {
        path: {name for route in app.routes() if route.path_regex.match(path) for name in route.methods or ()}
        for path in paths
    }


async def test_every_route_is_in_the_table(app: App) -> None:
    described = (await app.http.get("/openapi.json")).json()["paths"]
    assert set(described) <= {route.path.replace(":path}", "}") for route in app.routes()}
    assert {"/", "/authorize", "/login", "/verify", "/metrics"} <= set(addresses(app))


async def test_head_is_answered_wherever_get_is_and_as_get_without_the_body(app: App) -> None:
    asked = 0
    for path, methods in addresses(app).items():
        if "GET" not in methods:
            continue
        got, head = await app.http.get(path), await app.http.head(path)
        assert (path, head.status_code) == (path, got.status_code)
        assert head.content == b""
        length = ["content-length"] if path != "/metrics" else []  # it counts its own processor time
        for name in ("content-type", "cache-control", "www-authenticate", *length):
            assert (path, head.headers.get(name)) == (path, got.headers.get(name))
        asked += 1
    assert asked > 12


async def test_a_405_names_every_method_of_the_address(app: App) -> None:
    for path, methods in addresses(app).items():
        allowed = methods | ({"HEAD"} if "GET" in methods else set())
        for method in {*UNHEARD_OF, "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"} - allowed:
            response = await app.http.request(method, path)
            assert (method, path, response.status_code) == (method, path, 405)
            assert set(response.headers["allow"].split(", ")) == allowed
            if method != "HEAD":
                assert response.json()["error"] == "invalid_request"


async def test_an_address_that_does_not_exist_has_no_methods(app: App) -> None:
    for method in (*UNHEARD_OF, "GET", "HEAD"):
        response = await app.http.request(method, "/nowhere/at/all")
        assert response.status_code == 404
        assert "allow" not in response.headers


async def test_a_slash_too_many_sends_nobody_anywhere(app: App) -> None:
    """A redirect named http behind an edge with TLS, and a client sent its code and its secret again, in the
    open."""
    for path in addresses(app):
        for method in ("GET", "POST"):
            response = await app.http.request(method, f"{path.rstrip('/')}/")
            assert (path, response.status_code) != (path, 307)
