"""`just conformance [TARGET ...]`: the official suite against every part, its requirement sets whole.

Exits with 1 when a required scenario fails. Results go to benchmarks/results/conformance.json, one row for
each target and requirement set.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gateway.packages import ROOT

from .authorization import authorization_server
from .suite import VERSION, Outcome
from .targets import (
    bridge,
    combination,
    native_as_they_are,
    proxy,
    proxy_of_handshake_server,
    stateful,
    stateful_through_the_gateway,
)

RESULTS = ROOT / "benchmarks" / "results" / "conformance.json"
TARGETS: dict[str, Callable[[Path], Iterator[Outcome]]] = {
    "proxy": proxy,
    "proxy-handshake": proxy_of_handshake_server,
    "combination": combination,
    "stateful": stateful,
    "stateful-gateway": stateful_through_the_gateway,
    "native": native_as_they_are,
    "bridge": bridge,
    "authorization": authorization_server,
}


def main() -> int:
    chosen = sys.argv[1:] or list(TARGETS)
    unknown = [name for name in chosen if name not in TARGETS]
    if unknown:
        print(f"conformance: no target {unknown[0]!r}; one of: {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="conformance-") as place:
        for name in chosen:
            for outcome in TARGETS[name](Path(place)):
                outcomes.append(outcome)
                if not outcome.whole:
                    print(outcome.output)
    show(outcomes)
    write(outcomes)
    return 0 if all(outcome.whole for outcome in outcomes) else 1


def show(outcomes: list[Outcome]) -> None:
    table = Table(title=f"MCP conformance suite {VERSION}")
    for column in ("target", "requirement set", "required scenarios", "checks", "not scored"):
        table.add_column(column, overflow="fold")
    for outcome in outcomes:
        row = summary(outcome)
        table.add_row(
            outcome.target,
            outcome.requirements,
            f"{row['required_passed']} of {row['required']}",
            f"{row['checks_passed']} passed, {row['checks_failed']} failed",
            f"{row['unscored_passed']} of {len(outcome.unscored)}",
        )
    Console().print(table)


def summary(outcome: Outcome) -> dict[str, int]:
    required = {name: counts for name, counts in outcome.scenarios.items() if name not in outcome.unscored}
    return {
        "required": len(required),
        "required_passed": sum(1 for _, failed in required.values() if not failed),
        "checks_passed": sum(passed for passed, _ in required.values()),
        "checks_failed": sum(failed for _, failed in required.values()),
        "unscored_passed": sum(
            1 for name in outcome.unscored if name in outcome.scenarios and not outcome.scenarios[name][1]
        ),
    }


def write(outcomes: list[Outcome]) -> None:
    kept = []
    if RESULTS.exists():
        fresh = {(outcome.target, outcome.requirements) for outcome in outcomes}
        rows = json.loads(RESULTS.read_text())["rows"]
        kept = [row for row in rows if (row["target"], row["requirements"]) not in fresh]
    rows = [
        {
            "target": outcome.target,
            "requirements": outcome.requirements,
            **summary(outcome),
            "scenarios": {
                name: {"passed": passed, "failed": failed, "scored": name not in outcome.unscored}
                for name, (passed, failed) in sorted(outcome.scenarios.items())
            },
        }
        for outcome in outcomes
    ]
    content = {
        "suite": f"@modelcontextprotocol/conformance {VERSION}",
        "date": str(date.today()),
        "rows": kept + rows,
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
