"""The proxy beside its peers: calls, the first answer of a session, memory with idle sessions."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import ExitStack
from statistics import median

from .load import Load
from .memory import resident_mb
from .relays import ECHO, FLOOR, IDLE, OURS, OURS_MODERN, TIME, Relay, relays
from .report import Report, Row, note
from .rounds import compare
from .sessions import Session, SessionError, text

SECONDS = 0.8
CONNECTIONS = (1, 16, 64)
SMALL, LARGE = 1_000, 1_000_000
LIGHT_SESSION_MB = 1.0
"""500 sessions are opened only where 20 cost less than this each."""
PREWARMED = "first answer prewarmed ms"
Turns = dict[str, dict[str, tuple[float, ...]]]
Found = dict[str, dict[str, float]]
UnansweredError = dict[str, dict[str, str]]


def measure() -> Report:
    every = relays()
    figures: Found = {relay.name: {} for relay in every}
    failed: UnansweredError = {relay.name: {} for relay in every}
    turns: Turns = {relay.name: {} for relay in every}
    _measure_calls(every, figures, failed, turns)
    for relay in every:
        if relay.name == OURS_MODERN:
            continue
        note(f"{relay.name}: first answer, memory")
        figures[relay.name]["first answer ms"] = _first_answer(relay)
        if relay.name == OURS:
            figures[relay.name][PREWARMED] = _first_answer(relay, "--prewarm", "3", settle=6.0)
        if relay.name != FLOOR:
            figures[relay.name] |= _memory(relay)
    rows = [Row(one.name, one.version, figures[one.name], failed[one.name], turns[one.name]) for one in every]
    report = Report("proxy", "one session, calls of a tool that echoes 1 kB; see benchmarks/peers", rows)
    for count in CONNECTIONS:
        name = f"{count}: calls/s"
        report.compare(OURS, FLOOR, name, target=0.75)
        report.compare(OURS_MODERN, FLOOR, name, target=0.4)
        for relay in every[3:]:
            report.compare(OURS, relay.name, name, target=2.0)
    return report


def _measure_calls(every: Iterable[Relay], figures: Found, failed: UnansweredError, turns: Turns) -> None:
    with ExitStack() as stack:
        sessions: dict[str, Session] = {}
        for relay in every:
            note(f"{relay.name} {relay.version}: starting")
            port, _ = stack.enter_context(relay.serving(ECHO))
            open_ = Session.modern if relay.name == OURS_MODERN else Session.open
            sessions[relay.name] = open_(port, relay.path)
        small, large = text(SMALL), text(LARGE)
        for count in CONNECTIONS:
            note(f"{count} connections")
            loads = {name: one.load(small, count, SECONDS) for name, one in sessions.items()}
            _compare(f"{count}: ", loads, figures, failed, turns)
        note("messages of 1 MB")
        loads = {name: one.load(large, 1, SECONDS) for name, one in sessions.items()}
        _compare("1 MB: ", loads, figures, failed, turns)


def _compare(
    label: str, loads: dict[str, Load], figures: Found, failed: UnansweredError, turns: Turns
) -> None:
    reasons: dict[str, str] = {}
    for name, one in compare(loads, failed=reasons).items():
        figures[name] |= {
            f"{label}calls/s": one.per_second,
            f"{label}p50 ms": one.p50_ms,
            f"{label}p99 ms": one.p99_ms,
        }
        turns[name][f"{label}calls/s"] = one.turns
    for name, reason in reasons.items():
        failed[name][f"{label}calls/s"] = reason


def _first_answer(relay: Relay, *options: str, settle: float = 1.0) -> float:
    """Milliseconds from `initialize` to the answer of the first call, mcp-server-time behind."""
    taken = []
    with relay.serving(TIME, *options) as (port, _):
        time.sleep(settle)
        for _ in range(3):
            started = time.perf_counter()
            session = Session.open(port, relay.path)
            session.request("tools/call", {"name": "get_current_time", "arguments": {"timezone": "UTC"}})
            taken.append(time.perf_counter() - started)
    return round(median(taken) * 1000, 1)


def _memory(relay: Relay) -> dict[str, float]:
    """MB of the proxy without the servers it started, and what a session adds."""
    found: dict[str, float] = {}
    opened = 0
    with relay.serving(IDLE) as (port, process):
        for count in (0, 20, 500):
            if count == 500 and (found["20 sessions MB"] - found["0 sessions MB"]) / 20 > LIGHT_SESSION_MB:
                break
            try:
                while opened < count:
                    Session.open(port, relay.path)
                    opened += 1
            except (OSError, SessionError) as problem:
                note(f"{relay.name}: {opened} sessions, then {problem}")
                break
            time.sleep(0.5)
            found[f"{count} sessions MB"] = resident_mb(process.pid, without=IDLE)
        if opened:
            most = found.get("500 sessions MB", found.get("20 sessions MB", 0.0))
            found["a session kB"] = round((most - found["0 sessions MB"]) / opened * 1024, 1)
    return found
