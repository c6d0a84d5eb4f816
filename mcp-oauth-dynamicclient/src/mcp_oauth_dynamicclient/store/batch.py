"""Redis commands sent together over one connection: a quiet server sends each at once, a busy one collects
until the answers to the last ones are there, because sending and waiting take longer than the commands.

A connection of redis-py does the talking, without its pool and pipelines, which take as long as the commands.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import NoScriptError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

Command = tuple[Any, ...]

TIMEOUT = 2.0
"""Seconds for one attempt at a batch."""
RETRIES = 2


class Script:
    """A Lua script that Redis knows by its digest once it has run."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Batch:
    """Commands must bear being sent twice: a connection may be lost before the answer."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection
        self._retry = Retry(ExponentialBackoff(cap=0.2, base=0.02), RETRIES)
        self._waiting: list[tuple[Command, asyncio.Future[Any]]] = []
        self._sending: asyncio.Task[None] | None = None

    async def script(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run a script; a Redis that was restarted is given it again."""
        try:
            return await self.command("EVALSHA", script.digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self.command("EVAL", script.text, len(keys), *keys, *arguments)

    async def command(self, *command: Any) -> Any:
        """Raises RedisError or OSError, each command its own."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((command, answer))
        if len(self._waiting) == 1:
            loop.call_soon(self._flush)
        return await answer

    async def close(self) -> None:
        await self._connection.disconnect()

    def _flush(self) -> None:
        if self._sending is None and self._waiting:
            batch, self._waiting = self._waiting, []
            self._sending = asyncio.create_task(self._send(batch))
            self._sending.add_done_callback(self._sent)

    def _sent(self, _: asyncio.Task[None]) -> None:
        self._sending = None
        self._flush()

    async def _send(self, batch: Sequence[tuple[Command, asyncio.Future[Any]]]) -> None:
        commands = [command for command, _ in batch]
        results: Sequence[Any]
        try:
            results = await self._retry.call_with_retry(lambda: self._exchange(commands), self._disconnect)
        except Exception as error:  # whatever it is, nobody is left waiting
            results = [error] * len(batch)
        for (_, answer), result in zip(batch, results, strict=True):
            if answer.done():
                continue  # whoever asked was cancelled
            if isinstance(result, Exception):
                answer.set_exception(result)
            else:
                answer.set_result(result)

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self._attempt(commands)
        except TimeoutError:
            raise RedisTimeoutError("no answer in time") from None

    async def _attempt(self, commands: Sequence[Command]) -> list[Any]:
        connection = self._connection
        answers: list[Any] = []
        await connection.send_packed_command(connection.pack_commands(commands))
        for _ in commands:
            try:
                answers.append(await connection.read_response())
            except ResponseError as error:
                answers.append(error)
        return answers

    async def _disconnect(self, _: Exception) -> None:
        await self._connection.disconnect(nowait=True)
