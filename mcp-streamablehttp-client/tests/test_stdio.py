"""The host's side of the bridge, whatever its descriptors are."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from pathlib import Path

import pytest
from mcp_streamablehttp_client.stdio import Stdio


async def test_a_host_that_does_not_read_stalls_nothing_and_gets_every_line_in_order() -> None:
    read_fd, write_fd = os.pipe()
    stdin, nobody = os.pipe()
    stdio = Stdio(stdin, write_fd)
    stdio.start(lambda: None)
    lines = [b"%d %s" % (number, b"x" * (number % 7000)) for number in range(300)]
    for line in lines:
        stdio.write(line)
    with os.fdopen(read_fd, "rb") as host:
        for line in lines:
            assert await asyncio.to_thread(host.readline) == line + b"\n"
        stdio.write(b"last")
        assert await asyncio.to_thread(host.readline) == b"last\n"
        await stdio.close(5)
    os.close(nobody)
    os.close(write_fd)


@pytest.mark.parametrize("kind", ["pipe", "socket", "file"])
async def test_a_host_may_speak_over_any_kind_of_descriptor(kind: str, tmp_path: Path) -> None:
    said = b'{"a":1}\n\n {"b":2}\r\n{"c":' + b" " * 100_000 + b"3}"
    if kind == "file":
        (tmp_path / "input").write_bytes(said)
        fd = os.open(tmp_path / "input", os.O_RDONLY)
    else:
        fd, other = os.pipe() if kind == "pipe" else [end.detach() for end in socket.socketpair()]
        threading.Thread(target=_say, args=(other, said)).start()
    stdio = Stdio(fd, os.open(os.devnull, os.O_WRONLY))
    stdio.start(lambda: None)
    assert [line async for line in stdio.lines()] == [line.strip() for line in said.split(b"\n") if line]
    await stdio.close(5)
    os.close(fd)


def _say(fd: int, data: bytes) -> None:
    with os.fdopen(fd, "wb") as end:
        end.write(data)
