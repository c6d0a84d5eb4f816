"""Answers in gzip and deflate (RFC 9110 section 8.4.1)."""

from __future__ import annotations

import zlib

ACCEPT_ENCODING = "identity, gzip;q=0.5, deflate;q=0.5"
"""Plain is best: events pass as they come. The others are read where a server insists."""
_STEP = 1 << 20


class UnknownCodingError(ValueError):
    """A coding that was asked not to be sent."""


class Decoder:
    """Undoes one coding; bytes in, bytes out. Raises zlib.error for what is not in it."""

    def __init__(self, coding: str) -> None:
        if coding not in ("gzip", "x-gzip", "deflate"):
            raise UnknownCodingError(coding)
        self._raw = coding == "deflate"
        self._zlib = zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._first = True

    def feed(self, data: bytes) -> bytes:
        try:
            found = self._zlib.decompress(data, _STEP)
        except zlib.error:
            if not (self._raw and self._first):
                raise
            self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)  # deflate without its zlib frame
            found = self._zlib.decompress(data, _STEP)
        self._first = False
        return found

    def rest(self) -> bytes:
        """More of what was fed: a chunk is undone in steps, so that none outgrows memory."""
        held = self._zlib.unconsumed_tail
        return self._zlib.decompress(held, _STEP) if held else b""


def decoder_of(field: str | None) -> Decoder | None:
    """What decodes a Content-Encoding field; None when the content is as it is. Raises UnknownCodingError."""
    codings = [part.strip().lower() for part in (field or "").split(",")]
    codings = [coding for coding in codings if coding not in ("", "identity")]
    if len(codings) > 1:
        raise UnknownCodingError(", ".join(codings))
    return Decoder(codings[0]) if codings else None
