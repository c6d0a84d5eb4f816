"""An answer: status and fields at once, the body as it comes."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import h11

from ..errors import BrokenStreamError, ClientError, MessageTooLargeError
from ..settings import MAX_MESSAGE_BYTES
from .connection import Connection
from .content_coding import UnknownCodingError, decoder_of

SHORT = 64 * 1024
"""Bytes of a body worth reading only to keep its connection."""


class Response:
    """`headers` has lower-case names; repeated fields are joined with a comma (RFC 9110 section
    5.3), except `www-authenticate`, which is in `challenges`, and `set-cookie`, in `cookies`."""

    def __init__(
        self,
        head: h11.Response,
        connection: Connection,
        give_back: Callable[[Connection], None],
        drop: Callable[[Connection], None],
        timeout: float,
    ) -> None:
        self.status: int = head.status_code
        self.reason = bytes(head.reason).decode("latin-1")
        self.headers: dict[str, str] = {}
        self.challenges: list[str] = []
        self.cookies: list[str] = []
        apart = {"www-authenticate": self.challenges, "set-cookie": self.cookies}
        for raw_name, raw_value in head.headers:
            name, value = bytes(raw_name).decode("latin-1"), bytes(raw_value).decode("latin-1")
            if name in apart:
                apart[name].append(value)
            else:
                before = self.headers.get(name)
                self.headers[name] = value if before is None else f"{before}, {value}"
        self._connection: Connection | None = connection
        self._give_back = give_back
        self._drop = drop
        self._timeout = timeout

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def chunks(self, *, patient: bool = False) -> AsyncIterator[bytes]:
        """The body, once; `patient` waits without limit between chunks (streams that may be silent).

        Raises BrokenStreamError.
        """
        connection = self._connection
        if connection is None:
            return
        try:
            decoder = decoder_of(self.headers.get("content-encoding"))
            while True:
                event = await connection.next_event(None if patient else self._timeout)
                if isinstance(event, h11.Data):
                    if decoder is None:
                        yield bytes(event.data)
                        continue
                    plain = decoder.feed(bytes(event.data))
                    while plain:
                        yield plain
                        plain = decoder.rest()
                elif isinstance(event, h11.EndOfMessage):
                    self._connection = None
                    self._give_back(connection)
                    return
                else:
                    raise BrokenStreamError("The server closed the connection during its answer.")
        except (h11.RemoteProtocolError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise BrokenStreamError(
                    f"The server sent nothing for {self._timeout:g} s (see --timeout)."
                ) from error
            raise BrokenStreamError("The connection broke during the server's answer.") from error
        except UnknownCodingError as coding:
            raise ClientError(
                f"The server answered in the content coding {coding}, which was not asked for."
            ) from coding
        except zlib.error as problem:
            raise ClientError("The server's answer is not in the content coding it names.") from problem
        finally:
            self.close()

    async def read(self, limit: int = MAX_MESSAGE_BYTES) -> bytes:
        """The whole body; raises BrokenStreamError and MessageTooLargeError (`limit` is in bytes)."""
        parts: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                raise MessageTooLargeError(f"The server's answer is longer than {limit} bytes.")
            parts.append(chunk)
        return b"".join(parts)

    async def discard(self) -> None:
        """Read a short body away so that the connection can be used again; drop a long one."""
        with suppress(ClientError):
            await self.read(SHORT)
        self.close()

    def close(self) -> None:
        """Drop the connection unless the body was read to its end. Towards a 2026-07-28 server
        this is how a request is cancelled."""
        if self._connection is not None:
            self._drop(self._connection)
            self._connection = None
