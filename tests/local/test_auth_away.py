"""The authorization server's replicas come and go behind the real edge: nothing is lost, nothing hangs, and
who asks while none is there is told when to ask again."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from gateway.services import Service, edge, free_port, new_internal

WITHIN = 90.0
"""Seconds after which an answer, or a change that is waited for, counts as missing."""
DRAIN = 7
REGISTRATION = {
    "client_name": "Test",
    "redirect_uris": ["http://127.0.0.1/callback"],
    "token_endpoint_auth_method": "none",
}


@dataclass
class Replicas:
    url: str
    ports: tuple[int, int]
    environment: dict[str, str]
    running: dict[int, asyncio.subprocess.Process] = field(default_factory=dict)

    async def start(self, port: int) -> None:
        self.running[port] = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "mcp-oauth-server"),
            "serve", "--port", str(port), "--drain", str(DRAIN), "--log-level", "error",
            env=self.environment, stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        async with httpx.AsyncClient(timeout=WITHIN) as http:
            await until(lambda: answers(http, f"http://127.0.0.1:{port}/live", 200))

    async def end(self, port: int, number: signal.Signals = signal.SIGTERM) -> None:
        process = self.running.pop(port)
        process.send_signal(number)
        await asyncio.wait_for(process.wait(), WITHIN)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WITHIN):
        while not await condition():
            await asyncio.sleep(0.05)


async def answers(http: httpx.AsyncClient, url: str, status: int) -> bool:
    try:
        return (await http.get(url)).status_code == status
    except httpx.TransportError:
        return False


async def was_asked(http: httpx.AsyncClient, port: int) -> bool:
    """Whether the edge has sent the gate's questions to this replica."""
    metrics = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
    return 'mcp_oauth_verify_total{outcome="no token"} 0.0' not in metrics


async def is_taken_in(http: httpx.AsyncClient, url: str, port: int) -> bool:
    """The same, once the edge had something to ask."""
    await http.post(f"{url}/time/mcp", json={})
    return await was_asked(http, port)


@asynccontextmanager
async def started(tmp_path: Path, **settings: str) -> AsyncIterator[Replicas]:
    """Two replicas on one store, behind Traefik as a local run starts it."""
    port, ports = free_port(), (free_port(), free_port())
    url = f"http://localhost:{port}"
    environment = {
        "PATH": os.environ["PATH"],
        "PUBLIC_URL": url,
        "GATEWAY_SECRET": secrets.token_hex(32),
        "STORE_URL": f"sqlite:///{tmp_path / 'auth.db'}",
        "LOCAL_ACCOUNTS": "true",
        "REGISTRATIONS_PER_HOUR": "1000000",
        **settings,
    }
    replicas = Replicas(url, ports, environment)
    services = [Service("auth", (), one, served=False) for one in ports]
    traefik = edge([*services, Service("time", (), free_port())], port, url, new_internal())
    process = await asyncio.create_subprocess_exec(
        *traefik.command, env={**os.environ, **traefik.environment}
    )
    try:
        for one in ports:
            await replicas.start(one)
        async with httpx.AsyncClient(timeout=WITHIN) as http:
            await until(lambda: answers(http, f"{url}/.well-known/oauth-authorization-server", 200))
            for one in ports:
                await until(lambda one=one: is_taken_in(http, url, one))  # type: ignore[misc]
        yield replicas
    finally:
        process.terminate()
        await process.wait()
        for replica in replicas.running.values():
            if replica.returncode is None:
                replica.kill()
            await replica.wait()


@pytest.fixture
async def replicas(tmp_path: Path) -> AsyncIterator[Replicas]:
    async with started(tmp_path) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=WITHIN) as client:
        yield client


async def ask_everything(http: httpx.AsyncClient, url: str) -> list[httpx.Response]:
    """Metadata, a registration, a token request, and a server's address, which the gate is asked about."""
    form = {"grant_type": "refresh_token", "refresh_token": "unknown", "client_id": "unknown"}
    return list(
        await asyncio.gather(
            http.get(f"{url}/.well-known/oauth-authorization-server"),
            http.get(f"{url}/.well-known/oauth-protected-resource/time/mcp"),
            http.post(f"{url}/register", json=REGISTRATION),
            http.post(f"{url}/token", data=form),
            http.post(f"{url}/time/mcp", json={}),
        )
    )


SOUND = [200, 200, 201, 401, 401]


async def test_no_request_is_lost_while_replicas_are_replaced(
    replicas: Replicas, http: httpx.AsyncClient
) -> None:
    seen: Counter[tuple[int, ...]] = Counter()
    unsound: list[tuple[int, str, str]] = []
    replaced = asyncio.Event()

    async def keep_asking() -> None:
        while not replaced.is_set():
            given = await ask_everything(http, replicas.url)
            seen[tuple(answer.status_code for answer in given)] += 1
            unsound.extend(
                (answer.status_code, answer.url.path, answer.text)
                for answer, sound in zip(given, SOUND, strict=True)
                if answer.status_code != sound
            )

    async with asyncio.TaskGroup() as asking:
        for _ in range(3):
            asking.create_task(keep_asking())
        for port in replicas.ports:
            await replicas.end(port)
            await replicas.start(port)
            await until(lambda port=port: was_asked(http, port))  # type: ignore[misc]
        replaced.set()
    assert not unsound
    assert seen.total() > 20


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hung"])
async def test_without_a_replica_every_answer_is_503_and_says_when_to_ask_again(
    replicas: Replicas, http: httpx.AsyncClient, number: signal.Signals
) -> None:
    for process in replicas.running.values():
        process.send_signal(number)
    for answer in await ask_everything(http, replicas.url):
        assert answer.status_code == 503, answer.text
        assert "retry-after" in answer.headers, answer.text
        assert int(answer.headers["retry-after"]) > 0
    for port in replicas.ports:
        if number == signal.SIGSTOP:
            replicas.running[port].send_signal(signal.SIGCONT)
        else:
            await replicas.running[port].wait()
            await replicas.start(port)

    async def sound() -> bool:
        return [answer.status_code for answer in await ask_everything(http, replicas.url)] == SOUND

    await until(sound)


async def test_one_replica_that_hangs_keeps_nobody_from_the_other(
    replicas: Replicas, http: httpx.AsyncClient
) -> None:
    replicas.running[replicas.ports[0]].send_signal(signal.SIGSTOP)
    for _ in range(4):
        refused = await http.post(f"{replicas.url}/time/mcp", json={})
        assert refused.status_code == 401


async def test_what_a_replica_itself_says_passes(tmp_path: Path, http: httpx.AsyncClient) -> None:
    async with started(tmp_path, STORE_URL=f"redis://127.0.0.1:{free_port()}/0") as replicas:
        for answer in (
            await http.get(f"{replicas.url}/health"),
            await http.post(f"{replicas.url}/register", json=REGISTRATION),
        ):
            assert answer.status_code == 503
            assert "store" in answer.text
