"""What the bridge needs of a host: lines in, lines out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol

TOO_LONG = b""
"""Stands for a line beyond the cap; its bytes were skipped."""


class Output(Protocol):
    def write(self, line: bytes) -> None: ...


class Host(Output, Protocol):
    def start(self, on_host_gone: Callable[[], None]) -> None: ...

    def lines(self) -> AsyncIterator[bytes]:
        """Messages without line ends, until the host has no more to say."""

    async def close(self, seconds: float) -> None:
        """Give what was written `seconds` to arrive."""
