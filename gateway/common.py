"""`just sync` copies the files of `common/` that each package uses; `just check` compares the copies."""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

from .packages import ROOT

SOURCE = ROOT / "common"


def main() -> int:
    action = sys.argv[1] if len(sys.argv) > 1 else ""
    if action not in ("sync", "check"):
        print("usage: python -m gateway.common sync|check", file=sys.stderr)
        return 2
    wrong = differences()
    for copy, content in wrong.items():
        if action == "sync":
            print(f"{'copied' if content is not None else 'removed'} {copy.relative_to(ROOT)}")
            write(copy, content)
        else:
            print(f"{copy.relative_to(ROOT)} is not what common/ says", file=sys.stderr)
    if action == "check" and wrong:
        print("Copies are not edited: change common/, then run ./justw sync.", file=sys.stderr)
        return 1
    return 0


def differences() -> dict[Path, bytes | None]:
    """The copies that are missing or differ, with what they should hold; None for one that nothing uses."""
    wrong: dict[Path, bytes | None] = {}
    for package, used in tomllib.loads((SOURCE / "used_by.toml").read_text()).items():
        place = ROOT / package / "src" / package.replace("-", "_") / "_common"
        wanted = {place / file: (SOURCE / file).read_bytes() for file in files(used)}
        there = {path: path.read_bytes() for path in place.rglob("*") if path.is_file() and not cached(path)}
        for path in sorted(wanted.keys() | there.keys()):
            if wanted.get(path) != there.get(path):
                wrong[path] = wanted.get(path)
    return wrong


def files(used: list[str]) -> set[str]:
    """The files for these modules and for all that they import from `common/`."""
    found: set[str] = {"__init__.py"} if used else set()
    waiting = list(used)
    while waiting:
        file = f"{waiting.pop()}.py"
        if file not in found:
            found.add(file)
            waiting += imports(SOURCE / file)
    return found


def imports(source: Path) -> list[str]:
    """The modules beside it that a file imports: `from .name import …`."""
    return [
        node.module
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module
    ]


def cached(path: Path) -> bool:
    return "__pycache__" in path.parts


def write(copy: Path, content: bytes | None) -> None:
    if content is None:
        copy.unlink()
    else:
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)


if __name__ == "__main__":
    sys.exit(main())
