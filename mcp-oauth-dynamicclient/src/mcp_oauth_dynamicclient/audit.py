"""The audit log: one JSON line per decision, with who, which client, which server, what and why.

Text that looks like a secret is redacted before it is written, wherever it stands.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol, TextIO

from .errors import OAuth2Error, SettingsError

Event = Literal[
    "access",  # a request at /verify
    "account",  # the account page
    "account.add",
    "account.disable",
    "account.enable",
    "account.password",
    "account.remove",
    "authorize",  # an authorization request
    "client.authenticate",
    "client.delete",
    "client.preregister",
    "client.register",
    "client.update",
    "consent",
    "device",  # a person's decision about a device
    "device.authorize",
    "device.page",
    "grant.revoke",
    "key.remove",
    "key.rotate",
    "login",
    "policy",  # whether a person may still use a server
    "store.restore",
    "token.issue",
    "token.revoke",
]
"""What was asked: an event of the log and a label of `/metrics`."""

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
CHECK_INTERVAL = 1.0
"""Seconds after which a file that was moved away is noticed."""

log = logging.getLogger(__name__)

Observer = Callable[[str, str, str, str], None]
"""Told the event, the outcome, the client and the kind of reason of each decision."""
UNKNOWN = "unknown"
"""What observers are told instead of a client_id that nobody knows."""


class Out(Protocol):
    def write(self, line: str) -> None: ...
    def close(self) -> None: ...


class _Stream:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, line: str) -> None:
        self._stream.write(line)
        self._stream.flush()

    def close(self) -> None:
        """The stream is not ours."""


class _File:
    """Appends whole lines, also beside other processes; reopened soon after it was moved away."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._checked_at = 0.0
        try:
            self._descriptor = self._open()
        except OSError as error:
            raise SettingsError(f"AUDIT_LOG: {path}: {error.strerror}") from error

    def write(self, line: str) -> None:
        try:
            if time.monotonic() - self._checked_at >= CHECK_INTERVAL:
                self._follow()
            os.write(self._descriptor, line.encode())
        except OSError:
            log.exception("the audit log cannot be written")

    def close(self) -> None:
        """Once is enough; the number of a closed descriptor is soon somebody else's."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor != -1:
            os.close(descriptor)

    def _follow(self) -> None:
        self._checked_at = time.monotonic()
        try:
            moved = self._path.stat().st_ino != os.fstat(self._descriptor).st_ino
        except FileNotFoundError:
            moved = True
        if moved:
            old, self._descriptor = self._descriptor, self._open()
            os.close(old)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


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
        self._out: Out
        if not isinstance(destination, str):
            self._out = _Stream(destination)
        elif destination == "-":
            self._out = _Stream(sys.stdout)
        else:
            self._out = _File(Path(destination))

    def record(
        self,
        event: Event,
        *,
        outcome: str,
        user: str | None = None,
        client: str | None = None,
        claimed_client: str | None = None,
        resource: str | None = None,
        reason: str | None = None,
        error: OAuth2Error | None = None,
        **fields: object,
    ) -> None:
        """Write one decision: `event` is what was asked (`token.issue`), `outcome` what was decided. An error
        gives the reason, as the client is told, and the detail, which only the log is told.

        `client` is one that the registry knows. Who only says which client it is, and nobody has looked it up
        or it is unknown, is a `claimed_client`."""
        when = datetime.datetime.fromtimestamp(self._now(), datetime.UTC)
        line: dict[str, object] = {
            "time": when.isoformat(timespec="milliseconds"),
            "event": event,
            "outcome": outcome,
        }
        told = {
            "user": user, "client": client, "claimed_client": claimed_client, "resource": resource,
            "reason": reason, **fields,
        }  # fmt: skip
        if error is not None:
            told |= {"reason": reason or error.reason, "detail": error.detail}
        for name, value in told.items():
            if value is not None:
                line[name] = _clean(name, value)
        self._out.write(json.dumps(line) + "\n")
        if self._observe is not None:
            who = UNKNOWN if claimed_client is not None else str(line.get("client", ""))
            kind = line.get("reason", "") if error is None else _clean("reason", error.kind)
            self._observe(event, outcome, who, str(kind))

    def close(self) -> None:
        self._out.close()


@lru_cache(maxsize=256)
def _is_secret(name: str) -> bool:
    return SECRET_FIELD.search(name) is not None


def _clean(name: str, value: object) -> object:
    if _is_secret(name):
        return REDACTED
    if isinstance(value, bool | int | float):
        return value
    return SECRET_TEXT.sub(REDACTED, str(value)[:8192])[:LONGEST]
