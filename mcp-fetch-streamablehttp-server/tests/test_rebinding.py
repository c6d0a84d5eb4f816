"""The system's own resolver, and name servers of an attacker: one changes its answer, one is silent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mcp_fetch_streamablehttp_server._common.resolver import SHARE

PUBLIC = "93.184.215.14"
REBINDING, SILENT = (Path(__file__).with_name(name) for name in ("rebinding.py", "silent_names.py"))


def in_a_network_of_its_own(tmp_path: Path, script: Path, *addresses: str) -> dict[str, object]:
    """Only a loopback device is there, which nothing leaves; resolv.conf names the script's server."""
    configuration, switch = tmp_path / "resolv.conf", tmp_path / "nsswitch.conf"
    configuration.write_text("nameserver 127.0.0.1\n")
    switch.write_text("hosts: dns\n")
    command = (
        f"ip link set lo up && ip addr add {PUBLIC}/32 dev lo && "
        f"mount --bind {configuration} /etc/resolv.conf && mount --bind {switch} /etc/nsswitch.conf && "
        f"exec {sys.executable} {script} {PUBLIC} {' '.join(addresses)}"
    )
    done = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-c", command],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("answers", "outcomes", "reached"),
    [
        # The check and the connection see one answer: what the name leads to a moment later gains nothing.
        ((PUBLIC, "127.0.0.1"), ["ok", "refused"], ["public"]),
        (("127.0.0.1", PUBLIC), ["refused", "ok"], ["public"]),
        (("127.0.0.1", "169.254.169.254"), ["refused", "refused"], []),
    ],
)
def test_a_name_that_changes_its_answer_never_leads_inside(
    tmp_path: Path, answers: tuple[str, ...], outcomes: list[str], reached: list[str]
) -> None:
    found = in_a_network_of_its_own(tmp_path, REBINDING, *answers)
    refused = "rebind.example is not on the public internet, and only public addresses are fetched."
    assert found["outcomes"] == [refused if outcome == "refused" else outcome for outcome in outcomes]
    assert found["reached"] == reached
    assert found["asked"] == 2, "one look-up for each connection"


def test_names_that_nobody_answers_keep_no_other_caller_waiting(tmp_path: Path) -> None:
    """A look-up that was given up holds its thread all the same, until name servers have had their time."""
    found = in_a_network_of_its_own(tmp_path, SILENT)
    assert found["victim"] == "ok"
    assert 0 < int(str(found["asked"])) <= SHARE
