"""The 2026-07-28 era: every request stands alone, its envelope mirrored into headers."""

import logging
from typing import Any

from .errors import ClientError
from .http1 import Headers, Response
from .jsonrpc import HEADER_MISMATCH, Message, answered_ids, encode
from .mirror import Mirror
from .relay import Call, Relay, rpc_error
from .session import POST_HEADERS
from .stream import read_messages
from .transport import Transport

log = logging.getLogger(__name__)

MAX_PAGES = 100


class ModernEra:
    def __init__(self, transport: Transport, relay: Relay) -> None:
        self._transport = transport
        self._relay = relay
        self._mirror = Mirror()
        self._own_requests = 0

    async def send(self, call: Call) -> None:
        """Deliver a message and relay what comes back; raises ClientError.

        A header mismatch means that the tool's annotations are not known here (any more): the
        tools are listed again and the call is repeated once.
        """
        message = call.message
        if message.method == "tools/list":
            call.on_answer = self._listed
        response = await self._post(message)
        body = b"" if response.status == 200 else await response.read()
        if message.method == "tools/call" and _mismatch(response, body):
            await self._list_tools(message)
            response = await self._post(message)
            body = b"" if response.status == 200 else await response.read()
        if response.status >= 300:
            await self._relay.refuse(call, response, body)
        elif message.ids:
            patient = message.method == "subscriptions/listen"
            await self._relay.read(call, response, patient=patient)

    async def _post(self, message: Message) -> Response:
        return await self._transport.request("POST", self._headers(message), message.raw)

    def _headers(self, message: Message) -> Headers:
        headers = list(POST_HEADERS)
        if message.modern_version is not None:
            headers.append(("MCP-Protocol-Version", message.modern_version))
        if message.method is not None:
            headers += self._mirror.headers(message.method, message.params)
        return headers

    def _listed(self, answer: Any, raw: bytes) -> bytes:
        result = answer.get("result") if isinstance(answer, dict) else None
        dropped = self._mirror.learn(result)
        for tool, reason in dropped:
            log.warning("the tool %s is left out: %s", tool, reason)
        return encode(answer) if dropped else raw

    async def _list_tools(self, like: Message) -> None:
        """Learn the annotations of all tools, with the envelope of the given message."""
        params: dict[str, Any] = {"_meta": like.params.get("_meta")}
        for _ in range(MAX_PAGES):
            self._own_requests += 1
            identifier = f"mcp-streamablehttp-client:tools:{self._own_requests}"
            request = {"jsonrpc": "2.0", "id": identifier, "method": "tools/list", "params": params}
            response = await self._post(Message(encode(request), request, (identifier,)))
            result = await _result(response, identifier)
            self._mirror.learn(result)
            cursor = result.get("nextCursor")
            if not isinstance(cursor, str):
                return
            params = {**params, "cursor": cursor}


def _mismatch(response: Response, body: bytes) -> bool:
    value = rpc_error(body) if response.status == 400 else None
    return value is not None and value["error"].get("code") == HEADER_MISMATCH


async def _result(response: Response, identifier: str) -> dict[str, Any]:
    import json

    try:
        async for event in read_messages(response):
            if event.data and identifier in answered_ids(answer := json.loads(event.data)):
                result = answer.get("result")
                return result if isinstance(result, dict) else {}
    except (ClientError, ValueError):
        pass
    finally:
        response.close()
    return {}
