"""HTTP with one remote server: its address, its credentials, and what it means when no answer comes."""

from __future__ import annotations

import contextlib
import functools
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping

import httpx

from .. import __version__
from .._common import jsonrpc
from .._common.error_codes import INTERNAL_ERROR, METHOD_NOT_FOUND
from .._common.event_stream import Event, EventParser, EventTooLargeError
from .._common.jsonrpc import Kind, Message
from ..settings import RemoteServer

EVENT_STREAM = "text/event-stream"

_CONNECT = 15.0
_WRITE = 60.0
_KEPT = 3.0
"""Seconds that an idle connection is kept: servers close theirs after five, and a request that meets the
close has an unknown outcome."""
_SHORT = 64 * 1024
"""Bytes of a refusal that are read."""
_SHOWN = 200
_SECRET = 7
"""Characters of the shortest word of a header that is kept secret: "Bearer" is none."""
_NO_ENDPOINT = frozenset({400, 404, 405, 406, 415, 422, 501})
"""Statuses of whoever cannot read a request; others (credentials, a limit, a crash) have another reason."""


class RemoteError(Exception):
    """A request has no answer. The text goes after "server NAME"."""

    code = INTERNAL_ERROR


class UnreachableError(RemoteError):
    """No connection: the server cannot have acted on the request."""


class ConnectionBrokenError(RemoteError):
    """The connection broke after the request was sent: what became of it is unknown."""


class NoEndpointError(RemoteError):
    """Nobody there understands such a request."""

    code = METHOD_NOT_FOUND


class Connection:
    """Connections are kept and made as needed; nothing is ever sent twice."""

    def __init__(self, server: RemoteServer) -> None:
        self.server = server
        # No time limit for reading: calls have their deadlines, streams need none.
        self._client = httpx.AsyncClient(
            verify=_system_trust(),
            timeout=httpx.Timeout(None, connect=_CONNECT, write=_WRITE),
            limits=httpx.Limits(max_keepalive_connections=20, keepalive_expiry=_KEPT),
        )

    def _credentials(self) -> Mapping[str, str]:
        """The same for every user: where each has their own, they are found here."""
        return self.server.headers

    @contextlib.asynccontextmanager
    async def exchange(
        self, method: str, headers: Mapping[str, str], body: bytes | None = None, url: str = ""
    ) -> AsyncIterator[httpx.Response]:
        """One request, and its answer as it arrives. Raises RemoteError. Redirects are answers."""
        # Credentials are as their file has them; ids of events are UTF-8 (WHATWG HTML section 9.2.2).
        own = self._credentials().items()
        sent = httpx.Headers([(name.encode(), value.encode("latin-1")) for name, value in own])
        sent.update({"User-Agent": f"mcp-streamablehttp-proxy/{__version__}", "Accept-Encoding": "identity"})
        sent.update([(name.encode(), value.encode()) for name, value in headers.items()])
        request = self._client.build_request(method, url or self.server.url, headers=sent, content=body)
        try:
            response = await self._client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.UnsupportedProtocol) as why:
            raise UnreachableError(f"cannot be reached at {self.server.address}: {_reason(why)}") from why
        except httpx.HTTPError as why:
            raise _broken(why) from why
        try:
            yield response
        except httpx.HTTPError as why:
            raise _broken(why) from why
        finally:
            await response.aclose()

    async def events(self, response: httpx.Response) -> AsyncGenerator[Event, None]:
        """The messages of a good answer; JSON is one event without an id. Raises RemoteError."""
        kind = media_type(response)
        limit = self.server.max_line
        if kind == EVENT_STREAM:
            parser = EventParser(limit)
            try:
                async for chunk in response.aiter_bytes():
                    for event in parser.feed(chunk):
                        yield event
            except EventTooLargeError as why:
                raise RemoteError(f"sent {why}") from why
            except httpx.HTTPError as why:
                raise _broken(why) from why
            return
        body = await _read(response, limit)
        if len(body) > limit:
            raise RemoteError(f"sent an answer of more than {limit} bytes")
        if not body.strip():
            return
        if kind != "application/json":
            raise NoEndpointError(
                f"answered with {kind or 'an unnamed content type'} in place of JSON: "
                "its url is not that of an MCP server"
            )
        yield Event(body)

    async def refusal(self, response: httpx.Response) -> Message | RemoteError:
        """What an answer of status 300 and more says: an error response, or the reason in our words."""
        body = (await _read(response, _SHORT))[:_SHORT]
        with contextlib.suppress(jsonrpc.MessageError):
            message = jsonrpc.parse(body)
            if message.kind is Kind.RESPONSE and message.error is not None:
                return message
        status = response.status_code
        if status < 400:
            place = response.headers.get("location", "")
            with contextlib.suppress(httpx.InvalidURL):
                place = str(response.url.join(place).copy_with(query=None, fragment=None))
            return NoEndpointError(
                f"answers with a redirect to {place[:_SHOWN]}: write that address as its url"
            )
        said = f"answered {status}{_sentence(self._without_secrets(body.decode('utf-8', 'replace')))}"
        if status in (401, 403):
            return RemoteError(f"{said}; it does not take the credentials in headers of its entry")
        if status in (429, 503):
            wait = response.headers.get("retry-after", "")
            return RemoteError(f"{said}; try again {f'in {wait} s' if wait.isdigit() else 'later'}")
        return (NoEndpointError if status in _NO_ENDPOINT else RemoteError)(said)

    def _without_secrets(self, text: str) -> str:
        """Some servers repeat the key that they refuse."""
        words = {word for value in self._credentials().values() for word in (value, *value.split())}
        for word in sorted(words, key=len, reverse=True):
            if len(word) >= _SECRET:
                text = text.replace(word, "…")
        return text

    async def close(self) -> None:
        await self._client.aclose()


def media_type(response: httpx.Response) -> str:
    kind: str = response.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower()


@functools.cache
def _system_trust() -> ssl.SSLContext:
    """What the machine trusts, SSL_CERT_FILE and SSL_CERT_DIR included. Reading it takes some 20 ms."""
    return ssl.create_default_context()


async def _read(response: httpx.Response, limit: int) -> bytes:
    """The body, cut soon after the limit."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > limit:
            break
    return bytes(body)


def _broken(why: httpx.HTTPError) -> ConnectionBrokenError:
    return ConnectionBrokenError(
        f"broke the connection ({_reason(why)}): whether it acted on the request is not known; "
        "it was not sent again"
    )


def _reason(why: httpx.HTTPError) -> str:
    return str(why)[:_SHOWN] or type(why).__name__


def _sentence(text: str) -> str:
    """The server's own sentence, where the answer is one rather than a page."""
    text = " ".join(text.split())
    if not text or text.startswith("<"):
        return ""
    return ": " + "".join(char for char in text[:_SHOWN] if char.isprintable())
