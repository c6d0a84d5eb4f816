"""The SDK's client with the bridge at the other end, for the commands that people use.

Only they import this: a bridge starts without `mcp` and `pydantic`. The client takes care of eras,
questions and progress; what a server answered is kept beside it, as it came.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp import Client, MCPError
from mcp.client.session import ElicitationFnT, LoggingFnT
from mcp.client.subscriptions import Subscription, SubscriptionLost
from mcp.shared.dispatcher import ProgressFnT
from mcp.shared.message import SessionMessage
from mcp_types import (
    Implementation,
    PaginatedRequestParams,
    PromptReference,
    Request,
    ResourceTemplateReference,
    jsonrpc_message_adapter,
)
from pydantic import TypeAdapter, ValidationError

from . import __version__
from ._common.error_codes import INTERNAL_ERROR
from .bridge import Bridge
from .connect import transport_for
from .errors import ClientError
from .settings import MODERN_VERSION, Settings
from .terminal import one_line

MAX_PAGES = 1000
_ANY: TypeAdapter[Any] = TypeAdapter(Any)
_UPDATED = frozenset({"notifications/resources/updated"})
_LISTS = frozenset(f"notifications/{what}/list_changed" for what in ("tools", "prompts", "resources"))


class ServerError(ClientError):
    """The server answered a request with a JSON-RPC error; `value` is that error."""

    def __init__(self, value: dict[str, Any]) -> None:
        code = value.get("code")
        said = str(value.get("message"))
        super().__init__(said if code == INTERNAL_ERROR else f"{said} ({code})")
        self.value = value


class Conversation:
    """Requests and what the server answered, each as the JSON it sent.

    An answer that does not follow the specification is told to `on_fault`, in one sentence, and
    returned all the same: whoever looks at a misbehaving server wants to see it.
    """

    def __init__(self, url: str, client: Client, host: _Host, on_fault: Callable[[str], None]) -> None:
        self.url = url
        self.client = client
        self._host = host
        self._on_fault = on_fault

    @property
    def capabilities(self) -> Any:
        return self.client.server_capabilities

    async def list(self, what: str) -> list[dict[str, Any]]:
        """All of `tools`, `prompts`, `resources` or `resourceTemplates`, every page."""
        session = self.client.session
        ask: Callable[..., Awaitable[Any]] = {
            "tools": session.list_tools,
            "prompts": session.list_prompts,
            "resources": session.list_resources,
            "resourceTemplates": session.list_resource_templates,
        }[what]
        found: list[dict[str, Any]] = []
        params = None
        for _ in range(MAX_PAGES):
            page = await self._answer(ask(params=params))
            items = page.get(what)
            found += [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
            if not isinstance(cursor := page.get("nextCursor"), str):
                return found
            params = PaginatedRequestParams(cursor=cursor)
        self._on_fault(f"The list of {what} does not end after {MAX_PAGES} pages.")
        return found

    async def call(
        self, name: str, arguments: dict[str, Any], on_progress: ProgressFnT | None = None
    ) -> dict[str, Any]:
        return await self._answer(self.client.call_tool(name, arguments, progress_callback=on_progress))

    async def read(self, uri: str) -> dict[str, Any]:
        return await self._answer(self.client.read_resource(uri, cache_mode="bypass"))

    async def prompt(self, name: str, arguments: dict[str, str]) -> dict[str, Any]:
        return await self._answer(self.client.get_prompt(name, arguments))

    async def complete(
        self, reference: dict[str, str], argument: dict[str, str], known: dict[str, str]
    ) -> dict[str, Any]:
        """`reference` is a prompt's `name` or a resource template's `uri`; `known` are the
        arguments that stand already."""
        ref: PromptReference | ResourceTemplateReference = (
            PromptReference(type="ref/prompt", name=reference["name"])
            if "name" in reference
            else ResourceTemplateReference(type="ref/resource", uri=reference["uri"])
        )
        return await self._answer(self.client.complete(ref, argument, context_arguments=known or None))

    async def request(self, method: str, params: dict[str, Any] | None) -> dict[str, Any]:
        """Any request at all, known to the SDK or not."""
        request: Request[Any, Any] = Request(method=method, params=params)
        return await self._answer(self.client.session.send_request(request, _ANY))

    @asynccontextmanager
    async def changes(self, uris: Sequence[str]) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """Notifications that one of these resources has changed, as the server sends them; without any, that
        a list has. They end when the server ends them, which only 2026-07-28 knows."""
        wanted = _UPDATED if uris else _LISTS
        self._host.notes = asyncio.Queue()
        async with self._listening(uris) as ended:
            yield _until(ended, self._host.notes, wanted)
        self._host.notes = None

    @asynccontextmanager
    async def _listening(self, uris: Sequence[str]) -> AsyncIterator[Awaitable[Any]]:
        if self.client.protocol_version == MODERN_VERSION:
            lists = {f"{what}_list_changed": not uris for what in ("tools", "prompts", "resources")}
            async with self.client.listen(resource_subscriptions=uris, **lists) as subscription:
                refused = set(uris).difference(subscription.honored.resource_subscriptions or ())
                for uri in sorted(refused):
                    self._on_fault(f"The server does not tell when {uri} changes.")
                ended = asyncio.create_task(_exhausted(subscription))
                try:
                    yield ended
                finally:
                    ended.cancel()
            return
        for uri in uris:
            await self.request("resources/subscribe", {"uri": uri})
        try:
            yield asyncio.get_running_loop().create_future()
        finally:
            for uri in uris:
                with contextlib.suppress(ClientError):
                    await self.request("resources/unsubscribe", {"uri": uri})

    async def _answer(self, asked: Awaitable[Any]) -> dict[str, Any]:
        self._host.result = None
        try:
            await asked
        except MCPError as refusal:
            raise ServerError(refusal.error.model_dump(exclude_none=True)) from refusal
        except ValidationError as fault:
            self._on_fault(_what_is_wrong(fault))
        except RuntimeError as fault:  # the SDK's word for a result that its schema forbids
            if self._host.result is None:
                raise
            self._on_fault(one_line(str(fault).partition("\n")[0]))
        return self._host.result if isinstance(self._host.result, dict) else {}


async def _exhausted(subscription: Subscription) -> None:
    """Returns when the server has ended it, well or not."""
    with contextlib.suppress(SubscriptionLost):
        async for _ in subscription:
            pass


async def _until(
    ended: Awaitable[Any],
    notes: asyncio.Queue[dict[str, Any]],
    methods: frozenset[str],
) -> AsyncIterator[dict[str, Any]]:
    end = asyncio.ensure_future(ended)
    while True:
        arriving = asyncio.create_task(notes.get())
        await asyncio.wait({arriving, end}, return_when=asyncio.FIRST_COMPLETED)
        if not arriving.done():
            arriving.cancel()
            return
        if (note := arriving.result())["method"] in methods:
            yield note


def _what_is_wrong(fault: ValidationError) -> str:
    first = fault.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return one_line(f"The answer does not follow the specification: {where}: {first['msg']}.")


def _refusal(problem: Exception) -> Exception:
    """Why there is no conversation; the SDK's task groups wrap it."""
    while isinstance(problem, ExceptionGroup):
        problem = problem.exceptions[0]
    if isinstance(problem, MCPError):
        return ServerError(problem.error.model_dump(exclude_none=True))
    return ClientError(_what_is_wrong(problem)) if isinstance(problem, ValidationError) else problem


@asynccontextmanager
async def conversation(
    settings: Settings,
    *,
    ask: ElicitationFnT | None = None,
    on_log: LoggingFnT | None = None,
    on_fault: Callable[[str], None] = lambda text: None,
) -> AsyncIterator[Conversation]:
    """Connected, in the era the server speaks; raises ClientError.

    `ask` answers the server's questions; without it none are offered to be answered.
    """
    host = _Host()
    # a person waits for the sign-in; only hosts are answered in the meantime (lobby)
    settings = replace(settings, first_answer=math.inf)
    client = Client(
        _streams(settings, host),
        mode="auto" if settings.protocol in (None, MODERN_VERSION) else "legacy",
        client_info=Implementation(name="mcp-streamablehttp-client", version=__version__),
        elicitation_callback=ask,
        logging_callback=on_log,
        log_level="debug" if on_log is not None else None,
        cache=None,
    )
    try:
        await client.__aenter__()
    except (MCPError, ValidationError, ExceptionGroup) as problem:
        raise _refusal(problem) from problem
    try:
        yield Conversation(settings.server_url, client, host, on_fault)
    finally:
        await client.__aexit__(None, None, None)


@asynccontextmanager
async def _streams(
    settings: Settings, host: _Host
) -> AsyncIterator[
    tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]
]:
    """What the SDK calls a transport."""
    outgoing, sent = anyio.create_memory_object_stream[SessionMessage](1000)
    relaying = asyncio.create_task(Bridge(transport_for(settings), host).run())
    pumping = asyncio.create_task(host.pump(sent))
    try:
        yield host.received, outgoing
    finally:
        outgoing.close()
        await pumping
        await relaying
        host.received.close()


class _Host:
    """Implements host.Host: the client of the SDK as the bridge sees it."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._to_client, self.received = anyio.create_memory_object_stream[SessionMessage | Exception](
            float("inf")
        )
        self.result: Any = None
        """The newest result, as the server sent it."""
        self.notes: asyncio.Queue[dict[str, Any]] | None = None
        """The server's notifications, while somebody wants them."""

    async def pump(self, sent: MemoryObjectReceiveStream[SessionMessage]) -> None:
        with sent:
            async for item in sent:
                line = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                self._lines.put_nowait(line.encode())
        self._lines.put_nowait(None)

    def start(self, on_host_gone: Callable[[], None]) -> None: ...

    async def lines(self) -> AsyncIterator[bytes]:
        while (line := await self._lines.get()) is not None:
            yield line

    def write(self, line: bytes) -> None:
        value = json.loads(line)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict) and "result" in item:
                self.result = item["result"]
            if self.notes is not None and isinstance(item, dict) and "method" in item and "id" not in item:
                self.notes.put_nowait(item)
            try:
                message = jsonrpc_message_adapter.validate_python(item, by_name=False)
            except ValidationError as fault:
                self._to_client.send_nowait(fault)
            else:
                self._to_client.send_nowait(SessionMessage(message))

    async def close(self, seconds: float) -> None:
        self._to_client.close()
