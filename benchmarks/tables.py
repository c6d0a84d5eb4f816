"""The measured tables in the READMEs, between `<!-- bench NAME -->` and `<!-- end -->`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .report import RESULTS
from .servers import ROOT


@dataclass(frozen=True)
class Table:
    """Columns as heading -> figure."""

    what: str
    package: str
    columns: Mapping[str, str]


def _speed(count: int) -> dict[str, str]:
    return {f"{count}: {unit}": f"{count}: {unit}" for unit in ("calls/s", "p50 ms", "p99 ms")}


SERVER = "mcp-oauth-dynamicclient"
PROXY = "mcp-streamablehttp-proxy"
CLIENT = "mcp-streamablehttp-client"
TABLES = {
    "gateway": Table("gateway", SERVER, _speed(1) | _speed(8)),
    "verify": Table("verify", SERVER, {"requests/s": "requests/s", "p50, ms": "p50 ms", "p99, ms": "p99 ms"}),
    "register": Table(
        "register", SERVER, {"registrations/s": "registrations/s", "p50, ms": "p50 ms", "p99, ms": "p99 ms"}
    ),
    "proxy-calls": Table("proxy", PROXY, _speed(1) | _speed(16) | _speed(64)),
    "proxy-sessions": Table(
        "proxy",
        PROXY,
        {
            "1 MB calls/s": "1 MB: calls/s",
            "first answer, ms": "first answer ms",
            "prewarmed, ms": "first answer prewarmed ms",
            "MB, no session": "0 sessions MB",
            "20 sessions": "20 sessions MB",
            "500 sessions": "500 sessions MB",
            "a session, kB": "a session kB",
        },
    ),
    "bridge": Table(
        "bridge",
        CLIENT,
        {
            "start, ms": "start ms",
            "added p50, ms": "added p50 ms",
            "pipelined calls/s": "pipelined calls/s",
            "MB": "MB",
            "installed, MB": "installed MB",
        },
    ),
    "fetch": Table(
        "fetch",
        "mcp-fetch-streamablehttp-server",
        {
            "articles: F1": "articles: F1",
            "readability: F1": "readability: F1",
            "headings %": "headings %",
            "code blocks %": "code blocks %",
            "tables %": "tables %",
            "pages/CPU s": "pages/CPU s",
        },
    ),
    "native": Table(
        "native",
        "mcp-echo-streamablehttp-server-stateless",
        {"start, CPU ms": "start CPU ms", "start, ms": "start ms", "MB": "MB"},
    ),
    "bridge-zoo": Table(
        "bridge-zoo",
        CLIENT,
        {name: f"{name}, s" for name in ("this 0.3.0", "mcp-remote 0.15.1")},
    ),
}


def write() -> None:
    """Put the results of the last runs into the READMEs that have a place for them."""
    for name, table in TABLES.items():
        results = RESULTS / f"{table.what}.json"
        if not results.exists():
            print(f"{name}: not measured yet")
            continue
        readme = ROOT / table.package / "README.md"
        text = readme.read_text()
        place = re.search(rf"<!-- bench {name} -->\n(.*?)<!-- end -->", text, re.DOTALL)
        if place is None:
            raise SystemExit(f"{readme.relative_to(ROOT)} has no place marked <!-- bench {name} -->")
        new = markdown(table, json.loads(results.read_text()))
        readme.write_text(text[: place.start(1)] + new + text[place.end(1) :])
        print(f"{name}: written to {readme.relative_to(ROOT)}")


def markdown(table: Table, report: dict[str, Any]) -> str:
    columns = {
        heading: figure
        for heading, figure in table.columns.items()
        if any(_cell(row, figure) for row in report["rows"])
    }
    rows = [_row(["", "version", *columns]), _row(["---", "---", *("---:" for _ in columns)])]
    for row in report["rows"]:
        cells = [_cell(row, figure) for figure in columns.values()]
        if any(cells):
            rows.append(_row([row["name"], row["version"], *cells]))
    machine = report["machine"]
    about = (
        f"{report['date']}, {machine['system']}, {machine['processors']} processors, "
        f"Python {machine['python']}; `./justw bench {report['what']}`"
    )
    return "".join(rows) + f"\n{about}\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _cell(row: dict[str, Any], figure: str) -> str:
    if figure in row["failed"]:
        return "fails"
    value = row["figures"].get(figure)
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
