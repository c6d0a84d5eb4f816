"""One signed-in client of either era, and what it holds against the gateway."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import time
from contextlib import suppress
from typing import Any

import httpx

from tests.access import Access

from .record import Moment, Record

MODERN, HANDSHAKE = "2026-07-28", "2025-11-25"
PATIENCE = 20.0
"""Seconds that a client waits for an answer."""
IDLE = 20
"""Seconds after which a session of the counting server that nobody uses ends, and its processes with it."""
PAUSE = (0.05, 0.5)
"""Seconds between what a client does and what it does next."""
TOOLS = {"count": "count", "echo-stateful": "echo", "echo-stateless": "echo"}
"""The tool of each server that says what it was told."""


class Client:
    def __init__(
        self, server: str, access: Access, modern: bool, record: Record, choice: random.Random
    ) -> None:
        self.name = f"{'modern' if modern else 'handshake'} client of {server}"
        self.access = access
        self.served = self.refreshed = 0.0
        """When a call and a refresh succeeded last, by the monotonic clock."""
        self._server = server
        self._modern = modern
        self._record = record
        self._random = choice
        self._session: str | None = None
        self._ended_before = 0
        """How often the server's processes had been ended when the session was opened."""
        self._streamed: str | None = None
        """The session that had a standing stream last."""
        self._used = 0.0
        """When a server of ours answered last."""
        self._http = httpx.AsyncClient(timeout=PATIENCE, trust_env=False)

    async def live(self, until: asyncio.Event) -> None:
        ways = (
            self.call,
            self.call,
            self.call,
            self.call,
            self.refresh,
            self.vanish,
            self.stream,
            self.leave,
        )
        while not until.is_set():
            way = self._random.choice(ways)
            try:
                await way()
            except httpx.HTTPError as error:
                self._record.counts[f"{way.__name__}: {type(error).__name__}"] += 1
            await asyncio.sleep(self._random.uniform(*PAUSE))

    def is_served(self, since: float) -> bool:
        return min(self.served, self.refreshed) > since

    async def close(self) -> None:
        with suppress(httpx.HTTPError):
            await self.leave()
        await self._http.aclose()

    async def call(self) -> None:
        """One call with a valid token, never sent again."""
        if not await self._opened():
            return
        word = secrets.token_hex(8)
        answer = await self._sent("call", self.request_call(word, self.access.bearer))
        if answer is not None and self._is_ours(answer, word):
            self.served = time.monotonic()

    async def refresh(self) -> None:
        """A refresh that was not answered is sent again, as a client does."""
        form = {
            "grant_type": "refresh_token",
            "client_id": self.access.client_id,
            "refresh_token": self.access.tokens["refresh_token"],
            "resource": self.access.resource,
        }
        for _ in range(3):
            with suppress(httpx.TransportError):
                request = self._http.build_request("POST", self.access.token_endpoint, data=form)
                if (answer := await self._sent("refresh", request)) is not None:
                    self.access.tokens |= answer.json()
                    self.refreshed = time.monotonic()
                    return
            await asyncio.sleep(0.5)

    async def vanish(self) -> None:
        """Go before the answer is there, and sometimes for good: the session is left open."""
        if await self._opened():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._random.uniform(0, 0.02)):
                    await self._http.send(self.request_call(secrets.token_hex(8), self.access.bearer))
            if self._random.random() < 0.2:
                self._session = None

    async def leave(self) -> None:
        """End the session, as a host does that is closed."""
        if self._session is not None:
            headers = {**self.access.bearer, **self._era_headers()}
            await self._http.delete(self.access.resource, headers=headers)
            self._session = None

    async def stream(self) -> None:
        """Open a standing stream, and leave it."""
        if not await self._opened():
            return
        headers = {"accept": "text/event-stream", **self.access.bearer, **self._era_headers()}
        request = self._http.build_request("GET", self.access.resource, headers=headers)
        if self._modern:
            wanted = {"notifications": {"toolsListChanged": True}}
            request = self._request("subscriptions/listen", wanted, self.access.bearer)
        sent = self._record.moment()
        answer = await self._http.send(request, stream=True)
        try:
            if answer.status_code == 200:
                self._record.counts["stream: 200"] += 1
                self._streamed = self._session
                await asyncio.sleep(self._random.uniform(0, 0.5))
            elif answer.status_code == 409 and self._session and self._streamed == self._session:
                # The SDK has one for each session, and the one before may not have ended there yet.
                self._record.counts["stream: 409, after another"] += 1
            elif answer.status_code == 405 or "Method not found" in (await answer.aread()).decode():
                self._record.counts["stream: the server has none"] += 1
            else:
                self._judge("stream", answer, sent)
        finally:
            await answer.aclose()

    async def revoke(self, known_within: float) -> None:
        """Sign out; what was revoked opens nothing after `known_within` seconds."""
        form = {"token": self.access.tokens["refresh_token"], "client_id": self.access.client_id}
        request = self._http.build_request("POST", self.access.revocation_endpoint, data=form)
        if await self._sent("revoke", request) is None:
            return
        await asyncio.sleep(known_within)
        word = secrets.token_hex(8)
        self._record.forbidden.add(word)
        said = await self._http.send(self.request_call(word, self.access.bearer))
        if said.status_code < 400:
            self._record.violated(f"{self.name}: allowed with a revoked token")

    # requests

    async def _opened(self) -> bool:
        if self._modern or self._session is not None:
            return True
        hello = {
            "protocolVersion": HANDSHAKE,
            "capabilities": {},
            "clientInfo": {"name": "chaos", "version": "1"},
        }
        self._ended_before = self._record.ended[self._server]
        answer = await self._sent("initialize", self._request("initialize", hello, self.access.bearer))
        if answer is None:
            return False
        self._session = answer.headers.get("mcp-session-id")
        return True

    async def _sent(self, what: str, request: httpx.Request) -> httpx.Response | None:
        """The answer, if it is 200."""
        sent = self._record.moment()
        answer = await self._http.send(request)
        return answer if self._judge(what, answer, sent) else None

    def _judge(self, what: str, answer: httpx.Response, sent: Moment) -> bool:
        gone = answer.status_code == 404 and "mcp-session-id" in answer.request.headers
        if gone and answer.headers.get("content-type", "").startswith("application/json"):
            self._session = None
            self._record.counts[f"{what}: its session is gone"] += 1
            idle = time.monotonic() - self._used > IDLE / 2
            if self._record.ended[self._server] == self._ended_before and not idle:
                self._record.violated(f"{self.name}: a session is gone whose server was not ended")
            return False
        served = self._record.note(self.name, what, answer, sent)
        if served and str(answer.request.url) == self.access.resource:  # not a refresh, which no session sees
            self._used = time.monotonic()
        return served

    def request_call(self, word: str, headers: dict[str, str]) -> httpx.Request:
        params = {"name": TOOLS[self._server], "arguments": {"message": word}}
        return self._request("tools/call", params, headers, word)

    def _request(
        self, method: str, params: dict[str, Any], headers: dict[str, str], number: str = "1"
    ) -> httpx.Request:
        sent = {"accept": "application/json, text/event-stream", **headers}
        if method != "initialize":
            sent |= self._era_headers()
        if self._modern:
            prefix = "io.modelcontextprotocol/"
            meta = {
                f"{prefix}protocolVersion": MODERN,
                f"{prefix}clientInfo": {"name": "chaos", "version": "1"},
                f"{prefix}clientCapabilities": {},
            }
            params = {**params, "_meta": meta}
            sent["mcp-method"] = method
            if "name" in params:
                sent["mcp-name"] = params["name"]
        body = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        return self._http.build_request("POST", self.access.resource, json=body, headers=sent)

    def _era_headers(self) -> dict[str, str]:
        if self._modern:
            return {"mcp-protocol-version": MODERN}
        session = {"mcp-session-id": self._session} if self._session else {}
        return {"mcp-protocol-version": HANDSHAKE, **session}

    def _is_ours(self, answer: httpx.Response, word: str) -> bool:
        """Whether there is a result; it has to be the one of this call."""
        for message in messages(answer):
            if "id" not in message or "method" in message:
                continue
            result = message.get("result", {})
            failed = "error" in message or result.get("isError")
            if message["id"] != word or not (failed or word in json.dumps(result)):
                self._record.violated(f"{self.name}: the answer to another call: {message}, not {word}")
            if not failed:
                self._record.answered.add(word)
                return True
            self._record.counts["call: an error in its answer"] += 1
        return False


def messages(answer: httpx.Response) -> list[dict[str, Any]]:
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return [answer.json()]
    lines = (
        line.removeprefix("data:").strip() for line in answer.text.splitlines() if line.startswith("data:")
    )
    return [json.loads(line) for line in lines if line]
