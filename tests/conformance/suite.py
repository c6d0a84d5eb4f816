"""The official conformance suite, and what it said."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.node import NODE, installed

VERSION = "0.2.0-alpha.12"
SCENARIO = re.compile(
    r"^[✓✗⚠~\s]*(?P<name>(?!Total:)[\w./-]+): (?P<passed>\d+) passed, (?P<failed>\d+) failed"
)
UNSCORED = re.compile(r"^\s+[✓✗]\s+(?P<name>[\w./-]+) \((?P<reason>[\w -]+)\)")
RUN_WITHIN = 900.0
"""Seconds for one requirement set."""


@dataclass
class Outcome:
    """One run of the suite: checks passed and failed by scenario, and scenarios its set does not score."""

    target: str
    requirements: str
    scenarios: dict[str, tuple[int, int]] = field(default_factory=dict)
    unscored: dict[str, str] = field(default_factory=dict)
    status: int = 0
    output: str = ""

    @property
    def failed(self) -> list[str]:
        return [name for name, (_, failed) in self.scenarios.items() if failed and name not in self.unscored]

    @property
    def whole(self) -> bool:
        return self.status == 0 and not self.failed and len(self.scenarios) > len(self.unscored)

    def only(self, scenarios: Sequence[str]) -> Outcome:
        """Of the whole set these alone; one that did not run is a failure."""
        self.scenarios = {name: self.scenarios.get(name, (0, 1)) for name in scenarios}
        self.unscored = {}
        self.status = 0
        return self


def run_suite(
    target: str,
    requirements: str,
    mode: str,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Run the suite as `server`, `client` or `authorization`; `on_line` sees its output as it comes."""
    program = installed("@modelcontextprotocol/conformance", VERSION) / "dist" / "index.js"
    command = [str(NODE), str(program), mode, *arguments]
    outcome = Outcome(target, requirements)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            on_line(line)
        outcome.status = process.wait(timeout=RUN_WITHIN)
    outcome.output = "".join(lines)
    read_summary(outcome)
    return outcome


def read_summary(outcome: Outcome) -> None:
    _, _, summary = outcome.output.rpartition("SUMMARY")
    for line in summary.splitlines():
        if found := SCENARIO.match(line):
            outcome.scenarios[found["name"]] = (int(found["passed"]), int(found["failed"]))
        elif found := UNSCORED.match(line):
            outcome.unscored[found["name"]] = found["reason"]
