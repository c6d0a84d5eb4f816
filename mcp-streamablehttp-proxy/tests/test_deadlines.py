"""Things that happen after a while unless they are called off."""

from __future__ import annotations

import asyncio

from mcp_streamablehttp_proxy.session.deadlines import Deadlines


async def test_what_is_not_called_off_happens_in_order() -> None:
    late: list[str] = []
    done = asyncio.Event()

    def note(what: str) -> None:
        late.append(what)
        if what == "third":
            done.set()

    deadlines = Deadlines(0.01, note)
    deadlines.add("first")
    deadlines.add("never")
    deadlines.add("second")
    deadlines.remove("never")
    deadlines.remove("unknown")
    await asyncio.sleep(0.005)
    deadlines.add("third")
    await done.wait()
    assert late == ["first", "second", "third"]


async def test_what_is_added_or_removed_by_what_happens_counts() -> None:
    late: list[str] = []
    done = asyncio.Event()

    def note(what: str) -> None:
        late.append(what)
        if what == "first":
            deadlines.remove("second")
            deadlines.add("third")
        else:
            done.set()

    deadlines = Deadlines(0.01, note)
    deadlines.add("first")
    deadlines.add("second")
    await done.wait()
    assert late == ["first", "third"]


async def test_nothing_is_left_of_what_was_called_off() -> None:
    deadlines = Deadlines(60.0, print)
    for number in range(1000):
        deadlines.add(number)
        deadlines.remove(number)
    assert not deadlines
