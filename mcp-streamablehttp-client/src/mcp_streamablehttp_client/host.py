"""What the bridge needs of a host: lines in, lines out."""

from collections.abc import AsyncIterator, Callable
from typing import Protocol

TOO_LONG = b""
"""Stands for a line beyond the cap; its bytes were skipped."""


class Host(Protocol):
    def start(self, on_host_gone: Callable[[], None]) -> None: ...

    def lines(self) -> AsyncIterator[bytes]:
        """Messages without line ends, until the host has no more to say."""

    def write(self, line: bytes) -> None: ...

    async def close(self, seconds: float) -> None:
        """Give what was written `seconds` to arrive."""
