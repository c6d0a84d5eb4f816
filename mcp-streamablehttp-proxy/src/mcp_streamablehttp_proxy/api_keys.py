"""API keys, for use without the gateway: who has one may use the proxy, under the name that the key has."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ._common.refusal import refuse
from ._common.settings import SettingsError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

log = logging.getLogger(__name__)

SHORTEST = 16
"""Characters of a key: nothing slows down who tries one after the other."""

_ENTRY = re.compile(r"(?:(?P<name>[A-Za-z0-9][A-Za-z0-9._@-]{0,63}):)?(?P<key>[A-Za-z0-9._~+/-]+=*)")
"""What a bearer token may be written with (RFC 6750 section 2.1) has no colon."""

_USER = b"x-user-id"
_IDENTITY = frozenset((_USER, b"x-user-name", b"x-client-id"))
_NO_METADATA = ("/.well-known/oauth-", "/.well-known/openid-configuration")
"""Asked for by clients that take any 401 for OAuth's: 404 tells them that there is none here."""

_CHALLENGE = b'Bearer realm="MCP server, API key"'


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key, of which only the digest is kept. `name` is the user; "" says nothing of who it is."""

    name: str
    digest: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> ApiKey:
        """The key that is written `KEY` or `NAME:KEY`. Raises SettingsError, which does not repeat the
        key."""
        match = _ENTRY.fullmatch(text)
        if match is None or len(match["key"]) < SHORTEST:
            raise SettingsError(
                "MCP_API_KEY: an entry is KEY or NAME:KEY, "
                f"the key at least {SHORTEST} letters, digits and ._~+/-"
            )
        return cls(match["name"] or "", _digest(match["key"].encode()))


def api_keys(entries: Iterable[str], file: Path | None) -> tuple[ApiKey, ...]:
    """The keys given one by one and those of a file, apart by white space. Raises SettingsError."""
    texts = list(entries)
    if file is not None:
        try:
            found = file.read_text(encoding="utf-8").split()
        except (OSError, ValueError) as problem:
            raise SettingsError(f"MCP_API_KEY_FILE: {file} cannot be read as text") from problem
        if not found:
            raise SettingsError(f"MCP_API_KEY_FILE: {file} holds no key")
        texts += found
    keys = tuple(ApiKey.parse(text) for text in texts)
    if len({key.digest for key in keys}) < len(keys):
        raise SettingsError("MCP_API_KEY: two entries have the same key")
    return keys


class ApiKeyGate:
    """401 for a request without one of the keys, in `Authorization: Bearer` (RFC 6750) or `X-API-Key`.

    `GET /health` needs none, and the addresses of OAuth metadata are 404 as everywhere here. The application
    sees the key's name as `X-User-Id`, and nothing of what the client says of its identity.
    """

    def __init__(self, app: ASGIApp, keys: tuple[ApiKey, ...]) -> None:
        self.app = app
        self.keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _open(scope):
            await self.app(scope, receive, send)
            return
        presented = _presented(scope)
        key = None if presented is None else self._find(presented)
        if key is not None:
            kept = [pair for pair in scope["headers"] if pair[0] not in _IDENTITY]
            if key.name:
                kept.append((_USER, key.name.encode()))
            await self.app({**scope, "headers": kept}, receive, send)
            return
        client = (scope.get("client") or ("unknown",))[0]
        if presented is None:
            sentence, challenge = (
                "Send an API key, as Authorization: Bearer KEY or X-API-Key: KEY.",
                _CHALLENGE,
            )
        else:
            sentence, challenge = "This API key is not known here.", _CHALLENGE + b', error="invalid_token"'
        log.info("refused", extra={"reason": sentence, "client": client})
        await refuse(send, 401, sentence, [(b"www-authenticate", challenge)])

    def _find(self, presented: bytes) -> ApiKey | None:
        """Looks at all of them, so that the time says nothing of which came near."""
        digest, found = _digest(presented), None
        for key in self.keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _open(scope: Scope) -> bool:
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    path = path.removeprefix(root) if root else path
    if scope["method"] not in ("GET", "HEAD"):
        return False
    return path == "/health" or path.startswith(_NO_METADATA)


def _presented(scope: Scope) -> bytes | None:
    """The key of a request; that of Authorization if it has both. None if there is none, or several."""
    bearer, own = [], []
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.strip().partition(b" ")
            if scheme.lower() == b"bearer":
                bearer.append(token.strip())
        elif name == b"x-api-key":
            own.append(value.strip())
    found = bearer or own
    return found[0] if len(found) == 1 else None
