"""Each hop right, and each wrong in its own way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.hop_arrival import Arrival, Stated, hops

OWN = "https://echo.example.com/mcp"
STATED = Stated("https://auth.example.com", OWN, "local:ada", "client-1", "mcp", 1300.0)
HEADERS = {
    "x-forwarded-proto": "https",
    "x-forwarded-host": "echo.example.com",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
}
RIGHT = Arrival(HEADERS, "2026-07-28", False, False, "t 1", OWN, STATED, 1000.0)


def states(arrival: Arrival) -> dict[str, str]:
    return {verdict.hop: verdict.state for verdict in hops(arrival)}


def test_everything_is_well() -> None:
    assert states(RIGHT) == dict.fromkeys(
        ("client", "tls", "edge", "gate", "token", "audience", "session", "era"), "well"
    )


@pytest.mark.parametrize(
    ("hop", "state", "headers", "changes"),
    [
        ("client", "unseen", {}, {"client": ""}),
        ("tls", "wrong", {"x-forwarded-proto": "http"}, {}),
        ("tls", "warning", {"x-forwarded-proto": "http", "x-forwarded-host": "localhost:8080"}, {}),
        ("tls", "wrong", {"x-forwarded-proto": "http", "x-forwarded-host": "localhost.evil.example"}, {}),
        ("tls", "unseen", {"x-forwarded-proto": ""}, {}),
        ("edge", "wrong", {"x-forwarded-host": "other.example.com"}, {}),
        ("edge", "wrong", {"x-forwarded-proto": "", "x-forwarded-host": ""}, {}),
        ("edge", "warning", {"x-forwarded-proto": "", "x-forwarded-host": ""}, {"own": ""}),
        ("gate", "unseen", {}, {"stated": None}),
        ("gate", "warning", {"x-user-id": "ada"}, {"stated": None}),
        ("gate", "warning", {}, {"now": 1301.0}),
        ("token", "wrong", {"authorization": "Bearer secret"}, {}),
        ("token", "unseen", {}, {"stated": None}),
        ("audience", "wrong", {}, {"stated": replace(STATED, audience="https://other.example.com/mcp")}),
        ("audience", "unseen", {}, {"stated": None}),
        ("era", "warning", {"mcp-protocol-version": ""}, {"handshake": True, "version": "2025-11-25"}),
    ],
)
def test_a_hop_that_is_not(hop: str, state: str, headers: dict[str, str], changes: dict[str, object]) -> None:
    arrival = replace(RIGHT, headers=HEADERS | headers, **changes)  # type: ignore[arg-type]  # by name
    verdict = next(verdict for verdict in hops(arrival) if verdict.hop == hop)
    assert verdict.state == state
    if state in ("wrong", "warning"):
        assert verdict.rule
        assert verdict.cure
    assert not any("secret" in part for found in hops(arrival) for part in found.to_dict().values())


def test_plain_http_to_the_edge_is_never_well() -> None:
    for host in ("localhost", "127.0.0.1:8080", "[::1]:80", "example.com", ""):
        headers = HEADERS | {"x-forwarded-proto": "http", "x-forwarded-host": host}
        assert states(replace(RIGHT, headers=headers))["tls"] != "well"
