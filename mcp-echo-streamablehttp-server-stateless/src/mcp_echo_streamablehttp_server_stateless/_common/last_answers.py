"""A server of the SDK's answers every call that it has taken before its process ends.

sse-starlette, by which the SDK streams, ends every event stream at SIGTERM, also one that carries the answer
to a call: the client gets half of it, or 500 where nothing was sent yet. Only standing streams may end so,
which would keep the process for as long as they like.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sse_starlette.sse import AppStatus

from .accept import asks_for_a_standing_stream
from .refusal import refuse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

CUT = "This instance has ended, and the call with it; it may have been carried out."


class LastAnswers:
    """A layer in front of the application; `end` is for `serving.server`'s `at_end`."""

    def __init__(self, app: ASGIApp) -> None:
        AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call]
        self._app = app
        self._ending = asyncio.Event()

    def end(self) -> None:
        """To be called from a signal handler: only `call_soon_threadsafe` wakes the loop."""
        asyncio.get_running_loop().call_soon_threadsafe(self._ending.set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = read = False

        async def sent(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        async def received() -> Message:
            nonlocal read
            message = await (self._or_the_end(receive) if read else receive())
            read = read or not message.get("more_body", False)
            return message

        try:
            await self._app(scope, received if asks_for_a_standing_stream(scope) else receive, sent)
        except asyncio.CancelledError:  # its grace is over, too
            if not begun:
                await refuse(send, 503, CUT)
            raise

    async def _or_the_end(self, receive: Receive) -> Message:
        """What comes next; at the end, as if the client had gone."""
        waiting: list[asyncio.Task[Any]] = [
            asyncio.create_task(receive()),  # type: ignore[arg-type]  # an awaitable that is a coroutine
            asyncio.create_task(self._ending.wait()),
        ]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if waiting[0].done():
                message: Message = waiting[0].result()
                return message
            return {"type": "http.disconnect"}
        finally:
            for task in waiting:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
