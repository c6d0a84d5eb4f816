"""Clients of both eras that call and call, and what they were answered."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.access import Access

TOOLS = {"time": "get_current_time", "echo-stateful": "echo", "echo-stateless": "echo"}
MODERN, HANDSHAKE = "2026-07-28", "2025-11-25"
ERAS = ("handshake", "modern")
REFUSED = "refused"
UNREAD = "404 of an edge without rules"
"""An edge that has just started, before it has read its rules; see docs/scale.md."""
EDGES_OWN = "404 page not found\n"
PATIENCE = 60.0
"""Seconds that a client waits for an answer."""
INFO = {"name": "swarm", "version": "1"}
Json = dict[str, Any]


@dataclass
class Seen:
    """What the clients of one kind were answered in one phase."""

    counts: Counter[str] = field(default_factory=Counter)
    """By what was asked and what came: `call: 200`."""
    violations: list[str] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    """Clients that were ever told anything but an answer."""
    ended: set[str] = field(default_factory=set)
    """Clients whose session was gone."""
    slow: list[float] = field(default_factory=list)
    """Seconds that each answered call took."""
    at: list[float] = field(default_factory=list)
    """When each was there, by the monotonic clock."""

    @property
    def failed(self) -> dict[str, int]:
        return {what: n for what, n in sorted(self.counts.items()) if not what.endswith(": 200")}

    def violated(self, what: str) -> None:
        self.violations.append(what)
        print(f"VIOLATION: {what}", flush=True)


@dataclass
class Client:
    """A session, or a client of the modern era. `http` is shared: a context of TLS for each takes long."""

    name: str
    server: str
    access: Access
    modern: bool
    http: httpx.AsyncClient
    pause: float = 0.0
    """Seconds between two calls."""
    opened: bool = False
    session: str = ""
    served: float = 0.0
    """When the last call that was answered was begun, by the monotonic clock."""
    refreshed: float = 0.0
    """When a refresh succeeded last, by the monotonic clock."""
    seen: Seen = field(default_factory=Seen)

    async def live(self, until: asyncio.Event) -> None:
        choice = random.Random(self.name)
        await asyncio.sleep(choice.uniform(0, self.pause))
        while not until.is_set():
            if not await self.call():
                self.seen.touched.add(self.name)
                await asyncio.sleep(0.5)
            await asyncio.sleep(choice.uniform(0.5, 1.5) * self.pause)

    async def call(self) -> bool:
        """One call, after `initialize` where that is needed; whether it was answered. Never sent again."""
        seen, word, before = self.seen, secrets.token_hex(8), time.monotonic()
        if not (self.modern or self.opened) and not await self._open():
            return False
        answer = await self.sent("call", self._call(word, self.access.bearer))
        if answer is None or answer.status_code != 200 or not self._is_ours(answer, word):
            return False
        self.served = before
        seen.slow.append(time.monotonic() - before)
        seen.at.append(time.monotonic())
        return True

    async def intrude(self, foreign: Access) -> None:
        """With no token, a broken one, claimed identity, or a token for another server."""
        token = self.access.tokens["access_token"]
        claimed = {"X-User-Id": "local:admin", "X-User-Name": "admin"}
        broken = {"Authorization": f"Bearer {token[:-8]}AAAAAAAA"}
        for wrong in ({}, broken, claimed, foreign.bearer):
            with suppress(httpx.HTTPError):
                word = secrets.token_hex(8)
                answer = await self.http.send(self._call(word, wrong))
                self.seen.counts[f"intrude: {answer.status_code}"] += 1
                if answer.status_code < 400 or word in answer.text:
                    self.seen.violated(f"allowed without a token: {answer.status_code} {answer.text}")

    async def refresh(self) -> None:
        """A refresh that was not answered is sent again, as a client does."""
        form = {
            "grant_type": "refresh_token",
            "client_id": self.access.client_id,
            "refresh_token": self.access.tokens["refresh_token"],
            "resource": self.access.resource,
        }
        for _ in range(3):
            request = self.http.build_request("POST", self.access.token_endpoint, data=form)
            answer = await self.sent("refresh", request)
            if answer is not None and answer.status_code == 200:
                self.access.tokens |= answer.json()
                self.refreshed = time.monotonic()
                return
            await asyncio.sleep(0.5)

    async def sent(self, what: str, request: httpx.Request) -> httpx.Response | None:
        """The answer, which is counted; None for none."""
        seen = self.seen
        try:
            answer = await self.http.send(request)
        except httpx.HTTPError as error:
            said = REFUSED if isinstance(error, httpx.ConnectError) else type(error).__name__
            seen.counts[f"{what}: {said}"] += 1
            return None
        if answer.status_code == 404 and answer.text == EDGES_OWN:
            seen.counts[f"{what}: {UNREAD}"] += 1
            return answer
        seen.counts[f"{what}: {answer.status_code}"] += 1
        if answer.status_code == 404:
            self.opened = False
            seen.ended.add(self.name)
        if answer.status_code == 503 and "retry-after" not in answer.headers:
            seen.violated(f"{self.name}: {what}: 503 that does not say when to ask again: {answer.text}")
        if answer.status_code in (400, 401, 403):
            seen.violated(f"{self.name}: {what} with what is valid: {answer.status_code} {answer.text}")
        return answer

    # requests

    async def _open(self) -> bool:
        hello = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": INFO}
        answer = await self.sent("initialize", self._request("initialize", hello, self.access.bearer))
        if answer is None or answer.status_code != 200:
            return False
        self.opened, self.session = True, answer.headers.get("mcp-session-id", "")
        return True

    def _call(self, word: str, headers: dict[str, str]) -> httpx.Request:
        arguments = {"timezone": "UTC"} if self.server == "time" else {"message": word}
        params = {"name": TOOLS[self.server], "arguments": arguments}
        return self._request("tools/call", params, headers, word)

    def _request(
        self, method: str, params: Json, headers: dict[str, str], number: str = "1"
    ) -> httpx.Request:
        sent = {"accept": "application/json, text/event-stream", **headers}
        if self.modern:
            prefix = "io.modelcontextprotocol/"
            meta = {
                f"{prefix}protocolVersion": MODERN,
                f"{prefix}clientInfo": INFO,
                f"{prefix}clientCapabilities": {},
            }
            params = {**params, "_meta": meta}
            sent |= {"mcp-protocol-version": MODERN, "mcp-method": method, "mcp-name": params["name"]}
        elif method != "initialize":
            sent |= {"mcp-protocol-version": HANDSHAKE}
            sent |= {"mcp-session-id": self.session} if self.session else {}
        body = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        return self.http.build_request("POST", self.access.resource, json=body, headers=sent)

    def _is_ours(self, answer: httpx.Response, word: str) -> bool:
        """Whether there is an answer; it has to be the one to this call. The clock says no word of it."""
        said = [message for message in messages(answer) if "method" not in message]
        if [message["id"] for message in said] != [word]:
            self.seen.violated(f"{self.name}: the answer to another call: {said}, not {word}")
            return False
        result = json.dumps(said[0].get("result"))
        if ("UTC" if self.server == "time" else word) not in result:
            self.seen.counts["call: error"] += 1
            return False
        return True


def messages(answer: httpx.Response) -> list[Json]:
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return [answer.json()]
    lines = (
        line.removeprefix("data:").strip() for line in answer.text.splitlines() if line.startswith("data:")
    )
    return [json.loads(line) for line in lines if line]
