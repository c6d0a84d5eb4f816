"""What RFC 9110 and RFC 9112 ask of a client, rule by rule, with the section of each."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from h11 import LocalProtocolError
from mcp_streamablehttp_client.errors import (
    BrokenStreamError,
    MessageTooLargeError,
    NotConnectedError,
    OutcomeUnknownError,
)
from mcp_streamablehttp_client.http1 import HttpClient, Response, Target
from mcp_streamablehttp_client.retry_after import retry_after

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Peer:
    """Answers the requests it gets with the given bytes, one after the other; None closes."""

    answers: list[bytes | None]
    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    closed: int = 0
    tasks: set[Any] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.tasks.add(asyncio.current_task())
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head.lower())
                body = await reader.readexactly(int(length[1])) if length else b""
                self.requests.append(head + body)
                answer = self.answers.pop(0) if self.answers else OK
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
                if b"[close]" in head:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        self.closed += 1
        writer.close()


@asynccontextmanager
async def peer(*answers: bytes | None) -> AsyncIterator[tuple[Peer, Callable[..., Awaitable[Response]]]]:
    """The peer, and `ask(method, headers, body)` -> Response of one client."""
    there = Peer(list(answers))
    listener = await asyncio.start_server(there.serve, "127.0.0.1", 0)
    there.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    http = HttpClient(5)

    async def ask(
        method: str = "GET", path: str = "/", headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> Response:
        return await http.request(method, Target(there.url + path), list(headers), body)

    try:
        yield there, ask
    finally:
        http.close()
        listener.close()
        await asyncio.wait(there.tasks or {asyncio.create_task(asyncio.sleep(0))})


async def body_of(answer: bytes) -> bytes:
    async with peer(answer) as (_, ask):
        body: bytes = await (await ask(headers=[("X", "[close]")])).read()
        return body


async def test_host_is_sent_first_and_names_the_authority() -> None:
    """RFC 9110 section 7.2, RFC 9112 section 3.2."""
    async with peer() as (there, ask):
        await (await ask(path="/a?b=1")).read()
    lines = there.requests[0].split(b"\r\n")
    assert lines[0] == b"GET /a?b=1 HTTP/1.1"
    assert lines[1] == b"Host: " + there.url.removeprefix("http://").encode()
    assert Target("https://example.com/x").authority == "example.com"
    assert Target("https://[2001:db8::1]:8443").authority == "[2001:db8::1]:8443"
    assert Target("http://example.com").path == "/"


async def test_content_has_a_length_and_what_has_none_does_not() -> None:
    """RFC 9110 section 8.6, RFC 9112 section 6.3: a POST says its length, GET and DELETE do not."""
    async with peer() as (there, ask):
        await (await ask("POST", body=b"abc")).read()
        await (await ask("POST")).read()
        await (await ask("GET")).read()
        await (await ask("DELETE")).read()
    post, empty, get, delete = (request.lower() for request in there.requests)
    assert b"content-length: 3\r\n" in post
    assert b"content-length: 0\r\n" in empty
    assert b"content-length" not in get + delete
    assert b"transfer-encoding" not in post + empty + get + delete


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0b"])
async def test_a_field_value_cannot_smuggle_another_field(value: str) -> None:
    """RFC 9110 section 5.5."""
    async with peer() as (there, ask):
        with pytest.raises(LocalProtocolError):
            await ask(headers=[("X", value)])
    assert there.requests == []


async def test_interim_answers_are_passed_over() -> None:
    """RFC 9110 section 15.2."""
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    assert await body_of(interim + OK) == b"ok"


async def test_a_switch_of_protocol_that_nobody_asked_for_is_no_answer() -> None:
    """RFC 9110 section 15.2.2."""
    async with peer(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n") as (
        _,
        ask,
    ):
        with pytest.raises(OutcomeUnknownError):
            await ask()


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n", b"abc"),
        (b"HTTP/1.0 200 OK\r\n\r\nold", b"old"),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    ],
    ids=["204", "304", "length", "repeated", "end", "chunked", "1.0", "no-reason", "folded"],
)
async def test_where_a_body_ends(answer: bytes, body: bytes) -> None:
    """RFC 9112 sections 4, 5.2, 6.3 and 7.1: in this order of precedence, extensions and trailers ignored."""
    assert await body_of(answer) == body


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n",
    ],
    ids=["short", "short-chunk", "no-last-chunk", "no-size"],
)
async def test_half_an_answer_is_not_an_answer(answer: bytes) -> None:
    """RFC 9112 section 8."""
    with pytest.raises(BrokenStreamError):
        await body_of(answer)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 3_000_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
    ],
    ids=["two-lengths", "negative", "space", "nul", "too-long", "coding", "ssh", "http2"],
)
async def test_what_cannot_be_read_in_one_way_only_is_refused(answer: bytes) -> None:
    """RFC 9112 sections 2.2, 5.1, 6.1 and 6.3, RFC 9110 section 5.5."""
    async with peer(answer) as (_, ask):
        with pytest.raises((OutcomeUnknownError, BrokenStreamError)):
            await (await ask(headers=[("X", "[close]")])).read()


async def test_length_beside_chunked_is_ignored_and_the_connection_not_used_again() -> None:
    """RFC 9112 section 6.3 item 3: it may be an attempt at smuggling."""
    smuggled = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    )
    async with peer(smuggled) as (there, ask):
        assert await (await ask()).read() == b"abc"
        await (await ask()).read()
        assert there.connections == 2


async def test_a_connection_persists_and_ends_where_the_server_says_so() -> None:
    """RFC 9112 section 9.3."""
    close = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    old = b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with peer(OK, OK, close, OK, old, OK) as (there, ask):
        made = []
        for _ in range(6):
            await (await ask()).read()
            made.append(there.connections)
    assert made == [1, 1, 1, 2, 2, 3]


async def test_an_end_that_came_while_idle_is_seen_before_a_request_is_written() -> None:
    """RFC 9112 section 9.3.1: a request must not be lost to a connection known to be closed."""
    async with peer(OK + OK[:0]) as (there, ask):
        await (await ask(headers=[("X", "[close]")])).read()
        while not there.closed:
            await asyncio.sleep(0)
        assert await (await ask("POST", body=b"pay")).read() == b"ok"
    assert [request.startswith(b"POST") for request in there.requests] == [False, True]


@pytest.mark.parametrize("extra", [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"x"])
async def test_an_answer_nobody_asked_for_is_never_the_next_one(extra: bytes) -> None:
    """RFC 9112 section 9.2."""
    async with peer(OK + extra, OK) as (there, ask):
        assert await (await ask()).read() == b"ok"
        assert await (await ask()).read() == b"ok"
        assert there.connections == 2


async def test_a_refusal_is_read_although_the_body_was_not() -> None:
    """RFC 9110 section 10.1.1, RFC 9112 section 9.3: the answer may come before the request is over."""
    refusal = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    release = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(refusal)
        await release.wait()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1024)
    http = HttpClient(10)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    response = await http.request("POST", Target(url), [], b"x" * 30_000_000)
    assert response.status == 413
    await response.discard()
    release.set()
    http.close()
    listener.close()


async def test_repeated_fields_are_one_list_but_challenges_and_cookies_stay_apart() -> None:
    """RFC 9110 section 5.3."""
    head = b"HTTP/1.1 401 No\r\nX: a\r\nWWW-Authenticate: Basic\r\nx: b\r\nWWW-Authenticate: Bearer\r\n"
    async with peer(head + b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n") as (_, ask):
        response = await ask()
        await response.discard()
    assert response.headers["x"] == "a, b"
    assert response.challenges == ["Basic", "Bearer"]
    assert response.cookies == ["a=1", "b=2"]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        (None, None),
        ("-1", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str | None, seconds: float | None) -> None:
    """RFC 9110 section 10.2.3."""
    assert retry_after(value) == seconds


async def test_an_answer_beyond_the_cap_is_refused_and_its_connection_dropped() -> None:
    async with peer(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 100, OK) as (there, ask):
        with pytest.raises(MessageTooLargeError):
            await (await ask()).read(limit=99)
        await (await ask()).read()
        assert there.connections == 2


async def test_a_request_given_up_half_way_is_not_delivered_later() -> None:
    """Cancelled while the server does not read: closing must not flush what is left of it."""
    got = bytearray()
    release, over = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        try:
            while chunk := await reader.read(1 << 16):
                got.extend(chunk)
        except ConnectionError:
            pass
        over.set()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1024)
    http = HttpClient(10)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    sent = asyncio.Event()
    asking = asyncio.create_task(http.request("POST", Target(url), [], b"x" * 30_000_000, sent=sent))
    await sent.wait()
    asking.cancel()
    await asyncio.wait({asking})
    release.set()
    await asyncio.wait_for(over.wait(), 90)
    assert len(got) < 30_000_000
    listener.close()


async def test_a_port_nobody_listens_on_is_said_and_nothing_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    from mcp_streamablehttp_client.http1 import client

    monkeypatch.setattr(client, "REFUSED_PAUSES", ())
    with pytest.raises(NotConnectedError, match="Connection refused"):
        await HttpClient(5).request("POST", Target("http://127.0.0.1:1/"), [], b"x")
