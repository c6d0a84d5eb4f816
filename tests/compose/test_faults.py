"""When something is down, on the real engine: the answer is honest and in time, and nothing is lost."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.compose.stack import HEALTHY_WITHIN, SHAPES, Stack
from tests.compose.test_recovery import known, register
from tests.compose.tokens import access_token

pytestmark = [
    pytest.mark.compose,
    pytest.mark.timeout(1200),
    pytest.mark.parametrize("stack", SHAPES[:1], indirect=True, scope="session"),
]
AUTH = ("auth", "auth-2")
ANSWER_WITHIN = 20.0
"""Seconds after which silence counts as a hang."""
REDIS_CLI = 'REDISCLI_AUTH="$(cat /run/secrets/redis_password)" exec redis-cli "$@"'


def ask_everything(stack: Stack) -> list[httpx.Response]:
    """Metadata of both kinds, a token request, a registration, and a server's address, which is gated."""
    form = {"grant_type": "refresh_token", "refresh_token": "unknown", "client_id": "unknown"}
    client = {"redirect_uris": ["http://127.0.0.1/callback"], "token_endpoint_auth_method": "none"}
    with httpx.Client(base_url=stack.issuer, timeout=ANSWER_WITHIN) as http:
        return [
            http.get("/.well-known/oauth-authorization-server"),
            http.get("/.well-known/oauth-protected-resource/time/mcp"),
            http.post("/token", data=form),
            http.post("/register", json=client),
            http.post(stack.server("time"), json={}),
        ]


SOUND = [200, 200, 401, 201, 401]


def statuses(stack: Stack) -> list[int]:
    return [answer.status_code for answer in ask_everything(stack)]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HEALTHY_WITHIN
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def redis(stack: Stack, *command: str) -> str:
    return stack.compose("exec", "-T", "redis", "sh", "-c", REDIS_CLI, "-", *command).strip()


def audited(stack: Stack) -> list[dict[str, str]]:
    log = stack.compose("exec", "-T", "auth", "cat", "/audit/audit.log")
    return [json.loads(line) for line in log.splitlines()]


@contextmanager
def asking(stack: Stack) -> Iterator[list[tuple[int, str, str]]]:
    """Asks everything, over and over, while the block runs: what it got besides the sound answers."""
    unsound: list[tuple[int, str, str]] = []
    rounds = 0
    done = threading.Event()

    def keep_asking() -> None:
        nonlocal rounds
        while not done.is_set():
            for answer, sound in zip(ask_everything(stack), SOUND, strict=True):
                if answer.status_code != sound:
                    unsound.append((answer.status_code, str(answer.url), answer.text))
            rounds += 1

    threads = [threading.Thread(target=keep_asking) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield unsound
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert rounds > 10


def test_no_request_is_lost_while_auth_is_replaced_and_the_audit_trail_stays(stack: Stack) -> None:
    client = register(stack)
    before = [stack.container(name) for name in AUTH]
    with asking(stack) as unsound:
        stack.compose("up", "--detach", "--no-build", "--wait", "--force-recreate", "--no-deps", "auth")
        stack.compose("up", "--detach", "--no-build", "--wait", "--force-recreate", "--no-deps", "auth-2")
    assert not unsound
    assert set(before).isdisjoint(stack.container(name) for name in AUTH)
    # The containers' own logs went with them.
    registered = [line for line in audited(stack) if line["event"] == "client.register"]
    assert client in {line.get("client") for line in registered}
    assert stack.compose("exec", "-T", "auth-2", "stat", "-c", "%a", "/audit/audit.log").strip() == "600"


@pytest.mark.parametrize("fault", ["kill", "pause"])
def test_without_auth_every_answer_is_503_with_retry_after_within_seconds(stack: Stack, fault: str) -> None:
    stack.compose(fault, *AUTH)
    try:
        for answer in ask_everything(stack):
            assert answer.status_code == 503, (answer.url, answer.text)
            assert int(answer.headers["retry-after"]) > 0
    finally:
        if fault == "pause":
            stack.compose("unpause", *AUTH)
        else:
            stack.compose("start", *AUTH)
    until(lambda: statuses(stack) == SOUND)


def test_one_of_two_that_hangs_keeps_nobody_from_the_other(stack: Stack) -> None:
    stack.compose("pause", "auth")
    try:
        for _ in range(4):  # the gate's own questions, even before the edge has noticed
            assert httpx.post(stack.server("time"), json={}, timeout=ANSWER_WITHIN).status_code == 401
        for _ in range(4):
            assert statuses(stack) == SOUND
    finally:
        stack.compose("unpause", "auth")


@pytest.mark.parametrize("fault", ["stop", "kill", "pause"])
def test_a_server_that_is_away_is_503_behind_the_gate_and_keeps_its_metadata(
    stack: Stack, fault: str
) -> None:
    url = stack.server("time")
    bearer = {"Authorization": f"Bearer {access_token(stack, url)}", "Accept": "application/json"}

    def told_to_wait() -> bool:
        try:
            answer = httpx.post(url, json={}, headers=bearer, timeout=5)
        except httpx.ReadTimeout:
            return False  # it hangs, and the edge has not noticed yet
        # Until the authorization server has heard of it too, the edge's own 503 passes, without a header.
        return answer.status_code == 503 and "retry-after" in answer.headers

    stack.compose(fault, "time")
    try:
        until(told_to_wait)
        answer = httpx.post(url, json={}, headers=bearer, timeout=60)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert "json" in answer.headers["content-type"]
        assert httpx.post(url, json={}, timeout=ANSWER_WITHIN).status_code == 401
        assert ask_everything(stack)[1].status_code == 200
    finally:
        stack.compose("unpause" if fault == "pause" else "start", "time")
    until(lambda: httpx.post(url, json={}, headers=bearer, timeout=60).status_code not in (503, 404))


def test_routes_stay_while_the_engine_cannot_be_asked(stack: Stack) -> None:
    stack.compose("kill", "engine")
    try:
        assert statuses(stack) == SOUND
    finally:
        stack.compose("start", "engine")
    assert statuses(stack) == SOUND


def unwell(stack: Stack) -> bool:
    """Whether both replicas have noticed: each remembers for a second how its store was."""
    asked = [httpx.get(f"{stack.issuer}/health", timeout=ANSWER_WITHIN).status_code for _ in range(4)]
    return asked == [503] * 4


def test_a_full_redis_is_named_in_health_and_in_each_503(stack: Stack) -> None:
    client = register(stack)
    full = "has no memory left"
    cap = redis(stack, "config", "get", "maxmemory").split()[1]
    redis(stack, "config", "set", "maxmemory", "1")
    try:
        until(lambda: unwell(stack))
        health = httpx.get(f"{stack.issuer}/health", timeout=ANSWER_WITHIN)
        assert full in health.json()["reason"]
        refused = ask_everything(stack)[3]
        assert refused.status_code == 503
        assert full in refused.json()["error_description"]
        assert int(refused.headers["retry-after"]) > 0
        assert known(stack, client)
    finally:
        redis(stack, "config", "set", "maxmemory", cap)
    until(lambda: httpx.get(f"{stack.issuer}/health", timeout=ANSWER_WITHIN).status_code == 200)
    assert statuses(stack) == SOUND


def test_redis_is_capped_below_its_container_and_keeps_all_it_answered(stack: Stack) -> None:
    given = redis(stack, "config", "get", "maxmemory*", "appendfsync", "appendonly").split()
    settings = dict(zip(given[::2], given[1::2], strict=True))
    assert 0 < 2 * int(settings["maxmemory"]) <= int(stack.inspect("redis", "{{.HostConfig.Memory}}"))
    assert settings["maxmemory-policy"] == "noeviction"
    assert (settings["appendonly"], settings["appendfsync"]) == ("yes", "always")
    client = register(stack)
    stack.kill("redis")
    until(lambda: httpx.get(f"{stack.issuer}/health", timeout=ANSWER_WITHIN).status_code == 200)
    assert known(stack, client)


def test_redis_that_is_away_or_hangs_is_named(stack: Stack) -> None:
    stack.compose("pause", "redis")
    try:
        until(lambda: unwell(stack))
        answer = httpx.get(f"{stack.issuer}/health", timeout=ANSWER_WITHIN)
        assert "does not answer" in answer.json()["reason"]
        refused = ask_everything(stack)[3]
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
    finally:
        stack.compose("unpause", "redis")
    until(lambda: statuses(stack) == SOUND)


def test_sqlite_on_a_full_disk_is_named_in_health_and_in_each_503(stack: Stack) -> None:
    """The authorization server's image by itself, on a disk of one megabyte."""
    program = """
import json, os, subprocess, time, urllib.error, urllib.request
def ask(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    try:
        answer = urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:8000" + path, data, headers))
    except urllib.error.HTTPError as error:
        answer = error
    except OSError:
        return 0, {}, ""
    return answer.status, dict(answer.headers), answer.read().decode()
server = subprocess.Popen(["mcp-oauth-server"], stdout=subprocess.DEVNULL)
while ask("/health")[0] != 200: time.sleep(0.1)
client = {"redirect_uris": ["http://127.0.0.1/callback"], "client_name": "x" * 100}
print(json.dumps(ask("/register", client)[0]))
with open("/data/room", "wb", buffering=0) as room:
    try:
        while True: room.write(b"x" * 4096)
    except OSError: pass
while ask("/register", client)[0] == 201: pass
print(json.dumps(ask("/register", client)))
deadline = time.monotonic() + 20
while ask("/health")[0] == 200 and time.monotonic() < deadline: time.sleep(0.2)
print(json.dumps(ask("/health")))
os.remove("/data/room")
while ask("/health")[0] != 200 and time.monotonic() < deadline: time.sleep(0.2)
print(json.dumps(ask("/register", client)[0]))
server.kill()
"""
    settings = {
        "PUBLIC_URL": "http://localhost:8000",
        "LOCAL_ACCOUNTS": "true",
        "GATEWAY_SECRET": "0123456789abcdef" * 2,
        "STORE_URL": "sqlite:////data/auth.db",
        "REGISTRATIONS_PER_HOUR": "1000000",
    }
    variables = [f"--env={name}={value}" for name, value in settings.items()]
    said = stack.engine.docker(
        "run", "--rm", "--network=none", "--tmpfs=/data:size=1m,uid=10001", *variables, "--entrypoint=python",
        "mcp-oauth-gateway/auth:test", "-c", program, timeout=120,
    )  # fmt: skip
    registered, refused, health, again = map(json.loads, said.splitlines())
    assert (registered, again) == (201, 201)
    assert refused[0] == 503
    assert "the disk is full" in refused[2]
    assert int({name.lower(): value for name, value in refused[1].items()}["retry-after"]) > 0
    assert health[0] == 503
    assert "the disk is full" in health[2]
