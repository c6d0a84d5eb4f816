"""The .env of a server: which values hold, and the secrets that are missing."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from dotenv import dotenv_values

SECRETS = ("GATEWAY_SECRET", "REDIS_PASSWORD")
MODE = 0o600


def read(path: Path) -> dict[str, str]:
    """What docker compose will see: the file, and over it the variables of this process."""
    values = {name: value for name, value in dotenv_values(path).items() if value is not None}
    return {**values, **os.environ}


def write_missing_secrets(path: Path, example: Path) -> list[str]:
    """Make the file from the example if need be, readable by its owner only; the names of the new secrets."""
    if not path.exists():
        save(path, example.read_text())
    values = read(path)
    missing = [name for name in SECRETS if not values.get(name)]
    text = path.read_text()
    for name in missing:
        line = f"{name}={secrets.token_hex(32)}"
        text, replaced = re.subn(rf"^{name}=\s*$", line, text, count=1, flags=re.M)
        if not replaced:
            text = text.rstrip("\n") + f"\n{line}\n"
    if missing or path.stat().st_mode & 0o777 != MODE:
        save(path, text)
    return missing


def save(path: Path, text: str) -> None:
    """Replace the file in one step, never readable by others."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "w") as file:
        file.write(text)
    draft.replace(path)
