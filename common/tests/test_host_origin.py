"""Host and Origin rules: one reading for all servers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.guard import HostOriginGuard
from common.host_origin import Guard, HostRule, OriginRule, cannot_be_rebound, host_rules, origin_rules

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send


@pytest.mark.parametrize(
    ("rule", "host", "allowed"),
    [
        ("example.com", "example.com", True),
        ("example.com", "EXAMPLE.com.", True),
        ("example.com", "example.com:8443", True),
        ("example.com:*", "example.com:8443", True),
        ("example.com:8443", "example.com:8443", True),
        ("example.com:8443", "example.com", False),
        ("example.com:443", "example.com:443", True),
        ("example.com:443", "example.com", True),
        ("example.com:443", "example.com:80", False),
        ("https://example.com", "example.com", True),
        ("https://example.com:8443/", "example.com:8443", True),
        ("*.example.com", "time.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "evilexample.com", False),
        ("*.example.com", ".example.com", False),
        ("localhost:*", "localhost:3000", True),
        ("[::1]", "[::1]:3000", True),
        ("[::1]", "[::1", False),
        ("*", "anything", True),
        ("*:8443", "anything:8443", True),
        ("*:8443", "anything:8444", False),
        ("example.com", "user@example.com", False),
        ("example.com", "example.com:port", False),
        ("example.com", "example.com,evil.example", False),
        ("example.com", "example.com:", False),
        ("example.com", "", False),
    ],
)
def test_hosts(rule: str, host: str, allowed: bool) -> None:
    assert HostRule.parse(rule).allows(host) is allowed


@pytest.mark.parametrize(
    ("rule", "origin", "allowed"),
    [
        ("https://app.example.com", "https://app.example.com", True),
        ("https://app.example.com", "https://app.example.com:443", True),
        ("https://app.example.com", "http://app.example.com", False),
        ("https://app.example.com", "https://app.example.com:8443", False),
        ("https://app.example.com", "http://app.example.com:443", False),
        ("https://app.example.com:443", "https://app.example.com", True),
        ("https://app.example.com:*", "https://app.example.com:8443", True),
        ("https://app.example.com/", "https://app.example.com", True),
        ("HTTPS://App.Example.com", "https://app.example.com", True),
        ("app.example.com", "http://app.example.com:8443", True),
        ("app.example.com:443", "https://app.example.com", True),
        ("app.example.com:443", "http://app.example.com:443", True),
        ("app.example.com:443", "http://app.example.com", False),
        ("app.example.com:443", "https://app.example.com:8443", False),
        ("localhost:*", "http://localhost:5173", True),
        ("localhost", "http://localhost:5173", True),
        ("https://*.example.com", "https://time.example.com", True),
        ("https://*.example.com", "http://time.example.com", False),
        ("vscode-file://vscode-app", "vscode-file://vscode-app", True),
        ("vscode-app", "vscode-file://vscode-app", False),
        ("*", "https://evil.example", True),
        ("*", "null", False),
        ("*", "file://", False),
        ("null", "null", False),
        ("localhost", "https://localhost.evil.example", False),
        ("localhost", "https://localhost@evil.example", False),
        ("localhost", "https://evil.example/http://localhost", False),
    ],
)
def test_origins(rule: str, origin: str, allowed: bool) -> None:
    assert OriginRule.parse(rule).allows(origin) is allowed


@pytest.mark.parametrize(
    "entry", ["not/a/host", "a b", "example.com:port", "*.*", "*example.com", "://", "a:1:2"]
)
def test_a_malformed_entry_is_named(entry: str) -> None:
    for parse in (host_rules, origin_rules):
        with pytest.raises(ValueError, match="is not a"):
            parse(f"localhost, {entry}")


@given(st.sampled_from(["http", "https"]), st.sampled_from(["80", "443", "8443"]), st.data())
def test_an_origin_with_scheme_admits_itself_alone(scheme: str, port: str, data: st.DataObject) -> None:
    """RFC 6454 section 5: two origins are the same when scheme, host and port are."""
    other = data.draw(st.sampled_from(["http", "https"])), data.draw(st.sampled_from(["80", "443", "8443"]))
    rule = OriginRule.parse(f"{scheme}://app.example.com:{port}")
    assert rule.allows(f"{other[0]}://app.example.com:{other[1]}") is (other == (scheme, port))


@given(st.text())
def test_no_text_breaks_a_rule(text: str) -> None:
    for rule in (HostRule.parse("example.com"), OriginRule.parse("example.com")):
        assert rule.allows(text) in (True, False)


@pytest.mark.parametrize("text", ["example.com", "*.example.com:8443", "*", "[::1]:80"])
def test_rules_are_shown_as_they_are_written(text: str) -> None:
    assert str(HostRule.parse(text)) == text
    assert str(OriginRule.parse(f"https://{text}")).startswith(f"https://{text}")


def ask(*headers: tuple[str, str]) -> int | None:
    guard = Guard(host_rules("mcp.example.com"), origin_rules("https://app.example.com,localhost"))
    objection = guard.objection([(name.encode(), value.encode("latin-1")) for name, value in headers])
    return None if objection is None else objection.status


def test_the_guard_asks_for_one_host_and_welcome_origins() -> None:
    host = ("host", "mcp.example.com")
    assert ask(host) is None
    assert ask() == 421
    assert ask(host, host) == 421
    assert ask(("host", "localhost")) == 421
    assert ask(host, ("origin", "https://app.example.com")) is None
    assert ask(host, ("origin", "http://app.example.com")) == 403
    assert ask(host, ("origin", "null")) == 403
    assert ask(host, ("origin", "https://app.example.com"), ("origin", "https://evil.example")) == 403


@pytest.mark.parametrize(("path", "status"), [("/mcp", 421), ("/health", 204), ("/health/", 421)])
async def test_only_health_is_open_to_every_probe(path: str, status: int) -> None:
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    guard = HostOriginGuard(app, Guard(host_rules("localhost"), ()))
    scope: dict[str, Any] = {"type": "http", "path": path, "headers": [(b"host", b"10.0.0.1:3000")]}
    await guard(scope, receive, send)
    assert sent[0]["status"] == status
    if status == 421:
        assert json.loads(sent[1]["body"])["error"]["code"] == -32600


@pytest.mark.parametrize(
    ("host", "cannot"),
    [
        ("echo-stateful:3000", True),
        ("172.18.0.5:3000", True),
        ("[::1]:3000", True),
        ("time", True),
        ("evil.example", False),
        ("1.2.3.4.evil.example:3000", False),
        ("evil.example.", False),
        ("", False),
    ],
)
def test_metrics_are_open_to_a_host_that_no_rebinding_can_bring(host: str, cannot: bool) -> None:
    assert cannot_be_rebound([(b"host", host.encode())]) is cannot


def test_two_hosts_are_none() -> None:
    assert not cannot_be_rebound([(b"host", b"time"), (b"host", b"time")])
