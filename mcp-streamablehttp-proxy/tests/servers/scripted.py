"""A handshake-only stdio server whose tools misbehave on request."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

OUT = sys.stdout.buffer
LOCK = threading.Lock()
WAITING: dict[Any, Any] = {}
SEEN: list[dict[str, Any]] = []


def write(text: str | bytes) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    with LOCK, contextlib.suppress(BrokenPipeError):
        OUT.write(data + b"\n")
        OUT.flush()


def send(message: dict[str, Any]) -> None:
    write(json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")))


def answer(id_: Any, text: str) -> None:
    send({"id": id_, "result": {"content": [{"type": "text", "text": text}]}})


def tool(id_: Any, name: str, arguments: dict[str, Any], params: dict[str, Any]) -> None:
    if name == "echo":
        answer(id_, str(arguments.get("text", "")))
    elif name == "raw":
        write(arguments["line"].replace("$ID", json.dumps(id_)))
    elif name == "big":
        answer(id_, "x" * int(arguments["size"]))
    elif name == "stderr":
        sys.stderr.write(("e" * 99 + "\n") * (int(arguments["size"]) // 100))
        sys.stderr.flush()
        answer(id_, "written")
    elif name == "die":
        os._exit(int(arguments.get("status", 3)))
    elif name == "hang":
        pass
    elif name == "spin":
        while True:
            pass
    elif name == "slow":
        time.sleep(float(arguments["seconds"]))
        answer(id_, "late")
    elif name == "pid":
        answer(id_, str(os.getpid()))
    elif name == "environment":
        answer(id_, json.dumps(dict(os.environ)))
    elif name == "argv":
        answer(id_, json.dumps({"argv": sys.argv[1:], "cwd": str(Path.cwd())}))
    elif name == "seen":
        answer(id_, json.dumps(SEEN))
    elif name == "params":
        answer(id_, json.dumps(params))
    elif name == "progress":
        token = params["_meta"]["progressToken"]
        for step in (1, 2):
            send({"method": "notifications/progress", "params": {"progressToken": token, "progress": step}})
        answer(id_, "progressed")
    elif name == "log":
        send({"method": "notifications/message", "params": {"level": "info", "data": arguments["text"]}})
        answer(id_, "logged")
    elif name == "changed":
        send({"method": "notifications/tools/list_changed"})
        answer(id_, "changed")
    elif name == "updated":
        send({"method": "notifications/resources/updated", "params": {"uri": arguments["uri"]}})
        answer(id_, "updated")
    elif name == "ask":
        asked = arguments.get("id", 1)
        WAITING[asked] = id_
        send({"id": asked, "method": arguments["method"], "params": arguments.get("params", {})})
    elif name == "print":
        write("printed\n" * int(arguments["lines"]))
        answer(id_, "printed")
    elif name == "reserve":
        mmap.mmap(-1, int(arguments["size"]), prot=mmap.PROT_READ)
        answer(id_, "reserved")
    elif name == "grandchild":
        own = bool(arguments.get("setsid"))
        child = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=own
        )
        answer(id_, str(child.pid))
    elif name == "allocate":
        try:
            filled = bytearray(b"x") * int(arguments["size"])
            if arguments.get("keep"):
                time.sleep(600)
            answer(id_, str(len(filled)))
        except MemoryError:
            answer(id_, "MemoryError")


def handle(message: dict[str, Any]) -> None:
    SEEN.append(message)
    method, id_ = message.get("method"), message.get("id")
    if method is None:
        answer(WAITING.pop(id_), json.dumps(message.get("result", message.get("error"))))
    elif method == "initialize":
        send(
            {
                "id": id_,
                "result": {
                    "protocolVersion": message["params"]["protocolVersion"],
                    "capabilities": {"tools": {}, "x-unknown": {"kept": 1}},
                    "serverInfo": {"name": "scripted", "version": "1"},
                },
            }
        )
    elif method == "tools/call":
        params = message["params"]
        threading.Thread(
            target=tool, args=(id_, params["name"], params.get("arguments", {}), params), daemon=True
        ).start()
    elif id_ is not None:
        send({"id": id_, "result": {}})


if "--stubborn" in sys.argv:
    import signal

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "--banner" in sys.argv:
    write("Server is starting ...")
for line in sys.stdin.buffer:
    handle(json.loads(line))
if "--stubborn" in sys.argv:
    time.sleep(600)
