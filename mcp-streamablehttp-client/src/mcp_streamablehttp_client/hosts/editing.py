"""One host's file, changed: a difference to look at, then a backup and the new file in one step."""

from __future__ import annotations

import difflib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..errors import ClientError
from ..settings import read_text
from . import jsonc
from .places import Host

BACKUP = ".before-mcp-streamablehttp-client"


@dataclass(frozen=True)
class Change:
    """`path` is where the file really is, behind links."""

    path: Path
    before: str
    after: str

    @property
    def difference(self) -> str:
        lines = difflib.unified_diff(
            self.before.splitlines(), self.after.splitlines(), str(self.path), str(self.path), lineterm=""
        )
        return "\n".join(lines)

    def apply(self) -> Path | None:
        """Returns the backup, None where there was no file; raises ClientError and leaves all as it was."""
        backup = self.path.with_name(self.path.name + BACKUP)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            existed = self.path.exists()
            ends = "\n"
            if existed:
                shutil.copy2(self.path, backup)
                ends = "\r\n" if b"\r\n" in self.path.read_bytes() else ends
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", newline=ends, dir=self.path.parent, delete=False
            ) as file:
                new = Path(file.name)
                try:
                    file.write(self.after)
                    file.flush()
                    if existed:
                        shutil.copymode(self.path, new)
                except OSError:
                    new.unlink()
                    raise
            new.replace(self.path)
        except OSError as problem:
            raise ClientError(f"Cannot write {self.path}: {problem.strerror}.") from problem
        return backup if existed else None


def installed(host: Host, path: Path, name: str, url: str, command: list[str]) -> Change:
    """The text with the server in it; raises ClientError where the name is another server's."""
    path, before = _read(path)
    try:
        entries = _entries(host, before)
        if name in entries and not _is_for(entries[name], url):
            raise ClientError(f"{path} has another server named {name!r}; choose a name with --name.")
        return Change(path, before, jsonc.put(before, (host.member, name), host.entry(command)))
    except ValueError as problem:
        raise _odd(path, problem) from problem


def uninstalled(host: Host, path: Path, url: str, name: str | None = None) -> Change:
    """The text without every entry of this program for the URL, or without the one of that name; raises
    ClientError where there is none."""
    path, before = _read(path)
    try:
        names = [each for each, entry in _entries(host, before).items() if _is_for(entry, url)]
        if name:
            names = [each for each in names if each == name]
        if not names:
            called = f" named {name!r}" if name else ""
            raise ClientError(f"{path} has no server {url}{called} of this program's.")
        after = before
        for each in names:
            after = jsonc.remove(after, (host.member, each))
        if not _entries(host, after):
            after = jsonc.remove(after, (host.member,))
    except ValueError as problem:
        raise _odd(path, problem) from problem
    return Change(path, before, after)


def _read(path: Path) -> tuple[Path, str]:
    try:
        path = path.resolve()
        return path, read_text(path) if path.exists() else ""
    except (OSError, RuntimeError) as problem:  # RuntimeError: links in a circle, before Python 3.13
        raise ClientError(f"Cannot read {path}: {problem}.") from problem


def _entries(host: Host, text: str) -> dict[str, object]:
    value = jsonc.load(text)
    entries = value.get(host.member, {}) if isinstance(value, dict) else {}
    return entries if isinstance(entries, dict) else {}


def _is_for(entry: object, url: str) -> bool:
    """Whether an entry is this program's bridge to the URL."""
    if not isinstance(entry, dict) or not isinstance(entry.get("args"), list):
        return False
    words = [str(entry.get("command")), *map(str, entry["args"])]
    return url in words and any("streamablehttp" in word for word in words)


def _odd(path: Path, problem: ValueError) -> ClientError:
    return ClientError(f"{path} cannot be read as JSON ({problem}); it was left as it is.")
