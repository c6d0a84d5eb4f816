"""`./justw backup` and `restore`: from one machine to another, where nobody reaches it before it is whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.compose.engine import Engine
from tests.compose.stack import SHAPES, Stack, prepare
from tests.compose.test_recovery import known, register

pytestmark = [
    pytest.mark.compose,
    pytest.mark.timeout(1200),
    pytest.mark.parametrize("stack", SHAPES[:1], indirect=True, scope="session"),
]
PASSPHRASE = {"BACKUP_PASSPHRASE": "a passphrase of some length"}


def test_a_backup_is_restored_on_another_machine_before_anything_is_exposed(
    stack: Stack, engine: Engine, images: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    client = register(stack)
    file = tmp_path / "gateway.backup"
    done = stack.deploy("backup", str(file), variables=PASSPHRASE)
    assert done.returncode == 0, done.stderr
    assert str(file) in done.stdout
    assert file.stat().st_mode & 0o777 == 0o600
    assert client.encode() not in file.read_bytes()
    again = stack.deploy("backup", str(file), variables=PASSPHRASE)
    assert (again.returncode, again.stderr) == (2, f"backup: {file} exists; name a new file\n")

    with prepare(engine, images, folder, SHAPES[0]) as other:
        wrong = other.deploy("restore", str(file), variables={"BACKUP_PASSPHRASE": "another passphrase"})
        assert wrong.returncode == 2
        assert "the passphrase is wrong, or the file is damaged" in wrong.stderr
        assert not other.container("traefik")

        restored = other.deploy("restore", str(file), variables=PASSPHRASE)
        assert restored.returncode == 0, restored.stdout + restored.stderr
        assert "Restored " in restored.stdout
        assert known(other, client)
        log = other.compose("exec", "-T", "auth", "cat", "/audit/audit.log")
        (entry,) = [line for line in map(json.loads, log.splitlines()) if line["event"] == "store.restore"]
        assert entry["time"] < other.inspect("traefik", "{{.State.StartedAt}}")
        assert "admin" in other.compose("exec", "-T", "auth", "mcp-oauth-server", "users", "list")
