"""How answers are written to a socket."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast
from unittest.mock import Mock

import pytest
import uvicorn
from mcp_oauth_dynamicclient.protocol import KeepAlive, LeanProtocol
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, Router


async def whole(_: Any) -> Response:
    return JSONResponse({"a": 1})


async def nothing(_: Any) -> Response:
    return Response(status_code=204)


async def pieces(_: Any) -> Response:
    return StreamingResponse(iter([b"HTTP/1.1 ", b"is not a head"]))


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    routes = [Route("/whole", whole), Route("/nothing", nothing), Route("/pieces", pieces)]
    config = uvicorn.Config(Router(routes), http=LeanProtocol, log_config=None, lifespan="off")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join()


def ask(connection: socket.socket, method: str, path: str) -> None:
    connection.sendall(f"{method} {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())


def test_head_and_body_are_one_packet(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for _ in range(3):
            ask(connection, "GET", "/whole")
            answer = connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert answer.endswith(b'\r\n\r\n{"a":1}')


@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing"), ("HEAD", "/whole"), ("GET", "/missing")])
def test_a_head_alone_is_not_kept_back(port: int, method: str, path: str) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        ask(connection, method, path)
        assert connection.recv(65536).startswith(b"HTTP/1.1 ")
        ask(connection, "GET", "/whole")
        assert b'{"a":1}' in connection.recv(65536)


def test_a_body_that_looks_like_a_head_comes_whole(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        ask(connection, "GET", "/pieces")
        answer = b""
        while not answer.endswith(b"0\r\n\r\n"):
            answer += connection.recv(65536)
    assert b"9\r\nHTTP/1.1 \r\n" in answer
    assert b"is not a head" in answer


def test_what_is_no_http_is_answered_all_the_same(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")


class Clock:
    """An event loop with one timer, whose time is told to it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Clock:
        self.timers.append((when, callback))
        return self

    def cancel(self) -> None:
        self.timers.clear()

    def create_task(self) -> None: ...

    def advance(self, now: float) -> None:
        self.now = now
        due = [callback for when, callback in self.timers if when <= now]
        self.timers = [(when, callback) for when, callback in self.timers if when > now]
        for callback in due:
            callback()


def test_an_idle_connection_ends_when_its_time_is_over_and_not_before() -> None:
    clock, ended = Clock(), Mock()
    alive = KeepAlive(cast(Any, clock))
    for at in (0.0, 4.0, 8.0):  # three answers, each before the last one's time is over
        clock.advance(at)
        alive.call_later(5, ended).cancel()
    alive.call_later(5, ended)
    assert len(clock.timers) == 1
    clock.advance(12.9)
    ended.assert_not_called()
    clock.advance(13.0)
    ended.assert_called_once()
    assert not clock.timers


def test_a_connection_in_the_middle_of_a_request_is_not_idle() -> None:
    clock, ended = Clock(), Mock()
    alive = KeepAlive(cast(Any, clock))
    alive.call_later(5, ended).cancel()
    clock.advance(100.0)
    ended.assert_not_called()
    alive.call_later(5, ended)
    clock.advance(105.0)
    ended.assert_called_once()


def test_a_connection_that_is_gone_leaves_no_timer() -> None:
    clock, ended = Clock(), Mock()
    alive = KeepAlive(cast(Any, clock))
    alive.call_later(5, ended)
    alive.end()
    assert not clock.timers
