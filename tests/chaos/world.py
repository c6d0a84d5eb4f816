"""A world of its own for a run (Linux namespaces): its network, mounts and processes are nobody else's.

So a network can be cut and a file system filled, and what is left at the end is there to be seen: every other
process, every port that listens.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

INSIDE = "CHAOS_WORLD"
LISTENING = "0A"
"""State of a TCP socket in /proc/net/tcp."""


def enter(module: str) -> None:
    """Start this program again inside, once; returns there."""
    if os.environ.get(INSIDE):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    as_root = () if os.geteuid() == 0 else ("--map-root-user",)
    apart = ("--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")
    command = ["unshare", *as_root, *apart, sys.executable, "-m", module, *sys.argv[1:]]
    os.environ[INSIDE] = "1"
    os.execvp("unshare", command)


def disk(place: Path, megabytes: int) -> None:
    """A file system that can be filled."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "chaos", place], check=True)


def no_disk(place: Path) -> None:
    subprocess.run(["umount", "--lazy", place], check=True)


def in_its_place(program: Path, another: Path) -> None:
    """Whoever starts `program` in this world gets another."""
    subprocess.run(["mount", "--bind", another, program], check=True)


def cut(port: int, answer: str) -> None:
    """Nothing reaches this port any more, and nothing comes from it. `answer`: DROP or REJECT."""
    _rules("-A", port, answer)


def mend(port: int, answer: str) -> None:
    _rules("-D", port, answer)


def _rules(what: str, port: int, answer: str) -> None:
    for side in ("--dport", "--sport"):
        command = ["iptables", "-w", what, "INPUT", "-p", "tcp", side, str(port), "-j", answer]
        subprocess.run(command, check=True)


def processes() -> dict[int, str]:
    """Every other process of this world, by its command line. Ended ones are reaped where they are ours."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int(entry.name) == os.getpid() or _ended(entry):
                continue
            found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    return found


def _ended(entry: Path) -> bool:
    return (entry / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"


def listening() -> set[int]:
    """Ports that somebody listens at."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == LISTENING:
                found.add(int(local.rpartition(":")[2], 16))
    return found
