"""Reading an answer's body up to a limit that holds before and after decompression."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator

import httpx

from .errors import FetchError

ACCEPT_ENCODING = "gzip, deflate"


class TooLargeError(FetchError):
    pass


async def read_body(response: httpx.Response, limit: int) -> bytes:
    """The decoded body. Raises TooLargeError as soon as it exceeds `limit` bytes."""
    body = bytearray()
    try:
        async for piece in decoded(response, limit):
            body += piece
            if len(body) > limit:
                raise TooLargeError(f"The answer is larger than the {limit} bytes that are fetched at most.")
    except zlib.error as error:
        raise FetchError("The answer is compressed, but broken.") from error
    return bytes(body)


async def read_start(response: httpx.Response, limit: int) -> bytes:
    """The first `limit` bytes of the decoded body."""
    body = bytearray()
    try:
        async for piece in decoded(response, limit):
            body += piece
            if len(body) >= limit:
                break
    except zlib.error as error:
        raise FetchError("The answer is compressed, but broken.") from error
    return bytes(body[:limit])


async def decoded(response: httpx.Response, limit: int) -> AsyncIterator[bytes]:
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        async for chunk in response.aiter_raw():
            yield chunk
    elif encoding in ("gzip", "x-gzip", "deflate"):
        inflater = Inflater(encoding == "deflate", limit)
        async for chunk in response.aiter_raw():
            for piece in inflater.feed(chunk):
                yield piece
    else:
        raise FetchError(f"The answer is encoded as {encoding[:40]!r}, which was not asked for.")


class Inflater:
    """gzip (RFC 1952, any number of members) or deflate, with or without its zlib wrapper (RFC 9110 8.4.1.2).

    No call to zlib yields more than `limit` bytes and one, however small the input.
    """

    def __init__(self, deflate: bool, limit: int) -> None:
        self.deflate = deflate
        self.limit = limit
        self.inflate = None if deflate else zlib.decompressobj(31)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        while chunk:
            if self.inflate is None:
                self.inflate = zlib.decompressobj(15 if chunk[0] & 0x0F == 8 else -15)
            yield self.inflate.decompress(chunk, self.limit + 1)
            chunk = self.inflate.unconsumed_tail
            if self.inflate.eof:
                chunk = self.inflate.unused_data
                if self.deflate or not chunk.startswith(b"\x1f"):
                    return
                self.inflate = zlib.decompressobj(31)
