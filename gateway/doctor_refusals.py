"""What the doctor reads from the audit log: who was refused of late, and why."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from mcp_oauth_dynamicclient.operator_token import CLIENT_ID, LIVES
from mcp_streamablehttp_client._common.hop import Verdict, well

from .doctor_troubles import trouble

RECENT = 3600.0
"""Seconds for which what was refused is worth a word."""
READ_AT_MOST = 2**20
"""Bytes of the end of the audit log."""

REFUSED: Mapping[str, str] = {
    "The access token has expired": "token expired",
    "The access token was not issued by this server": "token unknown",
    "The signature of the access token is wrong": "token forged",
    "This is not a token of this server": "token forged",
    "The access token is for another server": "wrong audience",
    "The access token has been revoked": "token revoked",
    "This person is not admitted here any more": "person disabled",
    "The cookie proves that the browser": "cookie lost",
}
"""Troubles by how the audit log tells the reason."""


def check_refusals(log: bytes) -> Iterator[Verdict]:
    """What the gate and the sign-in refused of late, by the end of the audit log. What was refused while
    somebody tried the gateway with an operator's token was part of that."""
    records = list(_records(log))
    trials = _trials(records)
    since = time.time() - RECENT
    found: dict[str, list[dict[str, str]]] = {}
    for record in records:
        at = _when(record)
        if record.get("outcome") != "refused" or at < since or _of_operator(record):
            continue
        if any(begun <= at <= done for begun, done in trials):
            continue
        for reason, key in REFUSED.items():
            if str(record.get("reason", "")).startswith(reason):
                found.setdefault(key, []).append(record)
    for key, refused in found.items():
        last = refused[-1]
        who = " ".join(str(last[name]) for name in ("user", "client") if name in last)
        where = f" at {last['resource']}" if "resource" in last else ""
        what = f"refused {len(refused)} times in the last hour, last {who or 'a client'}{where}"
        name = str(last.get("user", "NAME")).removeprefix("local:")
        yield trouble(key, what, str(last["reason"]), name=name)
    if not found:
        yield well("token", "nobody was refused in the last hour")


def _of_operator(record: Mapping[str, str]) -> bool:
    return str(record.get("client", "")).startswith(f"{CLIENT_ID}:")


def _trials(records: list[dict[str, str]]) -> list[tuple[float, float]]:
    """When an operator's tokens were there: from each being issued until it was revoked, or ended by itself.
    Lines of two processes may stand in another order than they were written in."""
    begun: dict[str, float] = {}
    trials = []
    for record in records:
        if _of_operator(record) and record["event"] == "token.issue":
            begun[record["client"]] = _when(record)
        elif _of_operator(record) and record["event"] == "grant.revoke":
            trials.append((begun.pop(record["client"], _when(record)), _when(record)))
    return trials + [(at, at + LIVES) for at in begun.values()]


def end_of(log: Path) -> bytes:
    """Raises OSError."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - READ_AT_MOST))
        return file.read()


def _records(log: bytes) -> Iterator[dict[str, str]]:
    for line in log.splitlines():
        if line.startswith(b'{"time"'):
            with suppress(ValueError):
                yield json.loads(line)


def _when(record: Mapping[str, str]) -> float:
    try:
        return datetime.fromisoformat(record["time"]).timestamp()
    except (KeyError, ValueError):
        return 0.0
