"""The account that a new local run makes, so that somebody can sign in."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Mapping

from . import local_settings
from .process import StartError
from .services import BIN


def first_account(settings: Mapping[str, str]) -> str | None:
    """Make `admin` if there is no account yet; its password, or None when there was one already.

    Raises StartError.
    """
    environment = {**local_settings.machine(os.environ), **settings}
    program = str(BIN / "mcp-oauth-server")
    listed = subprocess.run([program, "users", "list"], env=environment, capture_output=True, text=True)
    if listed.returncode:
        raise StartError(f"the accounts cannot be read: {listed.stderr.strip()}")
    if listed.stdout.strip():
        return None
    password = secrets.token_urlsafe(12)
    added = subprocess.run(
        [program, "users", "add", "admin", "--password-stdin"],
        env=environment,
        input=password,
        capture_output=True,
        text=True,
    )
    if added.returncode:
        raise StartError(f"the account admin could not be made: {added.stderr.strip()}")
    return password
