"""The audit log: one JSON line per decision, with who, which client, which server, what and why.

What looks like a secret is replaced before it is written, whatever the caller meant.
"""

from __future__ import annotations

import datetime
import json
import logging
import re
import sys
import time
from collections.abc import Callable
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import TextIO

from .errors import SettingsError

SECRET_FIELD = re.compile(
    r"(?:token|secret|password|passphrase|cookie|verifier|assertion|authorization)$|^code$"
)
SECRET_TEXT = re.compile(
    r"eyJ[\w-]{5,}\.[\w-]+\.?[\w.-]*"  # JWT
    r"|(?i:bearer|basic)\s+\S{16,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|(?<![\w/.:-])[\w-]*[A-Za-z0-9_-]{43}(?![\w-])"  # 256 random bits, as tokens.new_secret makes them
)
REDACTED = "[redacted]"
LONGEST = 500

Observer = Callable[[str, str], None]
"""Told the event and outcome of each decision."""


class Audit:
    """`destination` is a path (reopened after rotation, mode 0600), `-` for standard output, or a stream.

    SettingsError at construction when the path cannot be written.
    """

    def __init__(
        self,
        destination: str | TextIO = "-",
        *,
        now: Callable[[], float] = time.time,
        observe: Observer | None = None,
    ) -> None:
        self._now = now
        self._observe = observe
        self._handler: logging.Handler
        if not isinstance(destination, str):
            self._handler = logging.StreamHandler(destination)
        elif destination == "-":
            self._handler = logging.StreamHandler(sys.stdout)
        else:
            try:
                Path(destination).touch(mode=0o600)
            except OSError as error:
                raise SettingsError(f"AUDIT_LOG: {destination}: {error.strerror}") from None
            self._handler = WatchedFileHandler(destination, encoding="utf-8", delay=True)

    def record(
        self,
        event: str,
        *,
        outcome: str,
        user: str | None = None,
        client: str | None = None,
        resource: str | None = None,
        reason: str | None = None,
        **fields: object,
    ) -> None:
        """Write one decision: `event` is what was asked (`token.issue`), `outcome` what was decided."""
        when = datetime.datetime.fromtimestamp(self._now(), datetime.UTC)
        line: dict[str, object] = {
            "time": when.isoformat(timespec="milliseconds"),
            "event": event,
            "outcome": outcome,
            "user": user,
            "client": client,
            "resource": resource,
            "reason": reason,
            **fields,
        }
        text = json.dumps({name: _clean(name, value) for name, value in line.items() if value is not None})
        self._handler.handle(logging.LogRecord("audit", logging.INFO, "", 0, text, None, None))
        if self._observe is not None:
            self._observe(event, outcome)

    def close(self) -> None:
        self._handler.close()


def _clean(name: str, value: object) -> object:
    if SECRET_FIELD.search(name):
        return REDACTED
    if isinstance(value, bool | int | float):
        return value
    return SECRET_TEXT.sub(REDACTED, str(value)[:8192])[:LONGEST]
