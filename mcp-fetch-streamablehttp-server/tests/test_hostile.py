"""No page stops the server: what it may cost is bounded by the process that reads it, and by the kernel."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp_fetch_streamablehttp_server._common.turns import Turns
from mcp_fetch_streamablehttp_server.errors import FetchError
from mcp_fetch_streamablehttp_server.reading.document import Document
from mcp_fetch_streamablehttp_server.reading.read import LONGEST_TEXT, Job, read
from mcp_fetch_streamablehttp_server.worker import CPU_SECONDS, PLAIN_CPU_SECONDS
from mcp_fetch_streamablehttp_server.workers import Workers

SIZE = 2_000_000
HTML = "text/html"


def fill(piece: str, before: str = "", after: str = "") -> str:
    return before + piece * ((SIZE - len(before) - len(after)) // len(piece)) + after


COSTLY = {
    "punycode": ("text/html; charset=punycode", fill("x-")),
    "list items": (HTML, fill("<li>x</li>", "<ol>")),
    "quotes": (HTML, fill("<p>line of text</p>", "<blockquote>" * 190)),
    "attributes": (HTML, "<p " + " ".join(f"a{number}=x" for number in range(200_000)) + ">x"),
    "attributes with < in them": (HTML, "<p " + " ".join(f"a{n}='<'" for n in range(180_000)) + ">x"),
    "wide table": (HTML, fill("<tr><td>x", "<table><tr>" + "<td>y" * 2000)),
    "deep lists": (HTML, fill("<ul><li>x")),
    "paragraphs": (HTML, fill("<div class=body><p>words, with commas, and a few more.</p></div>")),
    "rules": (HTML, fill(".a{display:none}", "<style>", "</style><p class=a>x")),
    "deep json": ("application/json", "[" * 900 + fill("1,") + "1" + "]" * 900),
    "entities": ("text/xml", "<!DOCTYPE a [<!ENTITY a0 'lol'>" + "".join(
        f"<!ENTITY a{n} '&a{n - 1};&a{n - 1};'>" for n in range(1, 30)) + "]><a>&a29;</a>"),
    "csv": ("text/csv", "a," * 60 + "\n" + "x\n" * 900_000),
    "pdf": ("application/pdf", "%PDF-1.4\n" + fill("1 0 obj <</Type/Page>> endobj\n")),
}  # fmt: skip


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    made = Workers(2)
    yield made
    await made.aclose()


@pytest.mark.parametrize("name", COSTLY)
async def test_two_megabytes_cost_no_more_than_two_seconds_of_processor_time(
    workers: Workers, name: str
) -> None:
    """The kernel ends what takes longer, so an answer or a refusal is there once that time was given."""
    assert CPU_SECONDS + PLAIN_CPU_SECONDS <= 2
    kind, text = COSTLY[name]
    (outcome,) = await asyncio.gather(
        workers.read(text.encode("latin-1"), Job(kind, "http://a.example/"), "me"), return_exceptions=True
    )
    if isinstance(outcome, Document):
        assert len(outcome.text) <= min(LONGEST_TEXT, 4 * SIZE)
    else:
        assert isinstance(outcome, FetchError)
        assert re.search("than one page is given|PDF", str(outcome))


def test_a_tag_with_attributes_by_the_hundred_thousand_has_none_and_the_page_is_read() -> None:
    kind, text = COSTLY["attributes"]
    page = read(f"<h1>Before</h1>{text}<p class=a id=b>after".encode(), Job(kind, "http://a.example/"))
    assert page.text == "# Before\n\nx\n\nafter"
    assert not page.notes


@pytest.mark.parametrize(
    "piece", ["<p hidden>", "<!--", '<a x="', "</", "<?x", "<div>", "<b><i>", "\n \n", "<td>"]
)
def test_unfinished_markup_is_read_all_the_same(piece: str) -> None:
    read((piece * 5000).encode(), Job(HTML, "http://a.example/"))


_TAGS = (
    "p div table tr td ul li blockquote pre a img main article math select dl dt style script frameset "
    "head body h1 br figure title"
)
_PIECES = [
    *(f"<{tag} href=x alt=y>" for tag in _TAGS.split()),
    *(f"</{tag}>" for tag in _TAGS.split()),
    "text, and more ",
]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*_PIECES, "&amp;", "\0", "<!-- c -->"]), max_size=40))
def test_any_soup_of_tags_is_read(pieces: list[str]) -> None:
    document = read("".join(pieces).encode(), Job(HTML, "http://a.example/"))
    assert "\0" not in document.text


async def test_a_victims_page_is_read_while_an_attacker_holds_what_one_caller_may(workers: Workers) -> None:
    kind, text = COSTLY["attributes with < in them"]
    attacks = [
        asyncio.create_task(workers.read(text.encode(), Job(kind, f"http://a.example/{n}"), "attacker"))
        for n in range(6)
    ]
    await asyncio.sleep(0)  # all of them are asked for before the victim's page
    try:
        document = await workers.read(b"<p>small page", Job(HTML, "http://b.example/"), "victim")
        assert document.text == "small page"
        assert not all(attack.done() for attack in attacks)
    finally:
        for attack in attacks:
            attack.cancel()
        await asyncio.gather(*attacks, return_exceptions=True)


async def test_a_reading_ends_with_its_deadline(workers: Workers) -> None:
    kind, text = COSTLY["attributes with < in them"]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await workers.read(text.encode(), Job(kind, "http://a.example/"), "me")
    document = await workers.read(b"<p>next", Job(HTML, "http://a.example/"), "me")
    assert document.text == "next"


async def test_processes_start_when_needed_and_end_when_idle() -> None:
    workers = Workers(2, idle_seconds=0.01)
    assert workers.started == 0
    await workers.read(b"x", Job("text/plain", "http://a.example/"), "me")
    (worker,) = workers._idle
    await worker.process.wait()
    while workers._idle:  # the process may have ended before its pool has heard of it
        await asyncio.sleep(0)


async def test_turns_are_shared() -> None:
    turns = Turns(4, 2)
    inside: list[str] = []

    async def stay(caller: str, leave: asyncio.Event) -> None:
        async with turns.of(caller):
            inside.append(caller)
            await leave.wait()

    leave = asyncio.Event()
    tasks = [asyncio.create_task(stay(caller, leave)) for caller in "aaaabc"]
    while len(inside) < 4:
        await asyncio.sleep(0)
    assert sorted(inside) == ["a", "a", "b", "c"]
    tasks[2].cancel()
    leave.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (turns.free, inside.count("a")) == (4, 3)
