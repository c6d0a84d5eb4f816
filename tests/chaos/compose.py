"""What `./justw up` starts, on a real Docker engine, and what can be done to its containers from outside."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from gateway import compose_servers
from tests.compose.base_images import base_images
from tests.compose.engine import CACHE, docker_engine
from tests.compose.stack import SHAPES, Stack, build_images, start_compose
from tests.compose.test_faults import redis
from tests.conftest import Gateway

from .client import IDLE
from .place import COUNTING, GONE_WITHIN, LASTS, Blow, EdgeWatch, descendants, is_counting, signalled
from .record import Record

VICTIMS = ("traefik", "auth", "auth-2", "redis", "engine", "count", "echo-stateful", "echo-stateless")
EXPIRED = """
import asyncio, io, time
from mcp_oauth_dynamicclient.app import open_context
from mcp_oauth_dynamicclient.keys import KeyRing
from mcp_oauth_dynamicclient.records import Grant
from mcp_oauth_dynamicclient.settings import load_settings
from mcp_oauth_dynamicclient.tokens import Tokens

async def main(resource):
    settings, then = load_settings(), time.time() - 7200
    async with open_context(settings, audit=io.StringIO()) as ctx:
        grant = Grant(
            grant_id="expired " + resource, client_id="expired", client_name="Expired", identity=None,
            resource=resource, scope="mcp", created_at=then, last_used_at=then,
        )
        await ctx.store.put("grant", grant.grant_id, grant.model_dump())
        tokens = Tokens(settings, KeyRing(settings, ctx.store), lambda: then)
        print((await tokens.issue_access(grant, resource=resource, scope="mcp"))[0])

asyncio.run(main({resource!r}))
"""
METRICS = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:3000/metrics').read().decode())"


@dataclass
class ComposePlace:
    folder: Path
    record: Record

    revoked_within = 1.0

    def __post_init__(self) -> None:
        self._resources = ExitStack()
        self._executed: list[str] = []
        self._stack: Stack
        self._edge: EdgeWatch

    async def start(self) -> Gateway:
        self._loop = asyncio.get_running_loop()
        stack = self._stack = await asyncio.to_thread(self._start)
        self._edge = EdgeWatch(self.record, stack.issuer, lambda: self._pid("traefik"))
        return Gateway(stack.issuer, stack.server_url, stack.password)

    def _start(self) -> Stack:
        override = self.folder / "chaos.yml"
        YAML().dump(_with_counting_server(), override)
        files = os.pathsep.join((str(compose_servers.BASE), str(override)))
        with ExitStack() as opening:
            engine = opening.enter_context(docker_engine(CACHE))
            images = base_images(engine)
            build_images(engine, images, self.folder)
            running = start_compose(engine, images, self.folder, SHAPES[0], COMPOSE_FILE=files)
            stack = opening.enter_context(running)
            self._resources = opening.pop_all()
        return stack

    async def stop(self) -> None:
        self._edge.stop()
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        stack = self._stack
        self._sessions_end()
        self._executed = stack.compose("exec", "-T", "count", "cat", "/data/written").splitlines()
        stack.compose("--profile", "*", "down", "--volumes", "--remove-orphans")
        label = f"label=com.docker.compose.project={stack.project}"
        for what in ("container", "network", "volume"):
            every = ("--all",) if what == "container" else ()
            if left := stack.engine.docker(what, "ls", *every, "--quiet", "--filter", label):
                self.record.violated(f"left: {what} {left}")
        self._resources.close()

    def executed(self) -> list[str]:
        return self._executed

    async def expired(self, resource: str) -> str:
        said = await asyncio.to_thread(self._stack.python, "auth", EXPIRED.format(resource=resource))
        return said.splitlines()[-1]

    # blows

    def blow(self, choice: random.Random) -> Blow:
        lasts, name = choice.uniform(*LASTS), choice.choice(VICTIMS)
        what = choice.choice(("kill", "kill", "end", "pause", "pause", "cut off", "cut off", "child", "fill"))
        match what:
            case "kill":
                return _blow(what, name, lambda: self._end(name, signal.SIGKILL))
            case "end":
                return _blow(what, name, lambda: self._end(name, signal.SIGTERM))
            case "pause":
                return _blow(what, name, lambda: self._pause(name, lasts))
            case "child":
                return _blow("kill a child of", "count", lambda: self._kill_child(choice))
            case "fill":
                return _blow(what, "redis", lambda: self._fill_redis(lasts))
        return _blow(what, name, lambda: self._cut(name, lasts))

    def _end(self, name: str, number: signal.Signals) -> bool:
        """As the kernel does it, not the engine, which would not start it again."""
        pid = self._pid(name)
        if not pid:
            return False
        self.record.ended[name] += 1
        if name == "traefik":
            self._loop.call_soon_threadsafe(self._edge.ended, pid)
        return signalled(pid, number)

    def _pause(self, name: str, lasts: float) -> bool:
        container = self._running(name)
        if not container or not self._docker("pause", container):
            return False
        time.sleep(lasts)
        self._docker("unpause", container)
        return True

    def _cut(self, name: str, lasts: float) -> bool:
        """Out of one of its networks, and in again as Compose had it there."""
        container = self._running(name)
        if not container:
            return False
        networks: dict[str, Any] = json.loads(self._stack.inspect(name, "{{json .NetworkSettings.Networks}}"))
        network = sorted(networks)[-1]
        if not self._docker("network", "disconnect", network, container):
            return False
        time.sleep(lasts)
        self._docker("network", "connect", "--alias", name, network, container)
        return True

    def _kill_child(self, choice: random.Random) -> bool:
        found = [pid for pid in descendants(self._pid("count")) if is_counting(pid)]
        if not found:
            return False
        self.record.ended["count"] += 1
        return signalled(choice.choice(found), signal.SIGKILL)

    def _fill_redis(self, lasts: float) -> bool:
        try:
            cap = redis(self._stack, "config", "get", "maxmemory").split()[1]
            redis(self._stack, "config", "set", "maxmemory", "1")
        except AssertionError:  # it is not back yet from the last blow
            return False
        time.sleep(lasts)
        redis(self._stack, "config", "set", "maxmemory", cap)
        return True

    def _docker(self, *arguments: str) -> bool:
        """Whether the engine did it: what is struck may just have ended of the last blow."""
        try:
            self._stack.engine.docker(*arguments)
        except AssertionError as error:
            self.record.counts[f"the engine refused: {error}"[:100]] += 1
            return False
        return True

    def _pid(self, name: str) -> int:
        return int(self._stack.inspect(name, "{{.State.Pid}}"))

    def _running(self, name: str) -> str:
        """Its container, or nothing while it is not running."""
        running = self._stack.inspect(name, "{{.State.Running}}") == "true"
        return self._stack.container(name) if running else ""

    # what is left

    def _sessions_end(self) -> None:
        deadline = time.monotonic() + GONE_WITHIN
        while True:
            page = self._stack.python("count", METRICS)
            counted = re.findall(r"^mcp_proxy_(?:sessions|children)\{[^}]*\} (\S+)", page, re.MULTILINE)
            held = [pid for pid in descendants(self._pid("count")) if is_counting(pid)]
            if not held and set(counted) == {"0.0"}:
                return
            if time.monotonic() > deadline:
                self.record.violated(f"sessions and processes that stay: {counted}, {len(held)} processes")
                return
            time.sleep(1)


def _blow(what: str, whom: str, fall: Callable[[], bool]) -> Blow:
    return Blow(what, whom, lambda: asyncio.to_thread(fall))


def _with_counting_server() -> dict[str, Any]:
    """It runs in the image of `time`, whose Python it needs."""
    base = YAML(typ="safe").load(compose_servers.BASE)
    service = compose_servers.service(base, "count")
    service |= {name: base["services"]["time"][name] for name in ("image", "build")}
    service["command"] = ["--timeout", str(IDLE), "--", "python3", "/counting_server.py", "/data/written"]
    service["volumes"] = [f"{COUNTING}:/counting_server.py:ro", "count:/data"]
    del service["secrets"]
    return {"services": {"count": service}, "volumes": {"count": {}}}
