"""Two replicas of echo-stateful, with a Redis of their own: one state, and a user who sees nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.engine import Engine
from tests.compose.stack import Stack, start_compose
from tests.compose.test_isolation import connect
from tests.compose.test_profiles import Session

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1200)]

CALLS = """
import urllib.request
page = urllib.request.Request("http://127.0.0.1:3000/metrics", headers={{"Host": {host!r}}})
lines = urllib.request.urlopen(page).read().decode().splitlines()
print(sum(float(line.rpartition(" ")[2]) for line in lines if "replayLastEcho" in line and "_total" in line))
"""
REDIS_CLI = 'REDISCLI_AUTH="$(cat /run/secrets/echo_redis_password)" exec redis-cli --user echo "$@"'


@pytest.fixture(scope="module")
def replicas(engine: Engine, images: dict[str, str], folder: Path) -> Iterator[Stack]:
    settings = {
        "COMPOSE_PROFILES": "echo-redis",
        "ECHO_STATE_URL": "redis://echo@echo-redis:6379/0",
        "ECHO_REPLICAS": "2",
    }
    with start_compose(engine, images, folder, "one host", **settings) as stack:
        yield stack


def redis(stack: Stack, *command: str) -> str:
    return stack.compose("exec", "-T", "echo-redis", "sh", "-c", REDIS_CLI, "-", *command).strip()


def test_a_session_is_the_same_at_both(replicas: Stack) -> None:
    client = {"name": "test", "version": "1"}
    about = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}
    with Session(replicas, "echo-stateful") as session:
        session.post(id=1, method="initialize", params=about)
        session.post(method="notifications/initialized")
        message = {"name": "echo", "arguments": {"message": "kept by both"}}
        session.post(id=2, method="tools/call", params=message)
        for number in range(8):
            replay = {"name": "replayLastEcho", "arguments": {}}
            answer = session.post(id=3 + number, method="tools/call", params=replay)
            assert answer is not None
            assert answer["result"]["structuredContent"]["message"] == "kept by both"
    containers = replicas.container("echo-stateful").split()
    assert len(containers) == 2
    program = CALLS.format(host=replicas.issuer.removeprefix("http://"))
    served = [float(replicas.engine.docker("exec", one, "python", "-c", program)) for one in containers]
    assert all(served), served
    assert sum(served) >= 8


def test_their_redis_knows_one_user_with_keys_of_his_own(replicas: Stack) -> None:
    assert redis(replicas, "ping") == "PONG"
    for command in (("get", "auth:secret"), ("config", "get", "*"), ("flushall",), ("keys", "*")):
        assert redis(replicas, *command).startswith("NOPERM"), command
    nobody = replicas.compose("exec", "-T", "echo-redis", "redis-cli", "get", "echo:health").strip()
    assert nobody.startswith("NOAUTH")


def test_it_is_reached_by_echo_alone_and_echo_reaches_no_other(replicas: Stack) -> None:
    assert connect(replicas, "echo-stateful", ("echo-redis", 6379), ("redis", 6379), ("auth", 8000)) == [
        "connected",
        "no such name",
        "no such name",
    ]
    for service in ("time", "fetch", "echo-stateless", "auth"):
        assert connect(replicas, service, ("echo-redis", 6379)) == ["no such name"], service


def test_its_password_is_in_nobodys_environment(replicas: Stack) -> None:
    secret = replicas.secrets["ECHO_REDIS_PASSWORD"]
    assert secret
    for container in (*replicas.container("echo-stateful").split(), replicas.container("echo-redis")):
        assert secret not in replicas.engine.docker("inspect", container)
