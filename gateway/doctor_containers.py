"""What the doctor sees of the containers that `up` started: which there are, and how they are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp_streamablehttp_client._common.hop import Verdict, well

from . import deploy
from .doctor_troubles import trouble

SERVICE, HASH = "com.docker.compose.service", "com.docker.compose.config-hash"
LAST_WORDS = 300
"""Characters of what a health check said."""


@dataclass(frozen=True)
class Container:
    """A container, as the engine tells of it."""

    service: str
    name: str
    state: str
    """created, running, paused, restarting, exited or dead."""
    health: str = ""
    """starting, healthy, unhealthy, or nothing where nobody looks."""
    said: str = ""
    """By the last health check, or by the engine of a start that failed."""
    exit_code: int = 0
    out_of_memory: bool = False
    restarts: int = 0
    settings: str = ""
    """What stands for the settings that it was started with."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    """By the name of the network."""
    ports: Sequence[int] = ()
    """That its image exposes."""
    published: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    """Address and port of this machine, by its own port."""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def serves(self) -> bool:
        return self.state == "running"

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Container:
        """The container that is an element of `docker inspect`."""
        state, labels = told["State"], told["Config"].get("Labels") or {}
        health = state.get("Health") or {}
        log = health.get("Log") or []
        return cls(
            service=labels.get(SERVICE, ""),
            name=told["Name"].lstrip("/"),
            state=state["Status"],
            health=health.get("Status", "").replace("none", ""),
            said=" ".join((log[-1].get("Output", "") if log else state.get("Error", "")).split())[
                -LAST_WORDS:
            ],
            exit_code=state.get("ExitCode", 0),
            out_of_memory=bool(state.get("OOMKilled")),
            restarts=told.get("RestartCount", 0),
            settings=labels.get(HASH, ""),
            addresses={
                name: network["IPAddress"]
                for name, network in told["NetworkSettings"]["Networks"].items()
                if network.get("IPAddress")
            },
            ports=sorted(_number(port) for port in told["Config"].get("ExposedPorts") or {}),
            published={
                _number(port): (at[0]["HostIp"], int(at[0]["HostPort"]))
                for port, at in (told["NetworkSettings"].get("Ports") or {}).items()
                if at
            },
            labels=labels,
        )


def _number(port: str) -> int:
    """Of `80/tcp`."""
    return int(port.partition("/")[0])


def containers(env_file: Path) -> list[Container]:
    """The containers of this project, running or not. Raises DeployError."""
    found = deploy.compose_output(env_file, "ps", "--all", "--quiet").split()
    if not found:
        return []
    return [Container.of(told) for told in json.loads(deploy.docker("inspect", *found))]


def check_containers(wanted: Mapping[str, str], found: Sequence[Container]) -> Iterator[Verdict]:
    """`wanted` are the services that .env asks for, each with what stands for its settings."""
    if not found:
        yield trouble("not up", "no container of this gateway is there")
        return
    sound = True
    for name in wanted:
        own = [container for container in found if container.service == name]
        if not own:
            yield trouble("no container", f"{name} has no container", name=name)
            sound = False
        for container in own:
            for verdict in _container(container, wanted[name]):
                yield verdict
                sound = False
    if sound:
        yield well("process", f"{len(found)} containers run, and are as .env says")


def _container(one: Container, settings: str) -> Iterator[Verdict]:
    name = one.service
    if one.state == "paused":
        yield trouble("container is paused", f"{name} is paused", container=one.name)
    elif one.state == "restarting":
        what = f"{name} ends again and again, last with status {one.exit_code}{_memory(one)}"
        yield trouble("process ended", what, one.said, name=name)
    elif one.state != "running":
        what = f"{name} does not run: {one.state}, with status {one.exit_code}{_memory(one)}"
        yield trouble("process ended", what, one.said, name=name)
    elif one.health == "unhealthy":
        yield trouble("container is unwell", f"{name} is unhealthy", one.said, name=name)
    elif one.health == "starting":
        yield trouble("starting", f"{name} is starting")
    elif one.restarts:
        what = f"{name} was started again {one.restarts} times{_memory(one)}"
        yield trouble("process was started again", what, name=name)
    if settings and one.settings and one.settings != settings:
        yield trouble("settings changed", f"{name} runs with other settings than .env and the files say")


def _memory(one: Container) -> str:
    return ", out of memory" if one.out_of_memory else ""
