"""What may be seen while a part is killed or replaced, by server and era; all else is a violation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .cluster import Cluster
from .load import REFUSED, UNREAD

NOTHING: frozenset[str] = frozenset()
LOST = frozenset({"502", "ReadError", "RemoteProtocolError", "error"})
"""A call that was under way at what was killed, be it only to be passed on to the session's own replica."""
GONE = frozenset({"404"})
"""A session that ended with its replica."""
FAILED = "failed"
"""A sign-in, whose browser saw what it may see."""
AWAY = frozenset(
    {REFUSED, UNREAD, FAILED, "502", "503", "504", "ReadError", "RemoteProtocolError", "WriteError"}
)
STORE_AWAY = frozenset({"503", FAILED})
SESSIONS = ("time", "echo-stateful")
"""Servers that keep them."""
PEOPLE = "people"
"""Those who sign in and refresh, in place of a server's name."""

Allowed = Callable[[str, str], frozenset[str]]


@dataclass(frozen=True)
class Phase:
    name: str
    act: Callable[[Cluster], Awaitable[None]]
    allowed: Allowed
    """What a client of a server and an era, or people, may be told besides an answer."""
    kills: str = ""
    """The server of which the first replica is killed: only the sessions that it held may end."""


def killed(server: str) -> Phase:
    def allowed(name: str, era: str) -> frozenset[str]:
        if name != server:
            return NOTHING
        return LOST | GONE if era == "handshake" and server in SESSIONS else LOST

    async def act(cluster: Cluster) -> None:
        await cluster.kill(server)

    return Phase(f"kill a replica of {server}", act, allowed, server)


def updated(server: str) -> Phase:
    def allowed(name: str, era: str) -> frozenset[str]:
        return GONE if (name, era) == (server, "handshake") and server in SESSIONS else NOTHING

    async def act(cluster: Cluster) -> None:
        await cluster.update(server)

    return Phase(f"update {server}", act, allowed)


def part(
    name: str,
    allowed: frozenset[str],
    *services: str,
    kill: bool = False,
    people: frozenset[str] = NOTHING,
) -> Phase:
    """`people`: what they may see besides."""

    async def act(cluster: Cluster) -> None:
        if kill:
            await cluster.kill(*services)
        else:
            await cluster.update(*services)

    return Phase(name, act, lambda who, _: allowed | people if who == PEOPLE else allowed)


async def nothing(_: Cluster) -> None:
    """Ten seconds of quiet are in every phase."""


OPENING = Phase("every session is opened", nothing, lambda *_: NOTHING)
PHASES = (
    Phase("nothing", nothing, lambda *_: NOTHING),
    killed("time"),
    killed("echo-stateful"),
    killed("echo-stateless"),
    part("kill a replica of auth", NOTHING, "auth", kill=True, people=LOST | {FAILED}),
    part("kill Redis", STORE_AWAY, "redis", kill=True),
    part("kill Traefik", AWAY, "traefik", kill=True),
    part("update auth and auth-2", NOTHING, "auth", "auth-2"),
    updated("time"),
    updated("echo-stateful"),
    updated("echo-stateless"),
    part("update Redis", STORE_AWAY, "redis"),
    part("update Traefik", AWAY, "traefik"),
)
