"""`just doctor` on what `up` started: a sound gateway, and each of several that are broken in one way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.doctor_containers import HASH, SERVICE, Container, check_containers
from tests.compose.stack import ROOT, SHAPES, Stack, free_port
from tests.compose.test_faults import until
from tests.compose.test_stack import SERVERS, knowing_names

Finding = dict[str, str]


def told(**state: Any) -> dict[str, Any]:
    """A container as `docker inspect` tells it (engine 28), sound unless something else is said."""
    restarts = state.pop("RestartCount", 0)
    health = state.pop("Health", {"Status": "healthy", "Log": [{"ExitCode": 0, "Output": "ok\n"}]})
    return {
        "Name": "/gw-time-1",
        "RestartCount": restarts,
        "State": {
            "Status": "running", "OOMKilled": False, "ExitCode": 0, "Error": "", "Health": health, **state,
        },
        "Config": {"Labels": {SERVICE: "time", HASH: "one"}, "ExposedPorts": {"3000/tcp": {}}},
        "NetworkSettings": {
            "Networks": {"gw_servers": {"IPAddress": "172.18.0.5"}},
            "Ports": {"3000/tcp": None, "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]},
        },
    }  # fmt: skip


def test_a_container_is_read_as_the_engine_tells_it() -> None:
    one = Container.of(told())
    assert (one.service, one.name, one.state, one.health, one.said) == (
        "time", "gw-time-1", "running", "healthy", "ok",
    )  # fmt: skip
    assert (one.addresses, one.ports) == ({"gw_servers": "172.18.0.5"}, [3000])
    assert one.published == {80: ("0.0.0.0", 8080)}
    assert [found.state for found in check_containers({"time": "one"}, [one])] == ["well"]


@pytest.mark.parametrize(
    ("state", "what", "cure"),
    [
        ({"Status": "paused"}, "time is paused", "docker unpause gw-time-1"),
        ({"Status": "exited", "ExitCode": 137, "OOMKilled": True}, "status 137, out of memory", "logs time"),
        ({"Status": "restarting", "ExitCode": 1}, "ends again and again, last with status 1", "logs time"),
        ({"Status": "created", "Error": "port is taken"}, "does not run: created", "logs time"),
        ({"Health": {"Status": "unhealthy", "Log": [{"Output": "no"}]}}, "is unhealthy", "restart time"),
        ({"Health": {"Status": "starting", "Log": None}}, "is starting", "wait"),
        ({"RestartCount": 3}, "started again 3 times", "logs time"),
    ],
)
def test_what_is_wrong_with_a_container_is_named(state: dict[str, Any], what: str, cure: str) -> None:
    [found] = check_containers({"time": "one"}, [Container.of(told(**state))])
    assert (found.hop, found.state in ("wrong", "warning")) == ("process", True)
    assert what in found.what
    assert cure in found.cure


def test_a_container_that_is_missing_or_runs_with_other_settings_is_named() -> None:
    changed, missing = check_containers({"time": "two", "fetch": "x"}, [Container.of(told())])
    assert (changed.state, "./justw up" in changed.cure) == ("warning", True)
    assert (missing.state, missing.what) == ("wrong", "fetch has no container")
    [nothing] = check_containers({"time": "one"}, [])
    assert "./justw up starts it" in nothing.cure


def doctor(stack: Stack, *starter: str, **variables: str) -> list[Finding]:
    done = subprocess.run(
        [*starter, sys.executable, "-m", "gateway.doctor", "--json"],
        cwd=ROOT,
        env={**stack.environment, "GATEWAY_STATE": str(stack.env_file.parent / "no-local-run"), **variables},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.stderr == "", done.stderr
    said = json.loads(done.stdout)
    wrong = [hop for hop in said["hops"] if hop["state"] == "wrong"]
    assert (said["well"], done.returncode) == (not wrong, 1 if wrong else 0)
    return list(said["hops"])


def named(found: list[Finding], hop: str, what: str) -> Finding:
    """The finding at this hop that says so; it has a rule and a cure."""
    ill = [one for one in found if one["state"] in ("wrong", "warning")]
    fitting = [one for one in ill if one["hop"] == hop and what in one["what"]]
    assert fitting, ill
    assert fitting[0]["rule"]
    assert fitting[0]["cure"]
    return fitting[0]


one_shape = pytest.mark.parametrize("stack", SHAPES[:1], indirect=True, scope="session")
engine = pytest.mark.compose
patient = pytest.mark.timeout(1200)


@engine
@patient
def test_a_sound_gateway_is_well_from_inside_and_outside(stack: Stack, folder: Path) -> None:
    found = doctor(stack, *knowing_names(stack, folder))
    assert not [one for one in found if one["state"] == "wrong"], found
    well = [one for one in found if one["state"] == "well"]
    assert {one["hop"] for one in well} >= {
        "process", "port", "edge", "disk", "https", "store", "keys", "person", "dns", "tcp", "issuer",
        "clock", "server", "audience",
    }  # fmt: skip
    for name in SERVERS:
        ways = [one["what"] for one in well if one["what"].startswith(f"{name}: ")]
        assert len(ways) == 2, ways
        assert "from inside" in ways[0]
        assert "challenge, metadata, token" in ways[1]
    assert "operator:doctor" not in stack.compose("exec", "-T", "auth", "mcp-oauth-server", "tokens", "list")


@engine
@patient
@one_shape
def test_a_server_that_was_stopped(stack: Stack) -> None:
    stack.compose("stop", "time")
    try:
        found = doctor(stack)
    finally:
        stack.compose("start", "time")
        stack.wait_healthy()
    assert "./justw logs time" in named(found, "process", "time does not run: exited")["cure"]
    assert not [one for one in found if one["state"] == "wrong" and "echo-stateful" in one["what"]]


@engine
@patient
@one_shape
def test_an_authorization_server_that_is_paused(stack: Stack) -> None:
    def noticed() -> bool:
        """By the edge: until then it waits for the answer, as the doctor would."""
        try:
            metadata = f"{stack.issuer}/.well-known/oauth-authorization-server"
            return httpx.get(metadata, timeout=5).status_code == 503
        except httpx.ReadTimeout:
            return False

    stack.compose("pause", "auth", "auth-2")
    try:
        until(noticed)
        found = doctor(stack)
    finally:
        stack.compose("unpause", "auth", "auth-2")
        stack.wait_healthy()
    for name in ("auth", "auth-2"):
        cure = named(found, "process", f"{name} is paused")["cure"]
        assert cure.startswith("docker unpause ")
    named(found, "authorization server", "reaches no replica")


@engine
@patient
@one_shape
def test_an_address_that_is_not_the_gateways(stack: Stack) -> None:
    address = f"http://localhost:{free_port()}"
    found = doctor(stack, PUBLIC_URL=address)
    wrong = named(found, "url", f"nobody answers at {address}")
    assert f"http://localhost:{stack.port}" in wrong["cure"]
    assert "./justw up" in named(found, "process", "auth runs with other settings")["cure"]
