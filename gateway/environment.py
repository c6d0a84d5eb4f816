"""What a server is set up with: the settings in .env, and its secrets, each in a file of its own.

Containers get the files, never the values: what a container was started with is shown to everybody who may
ask the engine.
"""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values

MADE = ("GATEWAY_SECRET", "REDIS_PASSWORD", "EDGE_SECRET", "ECHO_REDIS_PASSWORD")
"""Secrets that are made here when there are none."""
GIVEN = ("GITHUB_CLIENT_SECRET", "OIDC_CLIENT_SECRET")
"""Secrets that somebody else makes; the file is empty until they are given."""
MODE = 0o600
FOLDER_MODE, SECRET_MODE = 0o700, 0o444
"""The folder keeps others out; a container has only the file, which its user must be able to read."""


@dataclass
class Changes:
    made: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)


def read(path: Path) -> dict[str, str]:
    """What docker compose will see: the file, and over it the variables of this process."""
    values = {name: value for name, value in dotenv_values(path).items() if value is not None}
    return {**values, **os.environ}


def folder(path: Path, root: Path) -> Path:
    """Where the secrets are: SECRETS_FOLDER, seen from `root` as docker compose does."""
    return root / (read(path).get("SECRETS_FOLDER") or "secrets")


def read_secrets(folder: Path) -> dict[str, str]:
    files = {name: folder / name.lower() for name in (*MADE, *GIVEN)}
    return {name: file.read_text().strip() if file.exists() else "" for name, file in files.items()}


def prepare(path: Path, example: Path, folder: Path) -> Changes:
    """Make .env from the example if need be, and each secret's file: from .env or from the environment, where
    a value is newer than the file's, else anew. In .env none is left behind. Readable by their owner only."""
    if not path.exists():
        save(path, example.read_text())
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    folder.chmod(FOLDER_MODE)
    changes = Changes()
    text, values, known = path.read_text(), read(path), read_secrets(folder)
    for name in (*MADE, *GIVEN):
        value = values.get(name) or known[name]
        if not value and name in MADE:
            value = secrets.token_hex(32)
            changes.made.append(name)
        if dotenv_values(path).get(name):
            text = re.sub(rf"^(?:export\s+)?{name}\s*=.*$", f"{name}=", text, flags=re.M)
            changes.moved.append(name)
        file = folder / name.lower()
        if value != known[name] or not file.exists():
            save(file, value, SECRET_MODE)
    if changes.moved or path.stat().st_mode & 0o777 != MODE:
        save(path, text)
    return changes


def save(path: Path, text: str, mode: int = MODE) -> None:
    """Replace the file in one step, never readable by others than `mode` says."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
    draft.replace(path)
