"""The gateway as a server asks it: for the keys that check statements, and for younger statements."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from . import internal_http
from .identity_statement import Keys, Statement, StatementRefusedError, check, key_id, read_keys, verified
from .internal_http import NoAnswerError

log = logging.getLogger(__name__)

REMEMBERED = 1024
"""Statements that were verified and are not verified again: a megabyte."""
KEYS_AGE = 300.0
"""Seconds after which the keys are read again, so that a withdrawn one is forgotten."""
KEYS_PAUSE = 5.0
"""Seconds at least between two readings: an unknown key is asked for, an invented one hammers nobody."""

Ask = Callable[[str, str, "bytes | None"], Awaitable[bytes]]


class GatewayUnavailableError(Exception):
    """The gateway cannot be asked now, and nothing that was read before will do."""


class GatewayIdentity:
    """Checks statements with the keys at `{url}/keys` and renews them at `{url}/renewal`.

    `{url}/card` takes what a server says of itself.
    """

    def __init__(
        self, url: str, *, ask: Ask = internal_http.ask, now: Callable[[], float] = time.time
    ) -> None:
        self._url = url.rstrip("/")
        self._ask = ask
        self.now = now
        self._issuer = ""
        self._keys: Keys = {}
        self._read_at = self._tried_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._known: OrderedDict[str, Statement] = OrderedDict()
        self._renewals: dict[str, asyncio.Task[Statement]] = {}

    async def check(self, text: str | None, resource: str) -> Statement:
        """The statement, if it is valid now and for this resource.

        Raises StatementRefusedError, and GatewayUnavailableError when its key is neither known nor to be had.
        """
        if not text:
            raise StatementRefusedError("This server takes requests from its gateway only.")
        statement = self._known.get(text)
        kid = key_id(text) if statement is None else statement.kid
        await self._have(kid)
        if statement is None or kid not in self._keys:
            statement = verified(text, kid, self._keys, self._issuer)
            self._known[text] = statement
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        check(statement, resource, self.now())
        return statement

    async def renew(self, statement: Statement) -> Statement:
        """A younger statement for the same request; streams of one token ask once.

        Raises StatementRefusedError after a revocation, GatewayUnavailableError when nobody can be asked.
        """
        task = self._renewals.get(statement.text)
        if task is None:
            task = self._renewals[statement.text] = asyncio.create_task(self._renew(statement))
            task.add_done_callback(lambda _: self._renewals.pop(statement.text))
        return await asyncio.shield(task)

    async def _renew(self, statement: Statement) -> Statement:
        try:
            answer = await self._ask("POST", f"{self._url}/renewal", statement.text.encode())
            text = str(json.loads(answer)["statement"])
        except NoAnswerError as error:
            if error.status in (400, 401, 403):
                raise StatementRefusedError("The sign-in behind this request was revoked.") from error
            raise GatewayUnavailableError(str(error)) from error
        except (ValueError, RecursionError, KeyError, TypeError) as error:
            raise GatewayUnavailableError("the gateway's renewal is malformed") from error
        return await self.check(text, statement.audience)

    async def tell(self, statement: Statement, said: Mapping[str, Any]) -> None:
        """What the server that a statement is for says of itself. Raises NoAnswerError."""
        body = json.dumps({"statement": statement.text, "said": said}, ensure_ascii=False)
        await self._ask("POST", f"{self._url}/card", body.encode(errors="replace"))

    async def _have(self, kid: str) -> None:
        """Ask for a key that is not here; the last ones stay while it cannot be asked."""
        due = self.now() - self._tried_at >= KEYS_PAUSE
        if kid in self._keys:
            if due and self.now() - self._read_at > KEYS_AGE:
                self._read()
            return
        if self._reading is None and due:
            self._read()
        if self._reading is None:
            raise GatewayUnavailableError("the gateway was asked for its keys a moment ago")
        await asyncio.shield(self._reading)
        if self._read_at < self._tried_at:
            raise GatewayUnavailableError("the gateway's keys cannot be read")

    def _read(self) -> None:
        self._tried_at = self.now()
        self._reading = asyncio.create_task(self._read_keys())

    async def _read_keys(self) -> None:
        try:
            self._issuer, self._keys = read_keys(await self._ask("GET", f"{self._url}/keys", None))
            self._read_at = self._tried_at
        except (NoAnswerError, ValueError) as error:
            log.warning("the keys of identity statements cannot be read, the last ones stay: %s", error)
        finally:
            self._reading = None
