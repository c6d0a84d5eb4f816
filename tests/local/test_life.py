"""The life of a local run: it is looked at, changed and ended from beside it, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from gateway.services import BIN
from gateway.state import State
from tests.conftest import ROOT, LocalRun, free_port

TOKYO = (str(BIN / "mcp-server-time"), "--local-timezone", "Asia/Tokyo")
WITHIN = 120.0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def manage(run: LocalRun, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """As `just ACTION` does, beside the run."""
    return subprocess.run(
        [sys.executable, "-m", "gateway.manage", *arguments],
        cwd=ROOT,
        env={**os.environ, "GATEWAY_STATE": str(run.state), "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=200,
    )


def parents() -> dict[int, int]:
    """Parent by process, of all that run; one that has ended and waits for its parent does not."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = entry.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                found[int(entry.parent.name)] = int(parent)
    return found


def family(pid: int) -> list[int]:
    """A process and all below it, parents first."""
    known = parents()
    found = [pid]
    for member in found:
        found += [child for child, parent in known.items() if parent == member]
    return found


def call(run: LocalRun, name: str) -> int:
    return httpx.post(f"http://localhost:{run.port}/{name}/mcp", json={}, timeout=60).status_code


def named_by_metadata(run: LocalRun, name: str) -> bool:
    url = f"http://localhost:{run.port}/.well-known/oauth-protected-resource/{name}/mcp"
    return httpx.get(url, timeout=60).status_code == 200


HAS_A_HELPER = """
import os, subprocess, sys
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
with open(sys.argv[1], "w") as file:
    file.write(f"{helper.pid}\\n")
os.execv(sys.argv[2], sys.argv[2:])
"""
"""A server with a helper in a session of its own, out of reach of its process group."""


@pytest.mark.parametrize(
    "ending", ["hangup", "runner killed", "gateway killed", "both killed", "starter gone"]
)
def test_nothing_is_left_behind(local_run: LocalRun, tmp_path: Path, ending: str) -> None:
    """A closed terminal sends SIGHUP; SIGKILL may reach either process, or both as one process group."""
    told = tmp_path / "helper"
    entry = {"command": sys.executable, "args": ["-c", HAS_A_HELPER, str(told), *TOKYO], "prewarm": 1}
    (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": {"helped": entry}}))
    starter = (sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])")
    local_run.start(str(tmp_path / "mcp.json"), starter=starter if ending == "starter gone" else ())
    assert local_run.process is not None
    call(local_run, "helped")
    until(lambda: told.exists() and told.read_text().endswith("\n"))
    first, second, *others = family(local_run.process.pid)
    assert len(others) > 8
    processes = {first, second, *others, int(told.read_text())}
    match ending:
        case "hangup":
            os.kill(first, signal.SIGHUP)
        case "runner killed" | "starter gone":
            os.kill(first, signal.SIGKILL)
        case "gateway killed":
            os.kill(second, signal.SIGKILL)
        case "both killed":
            os.kill(second, signal.SIGKILL)
            os.kill(first, signal.SIGKILL)
    local_run.process.wait(WITHIN)
    until(lambda: not processes & set(parents()))


def test_a_server_comes_and_goes_while_the_others_stay(local_run: LocalRun) -> None:
    local_run.start()
    before = State(local_run.state).running()
    assert before is not None
    added = manage(local_run, "add", "tokyo", "--env", "SECRET=one", "--", *TOKYO)
    assert added.returncode == 0, added.stderr
    assert f"http://localhost:{local_run.port}/tokyo/mcp" in added.stdout
    assert "initialize, 2 tools" in added.stdout
    assert named_by_metadata(local_run, "tokyo")
    assert call(local_run, "tokyo") == 401
    assert (local_run.state / "servers.json").stat().st_mode & 0o077 == 0

    again = manage(local_run, "add", "tokyo", "--", *TOKYO)
    assert (again.returncode, again.stderr) == (2, "add: the name tokyo is taken; choose another\n")

    elsewhere = f"http://127.0.0.1:{free_port()}/mcp"
    remote = manage(local_run, "add", "far", elsewhere, "--header", "Authorization: Bearer one")
    assert remote.returncode == 1, remote.stdout  # nobody answers there yet
    assert "./justw remove far takes it away" in remote.stderr
    assert named_by_metadata(local_run, "far")
    assert manage(local_run, "remove", "far").returncode == 0

    dies = manage(local_run, "add", "dies", "--", "sh", "-c", "echo no API_KEY was given >&2; exit 3")
    assert (dies.returncode, "dies ends at once" in dies.stdout) == (1, True), dies.stdout + dies.stderr
    assert "it says: server dies exited with status 3: no API_KEY was given" in dies.stderr
    assert manage(local_run, "remove", "dies").returncode == 0

    removed = manage(local_run, "remove", "tokyo")
    assert removed.returncode == 0, removed.stderr
    after = State(local_run.state).running()
    assert after is not None
    assert after.services == before.services  # the same processes
    unknown = manage(local_run, "remove", "tokyo")
    assert (unknown.returncode, unknown.stderr) == (2, "remove: no server tokyo was added\n")


def test_what_was_added_is_there_at_the_next_start(local_run: LocalRun) -> None:
    kept = manage(local_run, "add", "tokyo", "--", *TOKYO)
    assert "./justw run starts it" in kept.stdout, kept.stderr
    local_run.start()
    assert f"http://localhost:{local_run.port}/tokyo/mcp" in local_run.text()
    assert call(local_run, "tokyo") == 401


def test_a_detached_run_is_looked_at_restarted_and_stopped_from_beside(local_run: LocalRun) -> None:
    environment = {"GATEWAY_STATE": str(local_run.state), "PORT": str(local_run.port), "COLUMNS": "200"}
    started = subprocess.run(
        [sys.executable, "-m", "gateway.run", "--detach"],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    try:
        assert started.returncode == 0, started.stdout
        assert "password " in started.stdout
        shown = manage(local_run, "status")
        assert shown.stdout.count("healthy") == 6, shown.stdout

        second = subprocess.run(
            [sys.executable, "-m", "gateway.run"],
            cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=200,
        )  # fmt: skip
        assert second.returncode == 2
        assert "runs already" in second.stderr
        assert "./justw stop" in second.stderr
        assert second.stderr.count("\n") == 1

        one = manage(local_run, "restart", "time")
        assert "healthy" in one.stdout, one.stderr
        whole = manage(local_run, "restart")
        assert whole.returncode == 0, whole.stderr
        assert call(local_run, "time") == 401
        assert "auth " in manage(local_run, "logs", "--no-follow", "auth").stdout
    finally:
        stopped = manage(local_run, "stop")
    assert (stopped.returncode, stopped.stdout) == (0, "Stopped.\n")
    assert manage(local_run, "stop").stderr == "stop: no gateway runs here; ./justw run starts one\n"
    kept = b"".join(path.read_bytes() for path in Path(local_run.state).rglob("*") if path.is_file())
    password = started.stdout.split("password ")[1].split()[0]
    assert password.encode() not in kept


def test_a_file_of_servers_is_followed(local_run: LocalRun, tmp_path: Path) -> None:
    file = tmp_path / "mcp.json"

    def write(*names: str) -> None:
        file.write_text(json.dumps({"servers": {name: {"command": TOKYO[0]} for name in names}}))

    write("tokyo")
    local_run.start(str(file))
    write("tokyo", "paris")
    until(lambda: named_by_metadata(local_run, "paris"))
    file.write_text("{")
    running = State(local_run.state).running
    until(lambda: (now := running()) is not None and "not valid JSON" in str(now.problems))
    assert call(local_run, "tokyo") == 401
    write("tokyo")
    until(lambda: (now := running()) is not None and "paris" not in now.services)
    assert "paris" not in manage(local_run, "status").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "x"), "say either a URL, or a command after --"),
        (("add", "x", "--"), "say either a URL, or a command after --"),
        (("add", "x", "http://h/mcp", "--", "true"), "say either a URL, or a command after --"),
        (("add", "x", "ftp://h"), "is no address"),
        (("add", "X", "--", "true"), "is no name"),
        (("add", "time", "--", "true"), "is taken"),
        (("add", "token", "--", "true"), "is taken"),
        (("add", "x", "--", "no-such-program-here"), "is not installed, or not executable"),
        (("add", "x", "--env", "NAME", "--", "true"), "write NAME=VALUE"),
        (("logs", "nobody"), "no log of nobody"),
        (("stop",), "no gateway runs here"),
        (("restart",), "no gateway runs here"),
        (("status",), "no gateway runs here"),
        (("remove", "x"), "no server x was added"),
        (("remove",), "--help"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_sentence(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = manage(LocalRun(0, tmp_path), *arguments, ENV_FILE=str(tmp_path / "none"))
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"{arguments[0]}: ")
