"""A closed-loop load generator: each connection sends its next request when the last one is answered.

It runs in a process of its own, and does little enough for each request to outrun a Python server.
"""

from __future__ import annotations

import itertools
import json
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Never

NUMBER = "@@NUMBER@@"
"""Where a request has this, it gets a number of ten digits that no other has, seen in its answer."""
FIRST_NUMBER = 1_000_000_000
SILENCE = 10
"""Seconds without any answer after which a server has failed."""


@dataclass(frozen=True)
class Load:
    port: int
    request: str
    connections: int
    seconds: float
    expect: int = 200


@dataclass(frozen=True)
class Outcome:
    per_second: float
    p50_ms: float
    p99_ms: float


class LoadError(Exception):
    """The server answered something else, or not at all."""


def apply(load: Load) -> Outcome:
    """Load the server from another process."""
    done = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps(asdict(load)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LoadError(done.stderr.strip().splitlines()[-1])
    return Outcome(**json.loads(done.stdout))


def generate(load: Load) -> Outcome:
    numbers = itertools.count(FIRST_NUMBER)
    selector = selectors.DefaultSelector()
    connections = [_Connection(load, numbers) for _ in range(load.connections)]
    for connection in connections:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
    latencies: list[float] = []
    started = now = time.perf_counter()
    for connection in connections:
        connection.ask()
    ends = started + load.seconds
    while now < ends:
        for key, _ in selector.select(timeout=SILENCE) or _silent():
            connection = key.data
            if connection.receive():
                now = time.perf_counter()
                latencies.append(now - connection.asked)
                connection.ask()
    elapsed = now - started
    latencies.sort()
    at = {share: latencies[int(len(latencies) * share)] * 1000 for share in (0.5, 0.99)}
    return Outcome(len(latencies) / elapsed, at[0.5], at[0.99])


def _silent() -> Never:
    raise LoadError(f"no answer within {SILENCE} s")


class _Connection:
    """A kept-alive connection: when it asked, and the answer as far as it has come."""

    def __init__(self, load: Load, numbers: Iterator[int]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", load.port), timeout=SILENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.asked = 0.0
        self._before, self._numbered, self._after = load.request.encode().partition(NUMBER.encode())
        self._numbers = numbers
        self._number = b""
        self._status = f"HTTP/1.1 {load.expect} ".encode()
        self._answer = bytearray()
        self._head = self._whole = 0

    def ask(self) -> None:
        self._answer.clear()
        self._head = self._whole = 0
        if self._numbered:
            self._number = b"%d" % next(self._numbers)
        self.asked = time.perf_counter()
        self.socket.sendall(self._before + self._number + self._after)

    def receive(self) -> bool:
        """Whether the answer is whole now; raises LoadError when it is not the one expected."""
        more = self.socket.recv(1 << 18)
        if not more:
            raise LoadError("the server closed the connection")
        self._answer += more
        if not self._complete():
            return False
        if not self._answer.startswith(self._status) or self._number not in self._answer:
            first = bytes(self._answer).split(b"\r\n", 1)[0].decode("latin-1")
            raise LoadError(f"unexpected answer: {first}")
        return True

    def _complete(self) -> bool:
        answer = self._answer
        if not self._head:
            end = answer.find(b"\r\n\r\n")
            if end < 0:
                return False
            self._head = end + 4
            head = bytes(answer[:end]).lower()
            if (at := head.find(b"content-length:")) >= 0:
                self._whole = self._head + int(head[at + 15 :].split(b"\r\n", 1)[0])
        if self._whole:
            return len(answer) >= self._whole
        return answer.endswith(b"\r\n0\r\n\r\n", self._head - 2)


if __name__ == "__main__":
    try:
        print(json.dumps(asdict(generate(Load(**json.load(sys.stdin))))))
    except (OSError, LoadError) as error:
        sys.exit(str(error))
