"""The ways in which the doctor asks: a public address as a client does, the edge at a port of this machine,
or a server from inside the containers' network."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx
from mcp_oauth_dynamicclient._common.identity_header import HEADER
from mcp_streamablehttp_client._common.hop import Reply

SECONDS = 30.0
"""For an answer: a stdio server may have to be fetched first."""
CONNECT_SECONDS = 10.0
MAX_BYTES = 2**20
_POST = {"Accept": "application/json, text/event-stream"}


class Asks(Protocol):
    async def ask(self, method: str, url: str, token: str = "", **parts: Any) -> Reply:
        """Raises httpx.HTTPError or TimeoutError."""


class Client:
    """Asks public addresses, or the edge at a port of this machine for them."""

    def __init__(self, edge: str = "") -> None:
        """`edge` is where this machine's own edge answers, `http://127.0.0.1:8080`. There TLS is taken as it
        is: its certificate is another check."""
        self._edge = edge
        self._http = httpx.AsyncClient(timeout=SECONDS, trust_env=not edge, verify=not edge)
        self.date: str | None = None

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *problem: object) -> None:
        await self._http.aclose()

    async def ask(self, method: str, url: str, token: str = "", **parts: Any) -> Reply:
        """Raises httpx.HTTPError or TimeoutError."""
        headers = {**_POST, **parts.pop("headers", {})}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if self._edge:
            public = urlsplit(url)
            headers["Host"] = public.netloc
            parts["extensions"] = {"sni_hostname": public.hostname}
            url = f"{self._edge}{public.path}"
        async with (
            asyncio.timeout(SECONDS),
            self._http.stream(method, url, headers=headers, **parts) as answer,
        ):
            fields = {name.lower(): value for name, value in answer.headers.items()}
            self.date = fields.get("date", self.date)
            body = b""
            reply = Reply(answer.status_code, fields)
            async for chunk in answer.aiter_bytes():
                body += chunk
                reply = Reply(answer.status_code, fields, body)
                if len(body) > MAX_BYTES or (reply.media_type == "text/event-stream" and reply.message):
                    break
            return reply


class EitherWay:
    """Asks as a client does; for hosts that cannot be reached from here, at this machine's own edge."""

    def __init__(self, outside: Client, here: Client) -> None:
        self._outside, self._here = outside, here
        self.unreached: set[str] = set()

    async def ask(self, method: str, url: str, token: str = "", **parts: Any) -> Reply:
        client = self._here if urlsplit(url).hostname in self.unreached else self._outside
        return await client.ask(method, url, token, **parts)

    @property
    def date(self) -> str | None:
        return self._here.date or self._outside.date


class Inside:
    """Asks servers through a program in their network, past the edge and the gate; what stands for a token is
    the statement that the gate would add."""

    PROGRAM = Path(__file__).with_name("doctor_inside.py")

    def __init__(self, starter: list[str], addresses: Mapping[str, str]) -> None:
        """`starter` runs Python in that network, `addresses` are those inside, by the public ones."""
        self._starter = starter
        self._addresses = addresses
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._ids = itertools.count()

    async def __aenter__(self) -> Inside:
        """Raises OSError."""
        self._process = await asyncio.create_subprocess_exec(
            *self._starter, "-I", "-c", self.PROGRAM.read_text(),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            limit=4 * MAX_BYTES,
        )  # fmt: skip
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *problem: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await ended(self._process)
        await self._reader

    async def ask(self, method: str, url: str, token: str = "", **parts: Any) -> Reply:
        headers = {**_POST, "Host": urlsplit(url).netloc, **parts.pop("headers", {})}
        if token:
            headers[HEADER] = token
        body = None
        if "json" in parts:
            headers["Content-Type"] = "application/json"
            body = json.dumps(parts["json"])
        number = next(self._ids)
        question = {
            "id": number, "method": method, "url": self._addresses[url], "headers": headers, "body": body,
            "seconds": SECONDS, "most": MAX_BYTES,
        }  # fmt: skip
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        try:
            with suppress(ConnectionError):  # then its end is told to every question
                self._process.stdin.write(json.dumps(question).encode() + b"\n")
                await self._process.stdin.drain()
            if self._reader.done():
                raise httpx.ConnectError("nothing could be asked from inside")
            async with asyncio.timeout(SECONDS * 2):
                said = await answer
        finally:
            del self._asked[number]
        if "problem" in said:
            raise httpx.ConnectError(said["problem"])
        return Reply(said["status"], said["headers"], said["body"].encode())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            if (answer := self._asked.get(said["id"])) is not None and not answer.done():
                answer.set_result(said)
        why = (await self._process.stderr.read()).decode(errors="replace").strip()
        for answer in self._asked.values():
            if not answer.done():
                problem = why.splitlines()[-1] if why else "what asks from inside has ended"
                answer.set_result({"problem": problem})


async def ended(process: asyncio.subprocess.Process) -> None:
    """Returns once a process whose input has ended is gone; one that does not go is killed."""
    try:
        await asyncio.wait_for(process.wait(), SECONDS * 2)
    except TimeoutError:
        process.kill()
        await process.wait()


def said_of(problem: BaseException) -> str:
    return str(problem) or type(problem).__name__
