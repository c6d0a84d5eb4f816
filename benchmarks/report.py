"""What a benchmark found: rows of figures by name and version, and the ratios that count."""

from __future__ import annotations

import datetime
import json
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    name: str
    version: str
    figures: dict[str, float]


@dataclass(frozen=True)
class Ratio:
    """`value` is how many times as good as the peer ours is; `target` is what it should reach."""

    ours: str
    peer: str
    figure: str
    value: float
    target: float | None = None


@dataclass
class Report:
    what: str
    about: str
    rows: list[Row]
    ratios: list[Ratio] = field(default_factory=list)
    date: str = field(default_factory=lambda: datetime.datetime.now(datetime.UTC).date().isoformat())
    machine: dict[str, str | int | None] = field(default_factory=lambda: machine())

    def compare(self, ours: str, peer: str, figure: str, target: float | None = None) -> None:
        figures = {row.name: row.figures[figure] for row in self.rows if figure in row.figures}
        value = round(figures[ours] / figures[peer], 2)
        self.ratios.append(Ratio(ours, peer, figure, value, target))

    def show(self) -> None:
        console = Console(width=120)
        names = list(dict.fromkeys(name for row in self.rows for name in row.figures))
        table = Table(title=f"{self.what}: {self.about}")
        for heading in ("", "version"):
            table.add_column(heading)
        for name in names:
            table.add_column(name, justify="right")
        for row in self.rows:
            cells = [f"{row.figures[name]:,.4g}" if name in row.figures else "" for name in names]
            table.add_row(row.name, row.version, *cells)
        console.print(table)
        for ratio in self.ratios:
            aim = "" if ratio.target is None else f" (target {ratio.target:g})"
            console.print(f"{ratio.ours} / {ratio.peer}, {ratio.figure}: {ratio.value:g} x{aim}")

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
