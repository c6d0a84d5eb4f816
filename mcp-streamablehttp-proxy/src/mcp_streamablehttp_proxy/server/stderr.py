"""What a server says on stderr, in the log, at a bounded rate: a noisy server costs others nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from ..wire.lines import LineSplitter, Oversize

log = logging.getLogger(__name__)

_LONGEST = 8192
_BURST = 200
"""Lines of one process that are logged within a second; the rest is counted."""


class StderrLog:
    """`tags` names the process in every record."""

    def __init__(
        self, tags: Callable[[], Mapping[str, object]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tags = tags
        self._clock = clock
        self._lines = LineSplitter(_LONGEST)
        self._second = 0.0
        self._logged = 0
        self._dropped = 0
        self._last = b""

    @property
    def last(self) -> str:
        """The last line that is not blank, as text that may be shown: one line, at most 300 characters."""
        text = self._last.decode("utf-8", "replace").strip()
        return "".join(letter if letter.isprintable() else " " for letter in text)[:300]

    def feed(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            self._line(line)

    def close(self) -> None:
        if (rest := self._lines.rest()) is not None:
            self._line(rest)
        self._tell()

    def _line(self, line: bytes | Oversize) -> None:
        kept = line.head + b" [...]" if isinstance(line, Oversize) else line
        if not kept.strip():
            return
        self._last = kept
        now = self._clock()
        if now - self._second >= 1:
            self._tell()
            self._second, self._logged = now, 0
        if self._logged >= _BURST:
            self._dropped += 1
        else:
            self._logged += 1
            log.info("stderr", extra={**self._tags(), "text": kept.decode("utf-8", "replace")})

    def _tell(self) -> None:
        if self._dropped:
            log.warning("stderr lines dropped", extra={**self._tags(), "lines": self._dropped})
            self._dropped = 0
