"""A plugin of pytest: a test that is skipped has not passed, and fails the run.

Except for tests of another system than this one, whose reason begins so.
"""

from __future__ import annotations

import pytest

ALLOWED = ("only ", "this system has no ", "looks into /proc", "signals")
NOT_ALL_RAN = 6
"""The status, whatever else failed: running once more what failed does not mend it."""
_skipped: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _note(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    _note(report)


def _note(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not reason.removeprefix("Skipped: ").startswith(ALLOWED):
        _skipped.append(f"{report.nodeid}: {reason}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _skipped:
        session.exitstatus = NOT_ALL_RAN


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _skipped:
        terminalreporter.section("skipped, so not passed")
        for line in _skipped:
            terminalreporter.line(line)
