"""The floor: a minimal ASGI relay to one stdio server, without sessions, checks, streams or an end."""

import asyncio
import json
import os
import shlex

waiting = {}


async def listen(child):
    while line := await child.stdout.readline():
        waiting.pop(json.loads(line)["id"]).set_result(line)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        app.child = await asyncio.create_subprocess_exec(
            *shlex.split(os.environ["COMMAND"]), stdin=-1, stdout=-1, limit=1 << 26
        )
        app.listening = asyncio.create_task(listen(app.child))
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        app.child.kill()
        await send({"type": "lifespan.shutdown.complete"})
        return
    message, body = {"more_body": True}, b""
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    app.child.stdin.write(body + b"\n")
    answer, status, id_ = b"", 202, json.loads(body).get("id")
    if id_ is not None:
        waiting[id_] = asyncio.get_running_loop().create_future()
        answer, status = await waiting[id_], 200
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
