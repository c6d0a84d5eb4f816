"""Redis commands sent together: a quiet server sends each at once, a busy one collects until the answers to
the last ones are there, because it spends more on sending and waiting than on the commands."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import NoScriptError

Command = tuple[Any, ...]


class Batch:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: list[tuple[Command, asyncio.Future[Any]]] = []
        self._sending: asyncio.Task[None] | None = None

    async def script(self, script: AsyncScript, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run a registered script; a Redis that was restarted is given it again."""
        try:
            return await self.command("EVALSHA", script.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self.command("EVAL", script.script, len(keys), *keys, *arguments)

    async def command(self, *command: Any) -> Any:
        """Raises RedisError or OSError, each command its own."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((command, answer))
        if len(self._waiting) == 1:
            loop.call_soon(self._flush)
        return await answer

    def _flush(self) -> None:
        if self._sending is None and self._waiting:
            batch, self._waiting = self._waiting, []
            self._sending = asyncio.create_task(self._send(batch))
            self._sending.add_done_callback(self._sent)

    def _sent(self, _: asyncio.Task[None]) -> None:
        self._sending = None
        self._flush()

    async def _send(self, batch: Sequence[tuple[Command, asyncio.Future[Any]]]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for command, _ in batch:
            pipeline.execute_command(*command)
        try:
            results = await pipeline.execute(raise_on_error=False)
        except Exception as error:  # whatever it is, nobody is left waiting
            results = [error] * len(batch)
        for (_, answer), result in zip(batch, results, strict=True):
            if answer.done():
                continue  # whoever asked was cancelled
            if isinstance(result, Exception):
                answer.set_exception(result)
            else:
                answer.set_result(result)
