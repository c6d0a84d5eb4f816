"""Asks what standard input says, and tells the answers: the doctor runs this in the servers' network, in a
container of its own. A line of JSON each; with what Python itself brings, nothing else."""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from typing import Any
from urllib.parse import urlsplit

TELLING = threading.Lock()


def answered(question: dict[str, Any]) -> dict[str, Any]:
    parts = urlsplit(question["url"])
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=question["seconds"])
    deadline = time.monotonic() + question["seconds"]
    try:
        body = question["body"]
        connection.request(
            question["method"], parts.path, None if body is None else body.encode(), question["headers"]
        )
        answer = connection.getresponse()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        content = b""
        while len(content) < question["most"] and time.monotonic() < deadline:
            part = answer.read1(65536)
            content += part
            if not part or (fields.get("content-type", "").startswith("text/event-stream") and ends(content)):
                break
        return {"status": answer.status, "headers": fields, "body": content.decode(errors="replace")}
    finally:
        connection.close()


def ends(content: bytes) -> bool:
    """Whether the stream has told the answer, after which nothing is waited for."""
    whole = content.replace(b"\r\n", b"\n").rpartition(b"\n\n")[0]
    return b'"result"' in whole or b'"error"' in whole


def answer(question: dict[str, Any]) -> None:
    try:
        said = answered(question)
    except (OSError, http.client.HTTPException) as problem:
        said = {"problem": str(problem) or type(problem).__name__}
    with TELLING:
        print(json.dumps({"id": question["id"], **said}), flush=True)


if __name__ == "__main__":
    for line in sys.stdin:
        threading.Thread(target=answer, args=(json.loads(line),)).start()
