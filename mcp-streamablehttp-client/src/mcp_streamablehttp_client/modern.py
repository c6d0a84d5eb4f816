"""The 2026-07-28 era: every request stands alone, its envelope mirrored into headers."""

from __future__ import annotations

import logging
from typing import Any

from . import which_era
from ._common.error_codes import HEADER_MISMATCH
from ._common.mirror import Mirror
from .at_most_once import repeatable, with_repeats
from .errors import ClientError, WrongEraError
from .http1 import Headers, Response
from .jsonrpc import Message, answered_ids, encode, rpc_error
from .relay import Call, Relay
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
        self._known = False
        """Whether the server is known to speak this era."""

    async def send(self, call: Call) -> None:
        """Deliver a message and relay what comes back; raises ClientError.

        A header mismatch means that the tool's annotations are not known here (any more): the
        tools are listed again and the call is repeated once.
        """
        call.on_answer = lambda answer, raw: self._answered(call, answer, raw)
        try:
            await with_repeats(call.message, lambda: self._exchange(call))
        except WrongEraError as suspicion:
            discovers = call.message.method == "server/discover"
            if not discovers and not await self._is_handshakes(call.message):
                self._known = True
                await suspicion.refusal()
                return
            raise

    async def _exchange(self, call: Call) -> None:
        message = call.message
        response = await self._post(message)
        body = b"" if response.status == 200 else await response.read()
        if message.method == "tools/call" and _mismatch(response, body):
            await self._list_tools(message)
            response = await self._post(message)
            body = b"" if response.status == 200 else await response.read()
        if response.status >= 300:
            if not self._known and which_era.may_be_the_other(message, response.status, rpc_error(body)):
                raise WrongEraError(lambda: self._relay.refuse(call, response, body))
            await self._relay.refuse(call, response, body)
        elif message.ids:
            patient = message.method == "subscriptions/listen"
            await self._relay.read(call, response, patient=patient)

    def _answered(self, call: Call, answer: Any, raw: bytes) -> bytes:
        """Take in an answer with 200. Raises WrongEraError, with which the host gets the whole answer when
        the server does not speak the other era either."""
        if not self._known and isinstance(answer, dict):
            if call.reads and which_era.may_be_the_other(call.message, 200, answer):
                raise WrongEraError(lambda: self._relay.pass_on(raw, call))
            self._known = which_era.is_modern(answer)
        return self._listed(answer, raw) if call.message.method == "tools/list" else raw

    async def _is_handshakes(self, like: Message) -> bool:
        """Asks which era the server speaks; a refusal of anything else may have another reason."""
        request = self._own("server/discover", {"_meta": like.params.get("_meta")})
        try:
            response = await self._post(request)
            body = b"" if response.status == 200 else await response.read()
            answer = await _answer(response, request) if response.status == 200 else rpc_error(body)
        except ClientError as problem:
            log.debug("server/discover: %s", problem)
            return False
        return which_era.may_be_the_other(request, response.status, answer)

    def _own(self, method: str, params: dict[str, Any]) -> Message:
        """A request of this program, with the envelope of one of the host's."""
        self._own_requests += 1
        identifier = f"mcp-streamablehttp-client:{self._own_requests}"
        request = {"jsonrpc": "2.0", "id": identifier, "method": method, "params": params}
        return Message(encode(request), request, (identifier,))

    async def _post(self, message: Message) -> Response:
        return await self._transport.request(
            "POST", self._headers(message), message.raw, repeatable=repeatable(message)
        )

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
            request = self._own("tools/list", params)
            answer = await _answer(await self._post(request), request)
            result = (answer or {}).get("result")
            self._mirror.learn(result)
            cursor = result.get("nextCursor") if isinstance(result, dict) else None
            if not isinstance(cursor, str):
                return
            params = {**params, "cursor": cursor}


def _mismatch(response: Response, body: bytes) -> bool:
    value = rpc_error(body) if response.status == 400 else None
    return value is not None and value["error"].get("code") == HEADER_MISMATCH


async def _answer(response: Response, request: Message) -> dict[str, Any] | None:
    """The answer to a request of our own; None where none can be made out."""
    import json

    try:
        async for event in read_messages(response):
            if event.data and request.ids == answered_ids(answer := json.loads(event.data)):
                return answer if isinstance(answer, dict) else None
    except (ClientError, ValueError, RecursionError):
        pass
    finally:
        response.close()
    return None
