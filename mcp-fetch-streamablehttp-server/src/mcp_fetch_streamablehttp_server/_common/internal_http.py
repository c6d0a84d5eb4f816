"""A small request to a neighbour inside the deployment: no proxy, no redirect, bounded in size and time.

The standard library on a thread, since it is needed about once a minute.
"""

from __future__ import annotations

import asyncio
import http.client
from urllib.parse import urlsplit

TIMEOUT = 5.0
"""Seconds for connecting and for each read."""
MAX_ANSWER = 64 * 1024


class NoAnswerError(Exception):
    """No answer with status 200; `status` is None when there was none at all."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


async def ask(method: str, url: str, body: bytes | None = None) -> bytes:
    """The body of a 200 answer. Raises NoAnswerError."""
    return await asyncio.to_thread(_ask, method, url, body)


def _ask(method: str, url: str, body: bytes | None) -> bytes:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT)
    try:
        connection.request(method, parts.path or "/", body)
        answer = connection.getresponse()
        content = answer.read(MAX_ANSWER + 1)
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswerError(f"{parts.netloc} cannot be asked: {error}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise NoAnswerError(f"{parts.netloc} answered {answer.status}", answer.status)
    if len(content) > MAX_ANSWER:
        raise NoAnswerError(f"{parts.netloc} answered more than {MAX_ANSWER} octets")
    return content
