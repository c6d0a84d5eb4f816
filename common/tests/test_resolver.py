"""Names that do not answer take no more threads than their asker's share."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from common.resolver import NameNotFoundError, SystemResolver, asker

ANSWER = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))]


class Names:
    """A name server that answers for `slow…` when it is told to."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.asked: list[str] = []

    def getaddrinfo(self, host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        self.asked.append(host)
        if host.startswith("slow"):
            assert self.go_on.wait(60)
        if host == "nobody.example":
            raise socket.gaierror
        return list(ANSWER)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    yield names
    names.go_on.set()


async def given_up(resolve: SystemResolver, host: str) -> None:
    """Ask, and wait no longer once the name server was asked."""
    asking = asyncio.create_task(resolve(host, 80))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


async def test_who_asks_for_names_that_hang_keeps_nobody_else_from_theirs(names: Names) -> None:
    resolve = SystemResolver(threads=4, share=3)
    asker.set("attacker")
    for number in range(3):
        await given_up(resolve, f"slow{number}.example")
    with pytest.raises(NameNotFoundError, match="that do not answer"):
        await resolve("slow3.example", 80)
    asker.set("somebody else")
    assert await resolve("good.example", 80) == ["192.0.2.1"]
    assert "slow3.example" not in names.asked
    names.go_on.set()
    asker.set("attacker")
    async with asyncio.timeout(60):
        while resolve._under_way:
            await asyncio.sleep(0.01)
    assert await resolve("good.example", 80) == ["192.0.2.1"]


async def test_a_name_that_is_not_there(names: Names) -> None:
    with pytest.raises(NameNotFoundError, match="cannot be found"):
        await SystemResolver()("nobody.example", 80)


async def test_an_address_is_named_once(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ANSWER * 3)
    assert await SystemResolver()("good.example", 80) == ["192.0.2.1"]


async def test_the_threads_are_no_other_works(names: Names) -> None:
    """What a server asks its gateway runs on the loop's own threads."""
    resolve = SystemResolver(threads=2, share=2)
    for number in range(2):
        await given_up(resolve, f"slow{number}.example")
    assert await asyncio.to_thread(lambda: "at once") == "at once"
