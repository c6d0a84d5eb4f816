"""Headers, envelope and status codes, the same for every child (2026-07-28, Streamable HTTP)."""

from __future__ import annotations

import asyncio
import base64
import json

import httpx
import pytest

from ..support import Json, Read
from .support import Modern

PREFIX = "io.modelcontextprotocol/"


def refused(response: httpx.Response, status: int, code: int) -> Json:
    body = response.json()
    assert (response.status_code, body["error"]["code"]) == (status, code), response.text
    error: Json = body["error"]
    return error


@pytest.mark.parametrize("missing", ["protocolVersion", "clientCapabilities"])
async def test_an_incomplete_envelope_is_invalid_params(client: Modern, missing: str) -> None:
    body = client.request("server/discover", {PREFIX + missing: None})
    response = await client.post(body)
    refused(response, 400, -32602)
    assert response.json()["id"] == body["id"]


async def test_no_envelope_at_all_is_invalid_params(client: Modern) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    refused(await client.post(body), 400, -32602)


async def test_client_info_may_be_left_out(client: Modern) -> None:
    response = await client.post(client.request("tools/list", {f"{PREFIX}clientInfo": None}))
    assert response.status_code == 200


async def test_capabilities_must_be_an_object(client: Modern) -> None:
    refused(await client.post(client.request("tools/list", {f"{PREFIX}clientCapabilities": []})), 400, -32602)


async def test_an_unknown_log_level_is_invalid_params(client: Modern) -> None:
    refused(await client.post(client.request("tools/list", {f"{PREFIX}logLevel": "loud"})), 400, -32602)


async def test_an_unsupported_version_names_the_supported_ones(client: Modern) -> None:
    body = client.request("server/discover", {f"{PREFIX}protocolVersion": "2099-01-01"})
    error = refused(await client.post(body, mcp_protocol_version="2099-01-01"), 400, -32022)
    assert error["data"] == {"supported": ["2026-07-28"], "requested": "2099-01-01"}


async def test_header_and_envelope_must_name_one_version(client: Modern) -> None:
    body = client.request("server/discover", {f"{PREFIX}protocolVersion": "2099-01-01"})
    refused(await client.post(body), 400, -32020)
    refused(await client.post(client.request("tools/list"), mcp_protocol_version=None), 400, -32020)


@pytest.mark.parametrize(
    "headers",
    [
        {"mcp_method": None},
        {"mcp_method": "tools/list"},
        {"mcp_method": "TOOLS/CALL"},
        {"mcp_name": None},
        {"mcp_name": "other"},
        {"mcp_name": "=?base64?!!!?="},
    ],
)
async def test_mirrored_headers_must_repeat_the_body(client: Modern, headers: Json) -> None:
    body = client.request("tools/call", name="anything", arguments={})
    refused(await client.post(body, **headers), 400, -32020)


async def test_a_name_may_come_in_base64(client: Modern, messages: Read) -> None:
    name = "wörld "
    encoded = base64.b64encode(name.encode()).decode()
    body = client.request("tools/call", name=name, arguments={})
    response = await client.post(body, mcp_name=f"=?base64?{encoded}?=")
    assert messages(response)[-1]["error"]["code"] == -32602, "the server itself was asked"


async def test_white_space_around_a_header_is_no_part_of_it(client: Modern) -> None:
    body = client.request("tools/call", name="anything", arguments={})
    headers = client.headers_for(body, mcp_name="  anything  ", connection="close")
    content = json.dumps(body)
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = [f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(content)}", *lines]
    reader, writer = await asyncio.open_connection("127.0.0.1", client.running.port)
    writer.write(("\r\n".join(head) + "\r\n\r\n" + content).encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert b'"code": -32602' in answer, "the server itself was asked"


async def test_a_deciding_header_must_not_come_twice(client: Modern) -> None:
    body = client.request("tools/list")
    headers = [*client.headers_for(body).items(), ("Mcp-Method", "tools/list")]
    response = await client.http.post("/mcp", json=body, headers=headers)
    assert response.status_code == 400


@pytest.mark.parametrize(
    "method", ["initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"]
)
async def test_what_was_removed_is_not_found(client: Modern, method: str) -> None:
    body = client.request(method)
    response = await client.post(body)
    refused(response, 404, -32601)
    assert response.json()["id"] == body["id"]


async def test_an_unknown_method_is_not_found(client: Modern) -> None:
    refused(await client.post(client.request("no/such")), 404, -32601)


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
async def test_only_post_is_allowed(client: Modern, method: str) -> None:
    headers = {"mcp-protocol-version": "2026-07-28", "accept": "text/event-stream"}
    response = await client.http.request(method, "/mcp", headers=headers)
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"


async def test_session_ids_are_ignored_and_never_given(client: Modern) -> None:
    response = await client.post(client.request("tools/list"), mcp_session_id="made-up", last_event_id="1-1")
    assert response.status_code == 200
    assert "mcp-session-id" not in response.headers


async def test_notifications_are_accepted_without_a_body(client: Modern) -> None:
    body = {"jsonrpc": "2.0", "method": "notifications/vendor", "params": {}}
    response = await client.post(body)
    assert (response.status_code, response.content) == (202, b"")
    wrong = await client.post(body, mcp_protocol_version="2099-01-01")
    refused(wrong, 400, -32022)


async def test_a_client_cannot_cancel_by_guessing_ids(client: Modern) -> None:
    params = {"requestId": "r1", "reason": "mine?"}
    body = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
    assert (await client.post(body)).status_code == 202


async def test_responses_and_batches_are_not_accepted(client: Modern) -> None:
    refused(await client.post({"jsonrpc": "2.0", "id": 1, "result": {}}), 400, -32600)
    batch = client.request("tools/list")
    headers = client.headers_for(batch)
    refused(await client.http.post("/mcp", json=[batch], headers=headers), 400, -32600)


async def test_accept_decides_the_form(client: Modern) -> None:
    body = client.request("tools/list")
    plain = await client.post(body, accept="application/json")
    assert plain.headers["content-type"] == "application/json"
    stream = await client.post(body, accept="text/event-stream")
    assert stream.headers["content-type"] == "text/event-stream"
    assert stream.headers["x-accel-buffering"] == "no"
    assert (await client.post(body, accept="text/html")).status_code == 406
    listen = client.request("subscriptions/listen", notifications={})
    assert (await client.post(listen, accept="application/json")).status_code == 406


@pytest.mark.parametrize(
    ("sent", "argument", "accepted"),
    [
        ({"mcp-param-region": "eu"}, {"region": "eu"}, True),
        ({"MCP-PARAM-REGION": "=?base64?ZXU=?="}, {"region": "eu"}, True),
        ({"mcp-param-size": "42"}, {"size": 42}, True),
        ({"mcp-param-size": "42"}, {"size": 42.0}, True),
        ({}, {"region": None}, True),
        ({"mcp-param-unknown": "x"}, {"other": 1}, True),
        ({}, {"region": "eu"}, False),
        ({"mcp-param-region": "us"}, {"region": "eu"}, False),
        ({"mcp-param-region": "EU"}, {"region": "eu"}, False),
        ({"mcp-param-region": "=?base64?ZXU?="}, {"region": "eu"}, False),
        ({"mcp-param-region": "eu"}, {}, False),
        ({"mcp-param-size": "43"}, {"size": 42}, False),
    ],
)
async def test_arguments_are_compared_with_their_headers(
    translated: Modern, sent: dict[str, str], argument: Json, accepted: bool
) -> None:
    body = translated.request("tools/call", name="test_x_mcp_header", arguments=argument)
    response = await translated.post(body, **sent)
    if accepted:
        assert response.status_code == 200, response.text
    else:
        refused(response, 400, -32020)


async def test_a_natives_arguments_are_compared_too(native: Modern) -> None:
    body = native.request("tools/call", name="echo", arguments={"text": "hello"})
    refused(await native.post(body), 400, -32020)
    assert (await native.post(body, mcp_param_text="hello")).status_code == 200
