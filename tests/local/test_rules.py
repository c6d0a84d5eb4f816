"""The folder of rules that the local run's edge watches."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import routes


def test_only_what_came_from_here_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older = tmp_path / "older"
    older.mkdir()
    (older / routes.LOCAL).write_text((routes.SOURCE / routes.LOCAL).read_text())
    (older / "gone.yml").write_text("http: {}")
    folder = tmp_path / "edge"
    folder.mkdir()
    (folder / "own.yml").write_text("http: {routers: {}}")
    (folder / "notes").mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(routes, "SOURCE", older)
        routes.write(folder, {})
    assert (folder / "gone.yml").exists()
    routes.write(folder, {"time": "http://127.0.0.1:1"})
    assert not (folder / "gone.yml").exists()
    assert (folder / "own.yml").read_text() == "http: {routers: {}}"
    assert (folder / "notes").is_dir()
    assert "time=http://127.0.0.1:1" in (folder / routes.LOCAL).read_text()


def test_a_list_that_somebody_else_wrote_leads_nowhere_else(tmp_path: Path) -> None:
    folder = tmp_path / "edge"
    routes.write(folder, {})
    mine = tmp_path / "mine.yml"
    mine.write_text("kept")
    (folder / routes.WRITTEN).write_text('["../mine.yml", "..", "", 5]')
    routes.write(folder, {})
    assert mine.read_text() == "kept"
