"""The boundary to login providers: whatever they answer becomes a person or an error of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx
from joserfc.errors import JoseError

from ..errors import ServerError
from .base import LoginProvider, SignedIn, StillVouched, UpstreamRequest

UNREADABLE = (
    ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError,
    httpx.InvalidURL, JoseError,
)  # fmt: skip
"""What libraries raise for documents, URLs, keys and tokens that are not what they ought to be."""


class GuardedProvider:
    """A provider that raises nothing but what LoginProvider names. The log is told what could not be read."""

    def __init__(self, provider: LoginProvider) -> None:
        self._provider = provider
        self.name = provider.name
        self.label = provider.label

    async def begin(self, request: UpstreamRequest) -> str:
        with self._read():
            return await self._provider.begin(request)

    async def complete(self, request: UpstreamRequest, answer: Mapping[str, str]) -> SignedIn:
        with self._read():
            found = await self._provider.complete(request, answer)
            _check_unicode(found.token, *found.identity.model_dump().values())
            return found

    async def ask_again(self, token: str, subject: str) -> StillVouched:
        with self._read():
            found = await self._provider.ask_again(token, subject)
            _check_unicode(found.token, found.groups)
            return found

    @contextmanager
    def _read(self) -> Iterator[None]:
        try:
            yield
        except UNREADABLE as error:
            raise ServerError(f"{self.label} sent an answer that cannot be used.") from error


def _check_unicode(*values: object) -> None:
    """Half a surrogate pair, which JSON can hold, can be neither stored nor shown: UnicodeEncodeError is
    raised."""
    json.dumps(values, ensure_ascii=False).encode()
