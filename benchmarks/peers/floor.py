"""The floor: a minimal ASGI relay to one stdio server, without sessions, checks, streams or errors."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
from typing import Any

waiting: dict[int, asyncio.Future[bytes]] = {}


async def listen(lines: asyncio.StreamReader) -> None:
    while line := await lines.readline():
        waiting.pop(json.loads(line)["id"]).set_result(line)


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        command = shlex.split(os.environ["COMMAND"])
        child = await asyncio.create_subprocess_exec(*command, stdin=-1, stdout=-1, limit=1 << 26)
        assert child.stdin is not None
        assert child.stdout is not None
        scope["state"].update(write=child.stdin.write, listening=asyncio.create_task(listen(child.stdout)))
        await receive()
        await send({"type": "lifespan.startup.complete"})
        return
    message, body = {"more_body": True}, b""
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    scope["state"]["write"](body + b"\n")
    answer, status, id_ = b"", 202, json.loads(body).get("id")
    if id_ is not None:
        waiting[id_] = asyncio.get_running_loop().create_future()
        answer, status = await waiting[id_], 200
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
