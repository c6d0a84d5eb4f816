"""The bridge: a stdio MCP server whose every message is answered by the remote server."""

import asyncio
import contextlib
import logging

from .errors import ClientError
from .handshake import HandshakeEra
from .host import TOO_LONG, Host
from .jsonrpc import INVALID_REQUEST, PARSE_ERROR, Message, error, parse
from .modern import ModernEra
from .relay import Call, Relay
from .settings import MAX_MESSAGE_BYTES
from .transport import Transport

log = logging.getLogger(__name__)

GRACE_SECONDS = 1.0
"""How long answers are awaited after the host closed stdin, and how long the farewell may take."""

_HANDSHAKE = frozenset({"initialize", "notifications/initialized"})


class Bridge:
    def __init__(self, transport: Transport, host: Host) -> None:
        self._transport = transport
        self._host = host
        self._relay = Relay(host)
        self._handshake_era = HandshakeEra(transport, self._relay)
        self._modern_era = ModernEra(transport, self._relay)
        self._tasks: set[asyncio.Task[None]] = set()
        self._handshake: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Relay until the host has no more to say, goes away, or `stop` is called."""
        self._host.start(self.stop)
        reading = asyncio.create_task(self._read())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        reading.cancel()
        stopping.cancel()
        await self._farewell()

    def stop(self) -> None:
        self._stop.set()

    async def _read(self) -> None:
        async for line in self._host.lines():
            if line is TOO_LONG:
                text = f"A message is longer than {MAX_MESSAGE_BYTES} bytes."
                self._host.write(error(None, INVALID_REQUEST, text))
                continue
            try:
                message = parse(line)
            except (ValueError, RecursionError):
                self._host.write(error(None, PARSE_ERROR, "A line is not a JSON-RPC message."))
                continue
            self._dispatch(message)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_SECONDS):
                await self._relay.all_answered()

    def _dispatch(self, message: Message) -> None:
        if message.method == "notifications/cancelled" and self._cancel(message):
            return
        call = self._relay.open(message)
        modern = message.modern_version is not None
        task = asyncio.create_task(self._send(call, None if modern else self._handshake))
        call.task = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if message.method in _HANDSHAKE:
            self._handshake = task

    def _cancel(self, message: Message) -> bool:
        """True when the notification ends here: a 2026-07-28 request is cancelled by closing it."""
        call = self._relay.find(message.params.get("requestId"))
        if call is not None:
            call.cancelled = True
            if call.message.modern_version is not None and call.task is not None:
                call.task.cancel()
                return True
        return message.modern_version is not None

    async def _send(self, call: Call, after: asyncio.Task[None] | None) -> None:
        if after is not None and not after.done():
            await asyncio.wait({after})
        try:
            if call.message.modern_version is not None:
                await self._modern_era.send(call)
            else:
                await self._handshake_era.send(call)
        except ClientError as problem:
            log.info("%s: %s", call.message.method or "answer", problem)
            self._relay.fail(call, str(problem))
        except Exception as problem:  # the host gets an answer whatever happens
            log.error("unexpected: %s", describe(problem))  # noqa: TRY400
            self._relay.fail(call, "The bridge failed unexpectedly; see its log.")
        finally:
            self._relay.settle(call)

    async def _farewell(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        with contextlib.suppress(TimeoutError, ClientError):
            async with asyncio.timeout(GRACE_SECONDS):
                await self._handshake_era.close()
        await self._transport.close()
        await self._host.close(GRACE_SECONDS)


def describe(problem: BaseException) -> str:
    """An unexpected exception in one line, with the place it comes from and without its text,
    which might hold a secret."""
    trace = problem.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}" if trace is not None else "?"
    return f"{type(problem).__name__} in {where}"
