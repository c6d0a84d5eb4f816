"""Requests and their answers."""

from __future__ import annotations

import asyncio

import h11

from ..errors import NotConnectedError, OutcomeUnknownError
from ..trust import SYSTEM, Trust
from .connection import Connection
from .pool import Pool
from .response import Response
from .target import Headers, Target

REFUSED_PAUSES = (0.1, 0.4, 1.0)
"""Seconds before a connection that was refused is tried again: a server that restarts is back soon."""
pause = asyncio.sleep


class HttpClient:
    """`timeout` is in seconds and bounds the silence of a server, not its whole answer."""

    def __init__(self, timeout: float, trust: Trust = SYSTEM) -> None:
        self._timeout = timeout
        self._pool = Pool(trust)

    async def request(
        self,
        method: str,
        target: Target,
        headers: Headers,
        body: bytes = b"",
        *,
        repeatable: bool = False,
        sent: asyncio.Event | None = None,
    ) -> Response:
        """Send once. A connection that cannot be made is tried again, since no server acted; from
        the first byte on there is no second time here (RFC 9110 section 9.2.2).

        `repeatable` says that the caller may send it again, so that it may go over a connection
        that has been idle for long. `sent` is set once the request is on its way. Raises
        NotConnectedError and OutcomeUnknownError.
        """
        connection = await self._connection(target, repeatable)
        try:
            connection.send(method, target, headers, body)
            if sent is not None:
                sent.set()
            head = await connection.head(self._timeout)
        except (OSError, h11.RemoteProtocolError) as error:
            self._pool.drop(connection)
            raise OutcomeUnknownError(self._what_happened(target, error)) from error
        except BaseException:
            self._pool.drop(connection)
            raise
        return Response(head, connection, self._pool.give_back, self._pool.drop, self._timeout)

    def close(self) -> None:
        self._pool.close()

    async def _connection(self, target: Target, repeatable: bool) -> Connection:
        for seconds in REFUSED_PAUSES:
            try:
                return await self._pool.connection(target, repeatable=repeatable)
            except NotConnectedError as failure:
                if not failure.passing:
                    raise
            await pause(seconds)
        return await self._pool.connection(target, repeatable=repeatable)

    def _what_happened(self, target: Target, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"{target.authority} did not answer within {self._timeout:g} s"
        if isinstance(error, OSError):
            return f"{target.authority} closed the connection without an answer"
        return f"{target.authority} did not answer in HTTP/1.1"
