"""`./justw sync` and `./justw check`: copies of common/ are what it says, and nobody edits one."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from gateway import common
from gateway.packages import PACKAGES, ROOT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace of one package `a-b`, which uses `one`, which imports `two`."""
    source = tmp_path / "common"
    source.mkdir()
    (source / "__init__.py").write_text('"""Shared."""\n')
    (source / "one.py").write_text("from .two import x\n")
    (source / "two.py").write_text("x = 1\n")
    (source / "three.py").write_text("y = 1\n")
    (source / "used_by.toml").write_text('a-b = ["one"]\n')
    monkeypatch.setattr(common, "ROOT", tmp_path)
    monkeypatch.setattr(common, "SOURCE", source)
    return tmp_path


def run(action: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["common", action])
    return common.main()


def test_sync_brings_a_module_with_its_imports(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("check", monkeypatch) == 1
    assert run("sync", monkeypatch) == 0
    copies = place / "a-b" / "src" / "a_b" / "_common"
    assert sorted(path.name for path in copies.iterdir()) == ["__init__.py", "one.py", "two.py"]
    assert run("check", monkeypatch) == 0


@pytest.mark.parametrize("file", ["one.py", "three.py"])
def test_an_edited_or_a_stray_copy_is_told_and_mended(
    file: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("sync", monkeypatch)
    copy = place / "a-b" / "src" / "a_b" / "_common" / file
    copy.write_text("edited\n")
    assert run("check", monkeypatch) == 1
    assert f"_common/{file}" in capsys.readouterr().err
    run("sync", monkeypatch)
    assert run("check", monkeypatch) == 0


def test_the_copies_of_this_checkout_are_what_common_says() -> None:
    assert common.differences() == {}


def test_common_is_relative_and_keeps_no_registry() -> None:
    """A copy lives under another name, and several may be loaded in one process."""
    for source in common.SOURCE.glob("*.py"):
        assert "from common" not in source.read_text(), source


OF_OTHERS = frozenset(("era_words.py",))
"""Names codes that servers send and that are written otherwise in the other era."""


@pytest.mark.parametrize("folder", [common.SOURCE, *(ROOT / name / "src" for name in PACKAGES)], ids=str)
def test_every_json_rpc_error_that_is_sent_has_its_code_from_one_place(folder: Path) -> None:
    for file in folder.rglob("*.py"):
        if file.name == "error_codes.py" or file.name in OF_OTHERS or "tests" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(number))):
                    assert not 32000 <= number <= 32999, f"{file}:{node.lineno}"
