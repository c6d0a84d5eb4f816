"""What the pages say of a server's tools: what the server told last, and nothing that is waited for."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from mcp_oauth_dynamicclient import server_tools
from mcp_oauth_dynamicclient.errors import StoreUnavailableError
from mcp_oauth_dynamicclient.store.base import Entry

from .support import OpenPlace, Place, Visitor
from .test_visible import NAMES, asking

TIME = "http://localhost:8080/time/mcp"
TOOLS = [
    {"name": "get_time", "title": "Tell the time", "description": "Tells it.",
     "annotations": {"readOnlyHint": True, "destructiveHint": True}},
    {"name": "set_clock", "annotations": {"readOnlyHint": False, "destructiveHint": False}},
    {"name": "wipe", "annotations": {"destructiveHint": True}},
    {"name": "says_nothing"},
]  # fmt: skip


@pytest.fixture(autouse=True)
def _however_busy_this_machine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_tools, "PATIENCE", 60.0)


async def tell(place: Place, tools: object, resource: str = TIME) -> None:
    await server_tools.note(place.ctx, resource, {"tools": tools})


def text(page: str) -> str:
    """The main part, as words."""
    main = page.partition("<main")[2].partition("</main>")[0]
    return " ".join(re.sub(r"<[^>]*>", " ", main).split())


async def test_consent_tells_reading_from_changing(place: Place, visitor: Visitor) -> None:
    assert "Its tools" not in text((await visitor.get(place.url())).text)
    await tell(place, TOOLS)
    words = text((await visitor.get(place.url())).text)
    assert "4 tools: 1 only reads, 3 may change something" in words
    changing, _, reading = words.partition("Only read, it says")
    assert "Tell the time Tells it." in reading
    assert "may delete" not in reading, "a tool that only reads has nothing to delete"
    assert "set_clock wipe may delete or overwrite says_nothing" in changing
    assert "<script" not in (await visitor.get(place.url())).text


async def test_the_servers_page_counts_them(open_place: OpenPlace) -> None:
    place = await open_place(servers=NAMES)
    await tell(place, TOOLS)
    await tell(place, [], "http://localhost:8080/fetch/mcp")
    async with asking(place) as http:
        words = text((await http.get("/")).text)
    assert "4 tools 1 only reads, 3 may change something" in words
    assert "It has no tools." in words


async def test_who_may_not_see_servers_sees_no_tools(open_place: OpenPlace) -> None:
    place = await open_place(servers=NAMES)
    await tell(place, TOOLS)
    async with asking(place, "192.0.2.7") as http:
        for path in ("/", "/time/mcp", "/tiem/mcp"):
            assert "set_clock" not in (await http.get(path)).text


async def test_a_servers_words_are_text_cut_and_counted(place: Place, visitor: Visitor) -> None:
    await tell(place, [{"name": f"<b>{n}</b>", "description": "\u202e" + "y" * 5000} for n in range(500)])
    page = (await visitor.get(place.url())).text
    assert "<b>1</b>" not in page
    assert "\u202e" not in page
    assert "y" * 201 not in page
    assert "500 tools: of the first 100 0 only read, 100 may change something" in text(page)
    assert "And 400 more." in text(page)


async def test_nobody_waits_for_what_is_known_of_tools(
    place: Place, visitor: Visitor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await tell(place, TOOLS)
    get = place.ctx.store.get

    async def hangs(kind: Any, key: str) -> Entry | None:
        return await asyncio.Event().wait() and None if kind == "tools" else await get(kind, key)

    monkeypatch.setattr(place.ctx.store, "get", hangs)
    monkeypatch.setattr(server_tools, "PATIENCE", 0.01)
    page = await visitor.get(place.url())
    assert page.status_code == 200
    assert "Its tools" not in page.text
    assert "longer than 0.01 s" in caplog.text


async def test_a_page_goes_without_where_they_cannot_be_read(
    open_place: OpenPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = await open_place(servers=NAMES)
    listing = place.ctx.store.list

    def away(kind: Any, owner: str | None = None) -> AsyncIterator[Entry]:
        if kind == "tools":
            raise StoreUnavailableError from OSError("away")
        return listing(kind, owner)

    monkeypatch.setattr(place.ctx.store, "list", away)
    async with asking(place) as http:
        page = await http.get("/")
    assert page.status_code == 200
    assert TIME in page.text


@pytest.mark.parametrize("told", [None, [], "x", {}, {"tools": {}}, {"tools": None, "count": 5}])
async def test_what_is_no_list_of_tools_is_not_kept(place: Place, told: object) -> None:
    await server_tools.note(place.ctx, TIME, told)
    assert await server_tools.of_server(place.ctx, TIME) is None


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        (TOOLS[:1], "1 tool: it only reads"),
        (TOOLS[1:2], "1 tool: it may change something"),
        (TOOLS[:1] * 2, "2 tools: all only read"),
        (TOOLS[1:], "3 tools: all may change something"),
        (TOOLS[:1] * 2 + TOOLS[1:], "5 tools: 2 only read, 3 may change something"),
    ],
)
async def test_the_counts_are_words(place: Place, visitor: Visitor, tools: list[object], words: str) -> None:
    await tell(place, tools)
    assert words in text((await visitor.get(place.url())).text)
