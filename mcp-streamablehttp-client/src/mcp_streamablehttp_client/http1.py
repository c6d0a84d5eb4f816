"""A small HTTP/1.1 client for the relay: h11 for the protocol, asyncio for the sockets.

httpx serves the OAuth side, where comfort counts. On the relay every millisecond of start-up and
latency does: this client starts five times and answers three times as fast.
"""

import asyncio
import contextlib
import os
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator
from functools import cache
from urllib.parse import urlsplit

import h11

from .errors import BrokenStream, MessageTooLarge, Unreachable
from .proxies import Proxy, proxy_for
from .settings import MAX_MESSAGE_BYTES

IDLE_SECONDS = 30.0
"""How long an unused connection is kept; servers close theirs after a while too."""
CONNECT_SECONDS = 20.0
ENOUGH_CONNECTIONS = 32
"""With so many open, a request waits for one that another gives back;"""
STALLED_SECONDS = 0.1
"""when none was for so long, as many again may be opened: a call may take minutes."""

Headers = list[tuple[str, str]]


@cache
def tls_context() -> ssl.SSLContext:
    """The system's certificates and certifi's together, or SSL_CERT_FILE / SSL_CERT_DIR."""
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context


class Target:
    """A URL taken apart once."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url = url
        self.tls = parts.scheme == "https"
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if self.tls else 80)
        self.path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        literal = f"[{self.host}]" if ":" in self.host else self.host
        self.authority = literal if parts.port is None else f"{literal}:{self.port}"

    @property
    def origin(self) -> tuple[bool, str, int]:
        return self.tls, self.host, self.port


class _Connection:
    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, proxy: Proxy | None
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.proxy = proxy
        self.protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=256 * 1024)
        self.reused = False
        self.closed = False
        self.idle_since = 0.0

    def usable(self) -> bool:
        fresh = time.monotonic() - self.idle_since < IDLE_SECONDS
        return fresh and not self.reader.at_eof() and not self.writer.is_closing()

    async def send(self, method: str, target: Target, headers: Headers, body: bytes) -> None:
        path = target.path
        fields = [("Host", target.authority), *headers]
        if self.proxy is not None and not target.tls:
            path = f"http://{target.authority}{path}"
            fields += self.proxy.headers
        if method == "POST":
            fields.append(("Content-Length", str(len(body))))
        request = h11.Request(method=method, target=path, headers=fields)
        data = [self.protocol.send(request)]
        if body:
            data.append(self.protocol.send(h11.Data(body)))
        data.append(self.protocol.send(h11.EndOfMessage()))
        self.writer.write(b"".join(part for part in data if part))
        await self.writer.drain()

    async def next_event(self, silence: float | None) -> h11.Event | type[h11.PAUSED]:
        while (event := self.protocol.next_event()) is h11.NEED_DATA:
            async with asyncio.timeout(silence):
                self.protocol.receive_data(await self.reader.read(1 << 16))
        return event  # type: ignore[return-value]  # NEED_DATA is excluded above

    async def head(self, silence: float) -> h11.Response:
        """The final response head, after any interim ones (100, 103)."""
        while not isinstance(event := await self.next_event(silence), h11.Response):
            if not isinstance(event, h11.InformationalResponse):
                raise ConnectionResetError
        return event

    def close(self) -> None:
        self.closed = True
        with contextlib.suppress(Exception):
            self.writer.close()


class Response:
    """Status and headers of an answer; its body is read as it comes, once."""

    def __init__(
        self, head: h11.Response, connection: _Connection, client: "HttpClient", timeout: float
    ) -> None:
        self.status: int = head.status_code
        self.reason = bytes(head.reason).decode("latin-1")
        self.headers: dict[str, str] = {}
        self.challenges: list[str] = []
        for raw_name, raw_value in head.headers:
            name, value = bytes(raw_name).decode("latin-1"), bytes(raw_value).decode("latin-1")
            self.headers.setdefault(name, value)
            if name == "www-authenticate":
                self.challenges.append(value)
        self._connection: _Connection | None = connection
        self._client = client
        self._timeout = timeout

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def chunks(self, *, patient: bool = False) -> AsyncIterator[bytes]:
        """The body; `patient` waits without limit between chunks (streams that may be silent)."""
        connection = self._connection
        if connection is None:
            return
        try:
            while True:
                event = await connection.next_event(None if patient else self._timeout)
                if isinstance(event, h11.Data):
                    yield bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    self._connection = None
                    self._client.release(connection)
                    return
                else:
                    raise BrokenStream("The server closed the connection during its answer.")
        except (h11.RemoteProtocolError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise BrokenStream(
                    f"The server sent nothing for {self._timeout:g} s (see --timeout)."
                ) from None
            raise BrokenStream("The connection broke during the server's answer.") from None
        finally:
            self.close()

    async def read(self, limit: int = MAX_MESSAGE_BYTES) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                raise MessageTooLarge(f"The server's answer is longer than {limit} bytes.")
            parts.append(chunk)
        return b"".join(parts)

    async def discard(self) -> None:
        """Read a short body away so that the connection can be used again; drop a long one."""
        with contextlib.suppress(BrokenStream, MessageTooLarge):
            await self.read(64 * 1024)
        self.close()

    def close(self) -> None:
        """Drop the connection unless the body was read to its end. Towards a 2026-07-28 server
        this is how a request is cancelled."""
        if self._connection is not None:
            self._client.drop(self._connection)
            self._connection = None


class HttpClient:
    """Keeps connections to one origin alive and hands them out, newest first."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._idle: list[_Connection] = []
        self._open = 0
        """Connections at work, idle or being made."""
        self._enough = ENOUGH_CONNECTIONS
        self._waiting: deque[asyncio.Future[_Connection | None]] = deque()
        self._moved = 0.0

    async def request(
        self,
        method: str,
        target: Target,
        headers: Headers,
        body: bytes = b"",
        *,
        sent: asyncio.Event | None = None,
    ) -> Response:
        """Raises Unreachable. A kept-alive connection that the server closed unseen is replaced.
        `sent` is set once the request is on its way."""
        while True:
            connection = self._take() or await self._freed() or await self._connected(target)
            try:
                await connection.send(method, target, headers, body)
                if sent is not None:
                    sent.set()
                head = await connection.head(self._timeout)
                return Response(head, connection, self, self._timeout)
            except TimeoutError:
                self.drop(connection)
                raise Unreachable(f"{target.authority} did not answer within {self._timeout:g} s.") from None
            except (OSError, h11.RemoteProtocolError) as error:
                self.drop(connection)
                gone = isinstance(error, OSError) or connection.reader.at_eof()
                if connection.reused and gone:
                    continue
                raise Unreachable(
                    f"{target.authority} closed the connection without an answer."
                    if gone
                    else f"{target.authority} did not answer in HTTP/1.1."
                ) from None
            except BaseException:
                self.drop(connection)
                raise

    def release(self, connection: _Connection) -> None:
        """Take back a connection whose answer was read to its end."""
        protocol = connection.protocol
        if protocol.our_state is not h11.DONE or protocol.their_state is not h11.DONE:
            self.drop(connection)
            return
        protocol.start_next_cycle()
        connection.reused = True
        self._offer(connection)

    def drop(self, connection: _Connection) -> None:
        """Close a connection; whoever waits for one may open another."""
        if not connection.closed:
            connection.close()
            self._open -= 1
            self._moved = time.monotonic()
            self._hand_over(None)

    def close(self) -> None:
        while self._idle:
            self.drop(self._idle.pop())

    def _take(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable():
                return connection
            self.drop(connection)
        return None

    async def _freed(self) -> _Connection | None:
        """One that another request gave back; None when a new one is to be opened."""
        if self._open < self._enough:
            return None
        waiting: asyncio.Future[_Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            while not waiting.done():
                await asyncio.wait((waiting,), timeout=STALLED_SECONDS)
                if not waiting.done() and self._may_open():
                    return None
            return waiting.result()
        except asyncio.CancelledError:
            if waiting.done() and (connection := waiting.result()) is not None:
                self._offer(connection)
            raise
        finally:
            if not waiting.done():
                self._waiting.remove(waiting)

    def _may_open(self) -> bool:
        now = time.monotonic()
        if now - self._moved > STALLED_SECONDS:
            self._enough = self._open + ENOUGH_CONNECTIONS
            self._moved = now
        return self._open < self._enough

    def _offer(self, connection: _Connection) -> None:
        connection.idle_since = self._moved = time.monotonic()
        if not self._hand_over(connection):
            self._enough = ENOUGH_CONNECTIONS
            self._idle.append(connection)

    def _hand_over(self, connection: _Connection | None) -> bool:
        if self._waiting:
            self._waiting.popleft().set_result(connection)
            return True
        return False

    async def _connected(self, target: Target) -> _Connection:
        self._open += 1
        try:
            return await self._connect(target)
        except BaseException:
            self._open -= 1
            raise

    async def _connect(self, target: Target) -> _Connection:
        proxy = proxy_for(target.tls, target.host, target.port)
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                if proxy is None:
                    reader, writer = await asyncio.open_connection(
                        target.host, target.port, ssl=tls_context() if target.tls else None
                    )
                    return _Connection(reader, writer, None)
                reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
                if target.tls:
                    await proxy.tunnel(reader, writer, target.host, target.port)
                    await writer.start_tls(tls_context(), server_hostname=target.host)
                return _Connection(reader, writer, proxy)
        except BaseException as error:
            if writer is not None:
                writer.close()
            if isinstance(error, ssl.SSLCertVerificationError):
                raise Unreachable(
                    f"The certificate of {target.authority} is not trusted: {error.verify_message}."
                ) from None
            if isinstance(error, TimeoutError):
                raise Unreachable(
                    f"{target.authority} could not be reached within {CONNECT_SECONDS:g} s."
                ) from None
            if isinstance(error, OSError):
                number = error.errno or 0
                reason = os.strerror(number) if number > 0 else error.strerror
                raise Unreachable(
                    f"Cannot connect to {target.authority}: {reason or type(error).__name__}."
                ) from None
            raise
