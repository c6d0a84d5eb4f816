"""What each tool answers, through the SDK's client in both protocol eras."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from mcp import Client, MCPError
from mcp_types import CallToolResult, TextContent

Start = Callable[..., str]
Connect = Callable[..., AbstractAsyncContextManager[Client]]

pytestmark = pytest.mark.parametrize("era", ["legacy", "2026-07-28"])

NAMES = [
    "echo",
    "printHeader",
    "bearerDecode",
    "authContext",
    "requestTiming",
    "corsAnalysis",
    "environmentDump",
    "healthProbe",
    "whoIStheGOAT",
    "whichHop",
    "tryDelay",
    "tryError",
    "trySize",
    "tryProgress",
    "tryLog",
]
GATEWAY = {
    "X-Forwarded-Host": "echo.example.com",
    "X-Forwarded-Proto": "https",
    "X-User-Id": "github|42",
    "X-User-Name": "Ada",
    "X-Client-Id": "client-1",
}
TOKEN = "tok_" + "s3cr3t" * 8


def text(result: CallToolResult) -> str:
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


def data(result: CallToolResult) -> dict[str, Any]:
    assert result.is_error is False
    assert isinstance(result.structured_content, dict)
    return result.structured_content


def jwt(payload: dict[str, Any]) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'RS256', 'typ': 'JWT', 'kid': 'key-7'})}.{part(payload)}.{'c2lnbmF0dXJl' * 6}"


async def test_the_tools_have_closed_inputs_and_typed_outputs(
    era: str, start: Start, connect: Connect
) -> None:
    async with connect(start(), era) as client:
        tools = (await client.list_tools()).tools
    assert [tool.name for tool in tools] == NAMES
    for tool in tools:
        assert tool.input_schema["additionalProperties"] is False
        assert tool.output_schema is not None
        assert tool.output_schema["type"] == "object"
        assert tool.description


async def test_echo_sends_the_message_back(era: str, start: Start, connect: Connect) -> None:
    async with connect(start(), era) as client:
        result = await client.call_tool("echo", {"message": "héllo \u2603 \x00"})
    assert text(result) == "héllo \u2603 \x00"
    assert data(result) == {"message": "héllo \u2603 \x00"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "The argument message is missing."),
        ({"message": 5}, "The argument message is wrong: Input should be a valid string."),
        ({"message": "a", "loud": True}, "There is no argument loud."),
    ],
)
async def test_wrong_arguments_are_a_tool_error_with_a_sentence(
    era: str, start: Start, connect: Connect, arguments: dict[str, Any], sentence: str
) -> None:
    async with connect(start(), era) as client:
        result = await client.call_tool("echo", arguments)
    assert result.is_error is True
    assert text(result) == sentence


async def test_an_unknown_tool_is_a_protocol_error(era: str, start: Start, connect: Connect) -> None:
    async with connect(start(), era) as client:
        with pytest.raises(MCPError, match="no tool named 'sudo'") as caught:
            await client.call_tool("sudo", {})
    assert caught.value.error.code == -32602


async def test_print_header_shows_what_arrived_and_no_secret(
    era: str, start: Start, connect: Connect
) -> None:
    sent = GATEWAY | {
        "Authorization": f"Bearer {TOKEN}",
        "Cookie": f"sid={TOKEN}; theme={TOKEN}",
        "X-Auth-Token": TOKEN,
        "X-Api-Key": TOKEN,
        "X-Forwarded-Uri": f"/mcp?code={TOKEN}&state={TOKEN}",
        "Referer": f"https://me:{TOKEN}@example.com/#access_token={TOKEN}",
        "X-Debug": f"got Bearer {TOKEN}",
        "X-Plain": "visible",
    }
    async with connect(start(), era, sent) as client:
        result = await client.call_tool("printHeader", {})
    lines = {line["name"]: line for line in data(result)["headers"]}
    assert lines["x-plain"]["value"] == "visible"
    assert lines["x-forwarded-host"] | {"value": ""} == {
        "name": "x-forwarded-host",
        "group": "forwarded",
        "redacted": False,
        "value": "",
    }
    assert lines["x-user-id"]["value"] == "github|42"
    assert lines["x-user-id"]["group"] == "identity"
    assert lines["authorization"]["value"].startswith("Bearer [52 characters, ending …cr3t, sha256 ")
    assert lines["cookie"]["value"] == "sid=[redacted]; theme=[redacted]"
    everything = json.dumps(result.model_dump(mode="json"))
    assert "s3cr3ts3cr3t" not in everything
    assert "tok_" not in everything


async def test_bearer_decode_reads_a_jwt_without_showing_it(era: str, start: Start, connect: Connect) -> None:
    now = int(time.time())
    token = jwt(
        {
            "iss": "https://auth.example.com",
            "sub": "42",
            "aud": "https://echo.example.com/mcp",
            "iat": now - 60,
            "exp": now - 10,
            "scope": "mcp",
            "nested": {"refresh_token": "tok_abcdefghijklmnopqrst"},
        }
    )
    async with connect(start(), era, {"Authorization": f"Bearer {token}"}) as client:
        plain = await client.call_tool("bearerDecode", {})
        raw = await client.call_tool("bearerDecode", {"includeRaw": True})
    found = data(plain)
    assert (found["kind"], found["algorithm"], found["key_id"]) == ("jwt", "RS256", "key-7")
    assert (found["issuer"], found["subject"]) == ("https://auth.example.com", "42")
    assert found["audience"] == ["https://echo.example.com/mcp"]
    assert found["expired"] is True
    assert found["verified"] is False
    assert found["custom_claims"]["scope"] == "mcp"
    assert found["payload"] is None
    assert data(raw)["payload"]["sub"] == "42"
    for answer in (plain, raw):
        shown = json.dumps(answer.model_dump(mode="json"))
        assert token.split(".")[2] not in shown
        assert token.split(".")[1] not in shown
        assert "abcdefghijklmnop" not in shown


@pytest.mark.parametrize(
    "token",
    [
        "opaque-token-without-any-dots-at-all",
        "a.b.c",
        "....",
        f"{base64.urlsafe_b64encode(b'[1]').decode()}.{base64.urlsafe_b64encode(b'[1]').decode()}.x",
        f"e30.{base64.urlsafe_b64encode(b'[' * 9000).decode().rstrip('=')}.x",
    ],
)
async def test_bearer_decode_calls_anything_else_opaque(
    era: str, start: Start, connect: Connect, token: str
) -> None:
    async with connect(start(), era, {"Authorization": f"Bearer {token}"}) as client:
        assert data(await client.call_tool("bearerDecode", {}))["kind"] == "opaque"


async def test_bearer_decode_survives_odd_claims(era: str, start: Start, connect: Connect) -> None:
    token = jwt({"exp": 1e300, "iat": "soon", "nbf": True, "aud": {"a": 1}, "iss": 7})
    async with connect(start(), era, {"Authorization": f"Bearer {token}"}) as client:
        found = data(await client.call_tool("bearerDecode", {}))
    assert found["times"] == []
    assert found["issuer"] == "7"


async def test_bearer_decode_without_a_token_says_why_that_is_right(
    era: str, start: Start, connect: Connect
) -> None:
    async with connect(start(), era) as client:
        result = await client.call_tool("bearerDecode", {})
    assert data(result)["present"] is False
    assert text(result).startswith("No bearer token reached this server.")


async def test_auth_context_says_who_the_gateway_says_you_are(
    era: str, start: Start, connect: Connect
) -> None:
    async with connect(start(trust_identity=True), era, GATEWAY) as client:
        found = data(await client.call_tool("authContext", {}))
    assert (found["user_id"], found["user_name"], found["client_id"]) == ("github|42", "Ada", "client-1")
    assert {hop["hop"]: hop["state"] for hop in found["hops"]} | {"client": "well"} == {
        "client": "well",
        "tls": "well",
        "edge": "well",
        "gate": "warning",  # nobody signed for it
        "token": "unseen",
        "audience": "unseen",
        "session": "well",
        "era": "well",
    }


async def test_auth_context_believes_nobody_unless_told_to(era: str, start: Start, connect: Connect) -> None:
    async with connect(start(), era, GATEWAY | {"Authorization": f"Bearer {TOKEN}"}) as client:
        result = await client.call_tool("authContext", {})
    found = data(result)
    assert found["signed_in"] is False
    assert found["user_id"] is None
    states = {hop["hop"]: hop["state"] for hop in found["hops"]}
    assert (states["edge"], states["gate"], states["token"]) == ("well", "warning", "warning")
    assert "github|42" not in text(result)


async def test_auth_context_names_the_hop_that_is_missing(era: str, start: Start, connect: Connect) -> None:
    async with connect(start(trust_identity=True), era) as client:
        found = data(await client.call_tool("authContext", {}))
    states = {hop["hop"]: hop["state"] for hop in found["hops"]}
    assert (states["tls"], states["edge"], states["gate"]) == ("unseen", "warning", "unseen")


async def test_request_timing_measures_from_arrival(era: str, start: Start, connect: Connect) -> None:
    before = time.time()
    async with connect(start(), era) as client:
        found = data(await client.call_tool("requestTiming", {}))
    assert 0 < found["elapsed_ms"] < (time.time() - before) * 1000
    assert found["method"] == "POST"
    assert found["path"] == "/mcp"


async def test_cors_analysis_names_the_page(era: str, start: Start, connect: Connect) -> None:
    url = start(allowed_origins="https://claude.ai")
    async with connect(url, era, {"Origin": "https://claude.ai"}) as client:
        found = data(await client.call_tool("corsAnalysis", {}))
    async with connect(url, era) as client:
        result = await client.call_tool("corsAnalysis", {})
    assert found["origin"] == "https://claude.ai"
    assert "Mcp-Session-Id" in found["edge_must_expose_headers"]
    assert data(result)["origin"] is None
    assert "CORS does not apply" in text(result)
    assert "Behind the gateway none does" in text(result)


async def test_environment_dump_shows_settings_and_nothing_else(
    era: str, start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_CLIENT_SECRET", "hunter2-hunter2")
    monkeypatch.setenv("MCP_UNKNOWN_TOKEN", "hunter2-hunter2")
    async with connect(start(allowed_hosts="127.0.0.1,*.example.com:8443"), era) as client:
        result = await client.call_tool("environmentDump", {"showSecrets": True})
    settings = data(result)["settings"]
    assert settings["MCP_ALLOWED_HOSTS"] == "127.0.0.1,*.example.com:8443"
    assert settings["MCP_TRUST_IDENTITY"] == "false"
    assert "hunter2" not in json.dumps(result.model_dump(mode="json"))


async def test_health_probe_reports_the_process(era: str, start: Start, connect: Connect) -> None:
    async with connect(start(), era) as client:
        found = data(await client.call_tool("healthProbe", {}))
    assert found["status"] == "healthy"
    assert found["peak_memory_mb"] > 1
    assert found["processors"] >= 1


async def test_the_goat_is_whoever_is_signed_in(era: str, start: Start, connect: Connect) -> None:
    url = start(trust_identity=True)
    async with connect(url, era, GATEWAY) as client:
        assert data(await client.call_tool("whoIStheGOAT", {}))["name"] == "Ada"
    async with connect(url, era) as client:
        assert data(await client.call_tool("whoIStheGOAT", {}))["name"] is None


async def test_which_hop_names_the_hop_the_rule_and_the_cure(
    era: str, start: Start, connect: Connect
) -> None:
    headers = GATEWAY | {"X-Forwarded-Proto": "http", "Authorization": f"Bearer {TOKEN}"}
    async with connect(start(public_url="https://echo.example.com/mcp"), era, headers) as client:
        result = await client.call_tool("whichHop", {})
        context = data(await client.call_tool("authContext", {}))
        bearer = data(await client.call_tool("bearerDecode", {}))
    found = data(result)
    assert found["broken"] == ["tls", "edge"]
    tls = next(hop for hop in found["hops"] if hop["hop"] == "tls")
    assert "plain http" in tls["what"]
    assert "RFC 6750" in tls["rule"]
    assert tls["cure"]
    assert context["hops"] == found["hops"], "the tools agree"
    token = next(hop for hop in found["hops"] if hop["hop"] == "token")
    assert (token["state"], bearer["present"]) == ("warning", True)
    assert TOKEN not in text(result)


async def test_try_delay_and_size(era: str, start: Start, connect: Connect) -> None:
    async with connect(start(), era) as client:
        assert data(await client.call_tool("tryDelay", {"seconds": 0}))["did"] == "Waited for 0 s."
        for size in (0, 7, 10, 123_456):
            sized = await client.call_tool("trySize", {"size": size})
            assert len(text(sized)) == data(sized)["size"] == size
        for name, arguments in (("tryDelay", {"seconds": 61}), ("trySize", {"size": 1_000_001})):
            assert (await client.call_tool(name, arguments)).is_error is True
        assert (await client.call_tool("tryProgress", {"steps": 100, "pause": 5})).is_error is True


async def test_try_error_in_both_ways(era: str, start: Start, connect: Connect) -> None:
    async with connect(start(), era) as client:
        result = await client.call_tool("tryError", {"message": "as asked"})
        assert (result.is_error, text(result)) == (True, "as asked")
        with pytest.raises(MCPError) as caught:
            await client.call_tool("tryError", {"kind": "protocol", "code": -32099, "message": "as asked"})
        assert (caught.value.error.code, caught.value.error.message) == (-32099, "as asked")


async def test_try_progress_reports_each_step(era: str, start: Start, connect: Connect) -> None:
    told: list[tuple[float, float | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total))

    async with connect(start(), era) as client:
        arguments = {"steps": 3, "pause": 0}
        data(await client.call_tool("tryProgress", arguments, progress_callback=note))
    assert told == [(1, 3), (2, 3), (3, 3)]


async def test_try_log_answers(era: str, start: Start, connect: Connect) -> None:
    async with connect(start(), era) as client:
        assert data(await client.call_tool("tryLog", {"count": 2, "level": "error"}))["did"].startswith(
            "Sent 2"
        )


async def test_every_argument_and_every_property_is_described(
    era: str, start: Start, connect: Connect
) -> None:
    def undescribed(schema: dict[str, Any], where: str) -> list[str]:
        found = []
        for part in (schema, *schema.get("$defs", {}).values()):
            for name, member in part.get("properties", {}).items():
                if not member.get("title") or not member.get("description"):
                    found.append(f"{where}.{name}")
        return found

    async with connect(start(), era) as client:
        tools = (await client.list_tools()).tools
    missing = [
        name
        for tool in tools
        for schema, kind in ((tool.input_schema, "in"), (tool.output_schema or {}, "out"))
        for name in undescribed(schema, f"{tool.name} {kind}")
    ]
    assert missing == []
    assert all(tool.title for tool in tools)


async def test_an_invalid_cursor_is_an_error(era: str, start: Start, connect: Connect) -> None:
    async with connect(start(), era) as client:
        with pytest.raises(MCPError) as caught:
            await client.list_tools(cursor="nonsense")
    assert caught.value.error.code == -32602
