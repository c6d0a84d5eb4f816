"""Hosts as people have them: the official SDK's client, and the bridge behind a stdio host."""

from __future__ import annotations

import asyncio
import json
import os
import random
import secrets
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client as SdkClient
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata
from pydantic import AnyUrl

from tests.conftest import ROOT, Person, listen_for_callback
from tests.e2e.conftest import Storage

from .client import HANDSHAKE, PAUSE
from .record import Record

CALLS = (1, 40)
"""How often a host calls before it is closed and started again."""
PATIENCE = 60.0
SIGNED_IN_WITHIN = 480.0
BRIDGE = str(Path(sys.executable).with_name("mcp-streamablehttp-client"))


class SdkHost:
    """The unmodified SDK client of one era with its own OAuth, at the counting server."""

    def __init__(self, url: str, mode: Any, person: Person, record: Record, choice: random.Random) -> None:
        self.name = f"SDK client, {mode}"
        self._url = url
        self._mode = mode
        self._person = person
        self._record = record
        self._random = choice
        self._storage = Storage()
        self._served = 0.0

    def is_served(self, since: float) -> bool:
        return self._served > since

    async def live(self, until: asyncio.Event) -> None:
        while not until.is_set():
            try:
                async with asyncio.timeout(PATIENCE * 3):
                    await self._one_run(until)
            except Exception as error:  # whatever the SDK may say while something is away
                self._record.counts[f"SDK client: {_kind(error)}"] += 1
                await asyncio.sleep(1)
        self._record.counts["SDK client: signed in"] += len(self._storage.authorizations)

    async def _one_run(self, until: asyncio.Event) -> None:
        async with listen_for_callback() as callback:

            async def redirect(url: str) -> None:
                self._storage.authorizations.append(url)
                await self._person.approve(url)

            async def result() -> AuthorizationCodeResult:
                answer = await callback.answer()
                return AuthorizationCodeResult(
                    code=answer["code"], state=answer.get("state"), iss=answer.get("iss")
                )

            metadata = OAuthClientMetadata(
                client_name="SDK client under chaos",
                redirect_uris=[AnyUrl(callback.uri)],
                grant_types=["authorization_code", "refresh_token"],
                token_endpoint_auth_method="none",
            )
            auth = OAuthClientProvider(
                self._url, metadata, self._storage, redirect_handler=redirect, callback_handler=result
            )
            async with (
                httpx2.AsyncClient(auth=auth, timeout=PATIENCE, trust_env=False) as http,
                SdkClient(streamable_http_client(self._url, http_client=http), mode=self._mode) as client,
            ):
                for _ in range(self._random.randint(*CALLS)):
                    if until.is_set():
                        return
                    await self._call(client)
                    await asyncio.sleep(self._random.uniform(*PAUSE))

    async def _call(self, client: SdkClient) -> None:
        word = secrets.token_hex(8)
        async with asyncio.timeout(PATIENCE):
            result = await client.call_tool("count", {"message": word})
        if word in str(result.content):
            self._record.answered.add(word)
            self._served = time.monotonic()
        elif not result.is_error:
            self._record.violated(f"{self.name}: the answer to another call: {result.content}, not {word}")
        else:
            self._record.counts["SDK client: tool error"] += 1


class BridgeHost:
    """A stdio host that starts the bridge, calls the counting server through it, and kills or closes it.

    It is signed in once; a bridge that opens a browser later has lost that.
    """

    def __init__(self, url: str, password: str, folder: Path, record: Record, choice: random.Random) -> None:
        self.name = "bridge"
        self._url = url
        self._record = record
        self._random = choice
        self._served = 0.0
        self._asked = folder / "asked-to-sign-in"
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "GATEWAY_PASSWORD": password,
            "CREDENTIAL_STORAGE_PATH": str(folder / "credentials"),
            "BROWSER": f"touch {self._asked} %s",
        }

    def is_served(self, since: float) -> bool:
        return self._served > since

    async def sign_in(self) -> None:
        environment = {**self._environment, "BROWSER": f"{sys.executable} -m tests.e2e.approve %s"}
        login = await asyncio.create_subprocess_exec(
            BRIDGE, "login", self._url, env=environment, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE
        )
        said = (await asyncio.wait_for(login.communicate(), SIGNED_IN_WITHIN))[1]
        assert login.returncode == 0, said.decode()

    async def live(self, until: asyncio.Event) -> None:
        while not until.is_set():
            bridge = await asyncio.create_subprocess_exec(
                BRIDGE, self._url, env=self._environment, stdin=PIPE, stdout=PIPE, stderr=DEVNULL
            )
            try:
                async with asyncio.timeout(PATIENCE * 3):
                    await self._one_run(bridge, until)
            except (TimeoutError, OSError, EOFError) as error:
                self._record.counts[f"bridge: {type(error).__name__}"] += 1
            finally:
                await self._end(bridge)
        if self._asked.exists():
            self._record.violated("the bridge asked for a second sign-in")

    async def _end(self, bridge: asyncio.subprocess.Process) -> None:
        """As hosts do: close its input, and wait; or kill it."""
        if self._random.random() < 0.5 and bridge.stdin is not None:
            bridge.stdin.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(bridge.wait(), PATIENCE)
                self._record.counts["bridge: closed"] += 1
                return
            self._record.violated("the bridge does not end with its host")
        self._record.counts["bridge: killed"] += 1
        with suppress(ProcessLookupError):
            bridge.kill()
        await bridge.wait()

    async def _one_run(self, bridge: asyncio.subprocess.Process, until: asyncio.Event) -> None:
        hello = {
            "protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": {"name": "host", "version": "1"},
        }  # fmt: skip
        if "result" not in await self._ask(bridge, "initialize", hello, "hello"):
            self._record.counts["bridge: initialize: error"] += 1
            return
        await self._say(bridge, {"method": "notifications/initialized"})
        for _ in range(self._random.randint(*CALLS)):
            if until.is_set():
                return
            word = secrets.token_hex(8)
            params = {"name": "count", "arguments": {"message": word}}
            answer = await self._ask(bridge, "tools/call", params, word)
            if "error" in answer:
                self._record.counts["bridge: call: error"] += 1
            elif word not in json.dumps(answer["result"]):
                self._record.violated(f"bridge: the answer to another call: {answer}, not {word}")
            else:
                self._record.answered.add(word)
                self._served = time.monotonic()
            await asyncio.sleep(self._random.uniform(*PAUSE))

    async def _ask(
        self, bridge: asyncio.subprocess.Process, method: str, params: dict[str, Any], number: str
    ) -> dict[str, Any]:
        """The answer with this number; there must be none with another."""
        await self._say(bridge, {"id": number, "method": method, "params": params})
        assert bridge.stdout is not None
        while True:
            line = await bridge.stdout.readline()
            if not line:
                raise EOFError
            message: dict[str, Any] = json.loads(line)
            if "method" in message:
                continue
            if message.get("id") == number:
                return message
            self._record.violated(f"bridge: an answer that nobody waits for: {message}")

    async def _say(self, bridge: asyncio.subprocess.Process, message: dict[str, Any]) -> None:
        assert bridge.stdin is not None
        bridge.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        await bridge.stdin.drain()


def _kind(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return type(error).__name__
