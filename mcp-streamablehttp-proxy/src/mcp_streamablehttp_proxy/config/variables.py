"""`${…}` in a text of the file: variables, secrets from files, and what only an editor can fill in."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from .._common.settings import SettingsError

_REFERENCE = re.compile(r"\$(\$\{[^{}]*\})|\$\{([^{}]*)\}")
_VARIABLE = re.compile(r"(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_EDITOR_FOLDERS = (".vscode", ".cursor")


class Variables:
    """What references stand for, in a file of this folder.

    `${NAME}`, `${env:NAME}` and `${NAME:-text}` are variables of the proxy's own environment. `${file:PATH}`
    is the text of a file without its last line end. `${userHome}`, `${workspaceFolder}` and the like are
    what VS Code and Cursor mean by them. `$${` is `${` itself.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder
        workspace = folder.parent if folder.name in _EDITOR_FOLDERS else folder
        self._places = {
            "userHome": environment.get("HOME", ""),
            "workspaceFolder": str(workspace),
            "workspaceFolderBasename": workspace.name,
            "pathSeparator": os.sep,
            "/": os.sep,
        }

    def fill(self, text: str) -> str:
        """The text with every reference replaced. Raises SettingsError; its sentence holds no value."""
        return _REFERENCE.sub(lambda found: found[1] or self._value(found[2]), text)

    def path(self, text: str) -> Path:
        """A path that the file names: from its own folder, `~` is home."""
        return self._folder / Path(self.fill(text)).expanduser()

    def _value(self, reference: str) -> str:
        if reference in self._places:
            return self._places[reference]
        kind, _, rest = reference.partition(":")
        if kind in ("input", "command") and not rest.startswith("-"):
            raise SettingsError(
                f"${{{reference}}} is something that only an editor can ask; "
                "write ${NAME} for a variable or ${file:PATH} for a secret in its place"
            )
        if kind == "file":
            return self._secret(rest)
        found = _VARIABLE.fullmatch(reference)
        if found is None:
            raise SettingsError(
                f"${{{reference}}} is not known here; write $${{{reference}}} to keep it as it is"
            )
        value = self._environment.get(found[1], "")
        if value or (found[2] is None and found[1] in self._environment):
            return value
        if found[2] is None:
            raise SettingsError(f"variable {found[1]} is not set; set it, or write ${{{found[1]}:-text}}")
        return found[2]

    def _secret(self, path: str) -> str:
        try:
            text = (self._folder / Path(path).expanduser()).read_text(encoding="utf-8")
        except (OSError, ValueError) as problem:
            why = problem.strerror if isinstance(problem, OSError) else "is not UTF-8 text"
            raise SettingsError(f"${{file:{path}}} cannot be read: {why}") from problem
        return text.removesuffix("\n").removesuffix("\r")
