"""Growing pauses between the starts of a server that fails."""

from __future__ import annotations

import time

_FIRST = 0.25
_LAST = 30.0


class Backoff:
    """How one server fares, as far as its starts tell. Times are seconds."""

    def __init__(self) -> None:
        self.failures = 0
        self.trouble: str | None = None
        """Why the server cannot be used; None when the last start went well, or none was tried."""
        self.works = False
        """Whether the last start went well."""
        self._not_before = 0.0

    @property
    def pause(self) -> float:
        """Seconds until the next start may be tried; negative when it may be."""
        return self._not_before - time.monotonic()

    def failed(self, reason: str, *, trouble: bool = True) -> None:
        self.failures += 1
        self.works = False
        if trouble:
            self.trouble = reason
        self._not_before = time.monotonic() + min(_LAST, _FIRST * 2 ** min(self.failures - 1, 10))

    def succeeded(self) -> None:
        """The server answered as it should: it may be believed again that it works."""
        self.failures = 0
        self.trouble = None
        self.works = True
        self._not_before = 0.0
