"""The gateway as a stack of a real engine in Swarm mode, in a network namespace that nobody else is in."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.replica_seal import ReplicaSeal
from gateway import deploy_swarm, environment
from gateway.swarm import PORT
from tests.compose.engine import CACHE, Engine, own_engine
from tests.compose.stack import ROOT, Stack, prepare

ADDRESS = "10.98.0.1"
ACCOUNTS = ("admin", "ada", "grace", "hedy")
REPLACED_WITHIN = 240.0
LISTED = "label=com.docker.swarm.service.name={}"


@dataclass(frozen=True)
class Cluster:
    stack: Stack

    @property
    def engine(self) -> Engine:
        return self.stack.engine

    def name(self, service: str) -> str:
        return f"{self.stack.project}_{service}"

    def containers(self, service: str) -> list[str]:
        listed = LISTED.format(self.name(service))
        return sorted(self.engine.docker("ps", "--quiet", "--filter", listed).split())

    async def kill(self, service: str) -> None:
        """SIGKILL to one container's first process; until another is there."""
        before = await asyncio.to_thread(self.containers, service)
        pid = int(self.engine.docker("inspect", "--format", "{{.State.Pid}}", before[0]))
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + REPLACED_WITHIN
        while True:
            now = await asyncio.to_thread(self.containers, service)
            if before[0] not in now and len(now) == len(before):
                break
            assert time.monotonic() < deadline, f"{service} was not replaced"
            await asyncio.sleep(0.5)
        await self.ready()

    async def update(self, *services: str) -> None:
        """Every task of these is replaced, as by a new image; all services at the same time."""
        for service in services:
            options = ("--force", "--detach", "--quiet")
            await asyncio.to_thread(self.engine.docker, "service", "update", *options, self.name(service))
        await self.ready()

    async def scale(self, replicas: int, *services: str) -> None:
        wanted = [f"{self.name(service)}={replicas}" for service in services]
        await asyncio.to_thread(self.engine.docker, "service", "scale", "--detach", *wanted)
        await self.ready()

    async def ready(self) -> None:
        missing = await asyncio.to_thread(deploy_swarm.wait, self.stack.project)
        assert not missing, missing

    def places(self, service: str) -> list[str]:
        """The address of each container, in their order, as replicas call one another."""
        networks = f'{{{{(index .NetworkSettings.Networks "{self.name("servers")}").IPAddress}}}}'
        asked = self.engine.docker("inspect", "--format", networks, *self.containers(service))
        return [f"{address}:{PORT}" for address in asked.split()]

    def owner(self, service: str, session: str) -> str:
        """Where a session is: the secret of its service says."""
        folder = environment.folder(self.stack.env_file, ROOT)
        secret = (folder / f"{service}_replica_secret").read_text().strip()
        opened = ReplicaSeal(secret.encode()).open(session, "session")
        assert opened is not None
        return opened[0]


@contextmanager
def cluster(images: Mapping[str, str], replicas: int) -> Iterator[Cluster]:
    """By the command of a person: `./justw up --swarm`."""
    for words in (
        ("link", "set", "lo", "up"),
        ("link", "add", "swarm0", "type", "veth", "peer", "name", "swarm1"),
        ("addr", "add", f"{ADDRESS}/24", "dev", "swarm0"),
        ("link", "set", "swarm0", "up"),
        ("link", "set", "swarm1", "up"),
    ):
        subprocess.run(["ip", *words], check=True)
    with own_engine(CACHE) as engine, tempfile.TemporaryDirectory() as folder:
        os.environ["DOCKER_HOST"] = engine.host
        _leave(engine)
        engine.docker("swarm", "init", "--advertise-addr", ADDRESS)
        settings = {
            "AUTH_REPLICAS": str(replicas - 1),  # and auth-2
            "FETCH_REPLICAS": "0",
            **{f"{name}_REPLICAS": str(replicas) for name in ("TIME", "ECHO", "ECHO_STATELESS")},
        }
        try:
            with prepare(engine, images, Path(folder), "one host", **settings) as stack:
                up = stack.deploy("up", "--swarm", "--no-build")
                assert up.returncode == 0, up.stdout + up.stderr + services(engine)
                print(up.stdout, flush=True)
                found = Cluster(stack)
                for account in ACCOUNTS:
                    engine.docker(
                        "exec", "-i", found.containers("auth")[0],
                        "mcp-oauth-server", "users", "add", account, "--password-stdin",
                        stdin=stack.password, timeout=300,
                    )  # fmt: skip
                yield found
                down = stack.deploy("down", "--swarm")
                assert down.returncode == 0, down.stdout + down.stderr
        finally:
            _leave(engine)


def services(engine: Engine) -> str:
    return engine.docker("service", "ls")


def _leave(engine: Engine) -> None:
    """Also what an earlier run has left."""
    if engine.docker("info", "--format", "{{.Swarm.LocalNodeState}}") != "inactive":
        engine.docker("swarm", "leave", "--force")
