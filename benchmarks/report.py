"""What a benchmark found: rows of figures by name and version, and the ratios that count."""

from __future__ import annotations

import datetime
import json
import os
import platform
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
COLUMNS = 6
"""Figures beside each other on a terminal; more go into a further table."""


@dataclass(frozen=True)
class Row:
    name: str
    version: str
    figures: dict[str, float]
    failed: dict[str, str] = field(default_factory=dict)
    """Why a figure is missing, by its name."""
    turns: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """What each turn gave, by the name of the figure that is their median."""


@dataclass(frozen=True)
class Ratio:
    """`value` is ours over the peer's: where both were measured in turns, the median of each turn's ratio, as
    what a noisy moment does to one turn it does to both. `target` is what it should reach, or not exceed if
    `at_most`."""

    ours: str
    peer: str
    figure: str
    value: float
    target: float | None = None
    at_most: bool = False


@dataclass
class Report:
    what: str
    about: str
    rows: list[Row]
    ratios: list[Ratio] = field(default_factory=list)
    date: str = field(default_factory=lambda: datetime.datetime.now(datetime.UTC).date().isoformat())
    machine: dict[str, str | int | None] = field(default_factory=lambda: machine())

    def compare(
        self, ours: str, peer: str, figure: str, target: float | None = None, *, at_most: bool = False
    ) -> None:
        rows = {row.name: row for row in self.rows if figure in row.figures}
        if ours not in rows or peer not in rows:
            return
        turns = [rows[name].turns.get(figure) or (rows[name].figures[figure],) for name in (ours, peer)]
        value = round(median(mine / theirs for mine, theirs in zip(*turns, strict=True)), 2)
        self.ratios.append(Ratio(ours, peer, figure, value, target, at_most))

    def show(self) -> None:
        console = Console(width=120)
        names = list(dict.fromkeys(name for row in self.rows for name in row.figures))
        for some in (names[at : at + COLUMNS] for at in range(0, len(names), COLUMNS)):
            table = Table(title=f"{self.what}: {self.about}")
            for heading in ("", "version"):
                table.add_column(heading)
            for name in some:
                table.add_column(name, justify="right")
            for row in self.rows:
                cells = [f"{row.figures[name]:,.4g}" if name in row.figures else "" for name in some]
                table.add_row(row.name, row.version, *cells)
            console.print(table)
        for ratio in self.ratios:
            sense = "at most" if ratio.at_most else "at least"
            aim = "" if ratio.target is None else f" (target: {sense} {ratio.target:g})"
            console.print(f"{ratio.ours} / {ratio.peer}, {ratio.figure}: {ratio.value:g} x{aim}")
        for row in self.rows:
            for name, why in row.failed.items():
                console.print(f"{row.name}, {name}: failed, {why}")

    def write(self) -> str:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{self.what}.json"
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")
        return str(path.relative_to(RESULTS.parent.parent))


def machine() -> dict[str, str | int | None]:
    """The class of machine, without its name."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "python": platform.python_version(),
    }


def note(text: str) -> None:
    """Say on standard error what is being measured now."""
    print(text, file=sys.stderr, flush=True)
