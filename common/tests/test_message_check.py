"""Messages that are none get -32600, one sentence and their own id; all others pass as they came."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from common.message_check import MessageCheck

LIMIT = 1000


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def post(body: bytes) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(MessageCheck(echo, LIMIT))) as client:
        return await client.post("http://server.example/mcp", content=body)


@pytest.mark.parametrize(
    ("message", "id_", "sentence"),
    [
        ({"jsonrpc": "2.0", "id": None, "method": "ping"}, None, "text or a whole number"),
        ({"jsonrpc": "2.0", "id": 1.5, "method": "ping"}, 1.5, "text or a whole number"),
        ({"jsonrpc": "2.0", "id": True, "method": "ping"}, None, "text or a whole number"),
        ({"jsonrpc": "2.0", "id": [1], "method": "ping"}, None, "text or a whole number"),
        ({"jsonrpc": "1.0", "id": 1, "method": "ping"}, 1, 'has to be "2.0"'),
        ({"jsonrpc": "2.0", "id": "a", "method": 5}, "a", "method has to be text"),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": [1]}, 1, "params has to be an object"),
        ({"jsonrpc": "2.0", "id": 1}, 1, "a request with a method"),
        ({"jsonrpc": "2.0", "id": 1, "result": {}, "error": {}}, 1, "a request with a method"),
        ({"jsonrpc": "2.0", "result": {}}, None, "has to carry the id"),
        ([], None, "batches are not taken"),
        ("secret", None, "is an object"),
        (None, None, "is an object"),
    ],
)
async def test_what_is_no_message_is_refused_with_its_id(message: Any, id_: Any, sentence: str) -> None:
    response = await post(json.dumps(message).encode())
    error = response.json()
    assert response.status_code == 400
    assert (error["id"], error["error"]["code"]) == (id_, -32600)
    assert sentence in error["error"]["message"]
    assert "secret" not in response.text


@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc":"2.0","id":1,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":2.0,"method":"ping","params":{"x":[1]}}',
        b'{"jsonrpc":"2.0","method":"notifications/initialized"}',
        b'{"jsonrpc":"2.0","id":"a","result":{}}',
        b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}',
        b"not json",
        b"",
        b"[" * (LIMIT - 1),
        b'{"jsonrpc":"1.0"' + b" " * LIMIT,
    ],
)
async def test_everything_else_passes_as_it_came(body: bytes) -> None:
    response = await post(body)
    assert (response.status_code, response.content) == (200, body)
