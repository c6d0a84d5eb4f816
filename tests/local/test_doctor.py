"""`just doctor` on gateways that are broken, each in one way: it names the hop and the cure."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from markupsafe import escape
from mcp_oauth_dynamicclient.app import open_context
from mcp_oauth_dynamicclient.operator_token import issued

from gateway import doctor_client
from gateway.doctor_ask import Inside
from gateway.doctor_client import Known
from gateway.doctor_local import settings_of
from gateway.doctor_troubles import TROUBLES, trouble
from gateway.state import ServiceState, State
from tests.conftest import ROOT, LocalRun, free_port
from tests.local.test_expired import issue
from tests.local.test_life import until

Finding = dict[str, str]


def doctor(run: LocalRun, *starter: str, status: int | None = None) -> list[Finding]:
    """What it finds; with the exit status that is expected."""
    done = subprocess.run(
        [*starter, sys.executable, "-m", "gateway.doctor", "--json"],
        cwd=ROOT,
        env={**os.environ, "GATEWAY_STATE": str(run.state), "ENV_FILE": str(run.state / "none")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stderr == "" or status is None, done.stderr
    said = json.loads(done.stdout)
    wrong = [hop for hop in said["hops"] if hop["state"] == "wrong"]
    assert said["well"] is not bool(wrong)
    assert done.returncode == (1 if wrong else 0)
    if status is not None:
        assert done.returncode == status, wrong
    return list(said["hops"])


def named(found: list[Finding], hop: str, what: str) -> Finding:
    """The one finding at this hop that says so; it has a rule and a cure."""
    ill = [one for one in found if one["state"] in ("wrong", "warning")]
    fitting = [one for one in ill if one["hop"] == hop and what in one["what"]]
    assert fitting, ill
    assert fitting[0]["rule"]
    assert fitting[0]["cure"]
    return fitting[0]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRun]:
    """A gateway with two servers of somebody's own: one is not installed, one ends at once."""
    run = LocalRun(free_port(), tmp_path_factory.mktemp("doctor"))
    servers = {"missing": {"command": "no-such-program-here"}, "exits": {"command": "false"}}
    (run.state / "servers.json").write_text(json.dumps({"mcpServers": servers}))
    run.start()
    yield run
    run.stop()


@pytest.fixture(scope="module")
def at_first(sound: LocalRun) -> list[Finding]:
    return doctor(sound, status=1)


def test_what_is_well_is_said_and_nothing_else_is_wrong(sound: LocalRun, at_first: list[Finding]) -> None:
    assert not {one["hop"] for one in at_first if one["state"] in ("wrong", "warning")} - {"server"}, at_first
    well = {one["hop"] for one in at_first if one["state"] == "well"}
    assert well >= {
        "process", "port", "authorization server", "edge", "disk", "store", "keys", "person", "tcp", "issuer",
        "clock", "server", "token", "audience",
    }  # fmt: skip
    assert any("time: " in one["what"] and " 2 tools" in one["what"] for one in at_first)
    log = (sound.state / "logs" / "auth.log").read_text()
    assert "operator:doctor-time" in log
    listed = subprocess.run(
        [sys.executable, "-m", "gateway.run", "--auth", "tokens", "list"],
        cwd=ROOT, env={**os.environ, "GATEWAY_STATE": str(sound.state)}, capture_output=True, text=True,
    )  # fmt: skip
    assert listed.stdout == "", listed.stdout  # its own tokens are gone


def test_a_server_that_is_missing(at_first: list[Finding]) -> None:
    assert "PATH" in named(at_first, "server", "the program of missing")["rule"]
    assert "install it" in named(at_first, "server", "the program of missing")["cure"]


def test_a_server_that_exits_at_once(at_first: list[Finding]) -> None:
    assert "logs exits" in named(at_first, "server", "exits ends at once")["cure"]


def page(run: LocalRun) -> str:
    return httpx.get(f"http://localhost:{run.port}/", headers={"Accept": "text/html"}, timeout=60).text


def test_the_page_at_the_machine_says_what_it_found(sound: LocalRun, at_first: list[Finding]) -> None:
    wrong = [one for one in at_first if one["state"] == "wrong"]
    assert len(wrong) == 2
    for one in wrong:
        until(lambda: escape(one["what"]) in page(sound))  # noqa: B023
        assert escape(one["cure"]) in page(sound)


def test_the_page_says_by_itself_what_ended(sound: LocalRun, at_first: list[Finding]) -> None:
    """Nobody asks the doctor."""
    running = State(sound.state).running()
    assert running is not None
    os.kill(running.services["echo-stateless"].pid, signal.SIGKILL)
    until(lambda: "echo-stateless ended with status -9" in page(sound))


async def test_servers_are_asked_past_the_gate_with_the_gates_own_word(sound: LocalRun) -> None:
    """As under compose, where the program that asks runs in a container of the servers' network."""
    running = State(sound.state).running()
    assert running is not None
    settings = settings_of(State(sound.state), running, {})
    known = {"time": Known(running.services["time"].url), "nobody": Known("http://nobody/mcp")}
    addresses = {known["time"].url: f"http://127.0.0.1:{running.services['time'].port}/mcp"}
    addresses[known["nobody"].url] = f"http://127.0.0.1:{free_port()}/mcp"
    async with (
        open_context(settings, io.StringIO()) as ctx,
        issued(ctx, known["time"].url, "doctor") as given,
        Inside([sys.executable], addresses) as way,
    ):
        refused = await way.ask("POST", known["time"].url, json={})
        assert refused.status == 403
        answered = await doctor_client.call(way, "time", known["time"], given.statement, "from inside")
        assert (answered.state, answered.what) == ("well", "time: from inside, initialize, 2 tools")
        with pytest.raises(httpx.ConnectError, match="refused"):
            await way.ask("POST", known["nobody"].url, json={})


def test_without_a_gateway(tmp_path_factory: pytest.TempPathFactory) -> None:
    run = LocalRun(0, tmp_path_factory.mktemp("none"))
    assert "./justw run" in named(doctor(run, status=1), "process", "no gateway")["cure"]


def test_on_a_server_without_an_engine(tmp_path: Path) -> None:
    """What `up` started is meant there, rather than a local run."""
    (tmp_path / ".env").touch()
    places = {"GATEWAY_STATE": str(tmp_path / "state"), "ENV_FILE": str(tmp_path / ".env")}
    nobody = {"DOCKER_HOST": f"unix://{tmp_path}/docker.sock"}
    said = subprocess.run(
        [sys.executable, "-m", "gateway.doctor", "--json"],
        cwd=ROOT, env={**os.environ, **places, **nobody}, capture_output=True, text=True,
    )  # fmt: skip
    assert said.returncode == 1, said.stderr
    assert "start the engine" in named(json.loads(said.stdout)["hops"], "process", "engine")["cure"]


def test_the_text_names_hop_rule_and_cure(sound: LocalRun) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "gateway.doctor"],
        cwd=ROOT, env={**os.environ, "GATEWAY_STATE": str(sound.state)}, capture_output=True, text=True,
    )  # fmt: skip
    assert shown.returncode == 1
    assert "WRONG  server" in shown.stdout
    assert "rule: a stdio server runs until its input ends" in shown.stdout
    assert "cure: run its command by hand" in shown.stdout
    assert "2 wrong" in shown.stdout


def auth(run: LocalRun, *arguments: str) -> None:
    """As `just auth` does."""
    subprocess.run(
        [sys.executable, "-m", "gateway.run", "--auth", *arguments],
        cwd=ROOT, env={**os.environ, "GATEWAY_STATE": str(run.state)}, check=True, capture_output=True,
    )  # fmt: skip


def call(run: LocalRun, name: str, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
    return httpx.post(
        f"http://localhost:{run.port}/{name}/mcp", json={}, headers=headers, timeout=60
    ).status_code


def lose_the_cookie(run: LocalRun) -> int:
    """A client registers, its person's browser shows the consent page, and approves without the cookie."""
    url = f"http://localhost:{run.port}"
    client = {"redirect_uris": ["http://127.0.0.1/callback"], "token_endpoint_auth_method": "none"}
    query = {
        "response_type": "code",
        "client_id": httpx.post(f"{url}/register", json=client, timeout=60).json()["client_id"],
        "redirect_uri": "http://127.0.0.1/callback",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
        "resource": f"{url}/time/mcp",
        "state": "state",
    }
    page = httpx.get(f"{url}/authorize", params=query, timeout=60)
    ticket = re.search(r'name="ticket" value="([^"]+)"', page.text)
    assert ticket, page.text
    answer = {"ticket": ticket[1], "decision": "approve"}
    return httpx.post(f"{url}/consent", data=answer, headers={"Origin": url}, timeout=60).status_code


@pytest.fixture(scope="module")
def after_refusals(sound: LocalRun, at_first: list[Finding]) -> list[Finding]:
    """Four clients were refused, each for a reason of its own, and a person was disabled."""
    resource = f"http://localhost:{sound.port}/time/mcp"
    token = asyncio.run(issue(sound, resource, time.time))
    head, _, signature = token.rpartition(".")
    assert call(sound, "time", asyncio.run(issue(sound, resource, lambda: time.time() - 7200))) == 401
    assert call(sound, "time", f"{head}.{signature[::-1]}") == 401
    assert call(sound, "fetch", token) == 401
    assert lose_the_cookie(sound) == 400
    auth(sound, "users", "disable", "admin")
    log = sound.state / "logs" / "auth.log"
    until(lambda: "The cookie proves" in log.read_text())
    found = doctor(sound, status=1)
    auth(sound, "users", "enable", "admin")
    return found


@pytest.mark.parametrize(
    ("hop", "said", "cure"),
    [
        ("token", "The access token has expired.", "connect the client anew"),
        ("token", "The signature of the access token is wrong.", "invented a token"),
        ("audience", "The access token is for another server.", "sign in at this server too"),
        ("cookie", "The cookie proves that the browser", "allow cookies"),
    ],
    ids=["expired", "forged", "wrong audience", "cookie lost"],
)
def test_why_a_client_was_refused(after_refusals: list[Finding], hop: str, said: str, cure: str) -> None:
    fitting = [one for one in after_refusals if one.get("said", "").startswith(said)]
    assert [one["hop"] for one in fitting] == [hop], after_refusals
    assert fitting[0]["state"] == "warning"
    assert "refused 1 times" in fitting[0]["what"]
    assert cure in fitting[0]["cure"]


def test_a_person_who_is_disabled(after_refusals: list[Finding]) -> None:
    assert "auth users enable admin" in named(after_refusals, "person", "disabled: admin")["cure"]


def test_a_clock_that_is_off_by_ten_minutes(sound: LocalRun) -> None:
    """The doctor's machine is ahead of the gateway's."""
    found = named(doctor(sound, "faketime", "-f", "+10m"), "clock", "behind this machine's")
    assert "NTP" in found["cure"]


def test_a_database_that_is_locked(sound: LocalRun) -> None:
    with closing(sqlite3.connect(sound.state / "auth.db", isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        found = named(doctor(sound, status=1), "store", "locked")
    assert f"process {os.getpid()} " in found["cure"]


@pytest.fixture(scope="module")
def moved(sound: LocalRun) -> Iterator[LocalRun]:
    """The same gateway, with a client's grant, started at another port, and with https by mistake."""
    asyncio.run(issue(sound, f"http://localhost:{sound.port}/time/mcp", time.time))
    sound.stop()
    run = LocalRun(free_port(), sound.state)
    run.start(PUBLIC_URL=f"https://localhost:{run.port}")
    yield run
    run.stop()


@pytest.fixture(scope="module")
def at_last(moved: LocalRun) -> list[Finding]:
    return doctor(moved, status=1)


def process_of_auth(run: LocalRun) -> ServiceState:
    running = State(run.state).running()
    assert running is not None
    return running.services["auth"]


def test_a_port_that_changed(sound: LocalRun, moved: LocalRun, at_last: list[Finding]) -> None:
    found = named(at_last, "url", f"connected at http://localhost:{sound.port}")
    assert f"https://localhost:{moved.port}" in found["cure"]
    assert "PORT=" in found["cure"]


def test_https_to_an_http_port(moved: LocalRun, at_last: list[Finding]) -> None:
    found = named(at_last, "tls", "speaks plain http")
    assert f"PUBLIC_URL=http://localhost:{moved.port}" in found["cure"]


def test_an_authorization_server_that_hangs(moved: LocalRun) -> None:
    pid = process_of_auth(moved).pid
    os.kill(pid, signal.SIGSTOP)
    try:
        found = named(doctor(moved, status=1), "process", "of auth is stopped")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert f"kill -CONT {pid}" in found["cure"]


def test_an_authorization_server_that_was_killed(moved: LocalRun) -> None:
    """Whether or not it has been started again by now."""
    os.kill(process_of_auth(moved).pid, signal.SIGKILL)
    until(lambda: bool(process_of_auth(moved).ended))
    found = named(doctor(moved), "process", "auth ")
    assert "status -9" in found["what"]
    assert "logs auth" in found["cure"]


def test_a_database_that_was_wiped(moved: LocalRun) -> None:
    for file in moved.state.glob("auth.db*"):
        file.unlink()
    # Its process has the old file open still, or has made a new one already.
    assert "backup" in named(doctor(moved, status=1), "store", "database")["cure"]


def test_an_address_that_is_not_the_gateways(local_run: LocalRun) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and never listens
        address = f"http://localhost:{nobody.getsockname()[1]}"
        local_run.start(PUBLIC_URL=address)
        found = doctor(local_run, status=1)
    wrong = named(found, "url", f"nobody answers at {address}")
    assert "PUBLIC_URL" in wrong["cure"]
    assert f"http://localhost:{local_run.port}" in wrong["cure"]
    assert [one["state"] for one in found if one["hop"] == "edge"] == ["well"]


def test_every_trouble_has_all_its_words() -> None:
    """The page on troubles is made from them."""
    values = {"name": "x", "pid": 1, "url": "x", "local": "x", "plain": "x", "file": "x", "holders": "x",
              "folder": "x", "command": "x", "container": "x", "host": "x", "setting": "x"}  # fmt: skip
    for key, known in TROUBLES.items():
        assert known.noticed
        assert trouble(key, "what", "", **values).cure
