"""Reading pages beside what others made for it: token F1 against marked text, pages per CPU second."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from . import documentation
from .report import Report, Row, note
from .servers import ROOT, virtualenv

PEERS = {
    "mcp-server-fetch": "mcp-server-fetch==2026.10.24",
    "trafilatura": "trafilatura==2.3.1",
    "resiliparse": "resiliparse==2.0.1",
    "readability-lxml": "readability-lxml==0.9",
}
WHERE = """just bench fetch --corpus DIR needs the pages to read:
  DIR/articles/ground-truth.json and html/ID.html.gz, of scrapinghub's article-extraction-benchmark
  DIR/readability/NAME/source.html.gz, expected.html.gz, of mozilla's readability, gzipped
Both repositories are public on GitHub: scrapinghub/article-extraction-benchmark, mozilla/readability.
Pages of documentation are taken from Debian's packages (just documentation-pages)."""


def measure(corpus: Path | None = None) -> Report:
    if corpus is None or not (corpus / "articles" / "ground-truth.json").exists():
        raise SystemExit(WHERE)
    sets = (corpus, documentation.pages())
    script = ROOT / "benchmarks" / "peers" / "readers.py"
    rows = [
        Row("this", version("mcp-fetch-streamablehttp-server"), _run([sys.executable], script, "this", *sets))
    ]
    for name, requirement in PEERS.items():
        python = virtualenv(name, requirement, "lxml[html_clean]") / "python"
        rows.append(Row(name, requirement.partition("==")[2], _run([str(python)], script, name, *sets)))
    report = Report("fetch", "pages read: token F1 (mean), pages per second of processor time", rows)
    for figure in ("articles: F1", "readability: F1"):
        for peer in PEERS:
            report.compare("this", peer, figure)
    report.compare("this", "mcp-server-fetch", "pages/CPU s", 3)
    return report


def _run(python: list[str], script: Path, name: str, *sets: Path) -> dict[str, float]:
    note(f"{name}: reading")
    # Without Node: mcp-server-fetch would install and start Readability.js, whose time nobody could count.
    done = subprocess.run(
        [*python, script, name, *sets],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": str(Path(python[0]).parent), "LC_ALL": "C.UTF-8"},
    )
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
