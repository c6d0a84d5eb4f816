"""The redirect listener on 127.0.0.1 (RFC 8252 §7.3): answers one sign-in, then is gone."""

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, urlsplit

import h11

from ..errors import SignInFailed

PATH = "/callback"

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.6 system-ui, sans-serif; max-width: 34rem; margin: 20vh auto; padding: 0 1rem; }}
h1 {{ font-size: 1.5rem; }}
</style></head><body><main><h1>{title}</h1><p>{text}</p></main></body></html>
"""
_RECEIVED = (200, "Back to your program", "The answer was received. You can close this page.")
_REFUSED = (200, "Not signed in", "The sign-in was refused. Your program says more.")
_FOREIGN = (400, "Nothing to do here", "This answer belongs to no sign-in that is waiting.")
_NOT_FOUND = (404, "Nothing here", "This address only receives the end of a sign-in.")
_MISDIRECTED = (421, "Nothing here", "This address is not known by that name.")


class Listener:
    """Waits for the redirect that carries the expected state; others change nothing."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._expected: str | None = None
        self._answer: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()

    @property
    def redirect_uri(self) -> str:
        return f"http://127.0.0.1:{self.port}{PATH}"

    async def answer(self, state: str, seconds: float) -> dict[str, str]:
        """The parameters of the redirect; raises SignInFailed after `seconds`."""
        self._expected = state
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(self._answer)
        except TimeoutError:
            raise SignInFailed(f"Nobody finished the sign-in in the browser within {seconds:g} s.") from None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=32 * 1024)
        with suppress(OSError, h11.ProtocolError, TimeoutError):
            async with asyncio.timeout(30):
                while (event := protocol.next_event()) is h11.NEED_DATA:
                    protocol.receive_data(await reader.read(4096))
            if isinstance(event, h11.Request):
                status, title, text = self._receive(event)
                page = _PAGE.format(title=title, text=text).encode()
                headers = [
                    ("Content-Type", "text/html; charset=utf-8"),
                    ("Content-Length", str(len(page))),
                    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
                    ("Cache-Control", "no-store"),
                    ("Referrer-Policy", "no-referrer"),
                    ("X-Content-Type-Options", "nosniff"),
                    ("Connection", "close"),
                ]
                head = protocol.send(h11.Response(status_code=status, headers=headers)) or b""
                end = protocol.send(h11.EndOfMessage()) if event.method == b"HEAD" else None
                writer.write(head + (b"" if end is not None else page))
                await writer.drain()
        with suppress(OSError):
            writer.close()
            await writer.wait_closed()

    def _receive(self, request: h11.Request) -> tuple[int, str, str]:
        host = dict(request.headers).get(b"host", b"").decode("latin-1")
        if host not in (f"127.0.0.1:{self.port}", f"localhost:{self.port}"):
            return _MISDIRECTED
        target = urlsplit(request.target.decode("latin-1"))
        if request.method != b"GET" or target.path != PATH:
            return _NOT_FOUND
        try:
            query = parse_qs(target.query, keep_blank_values=True, max_num_fields=50)
        except ValueError:
            return _FOREIGN
        if any(len(values) > 1 for values in query.values()):
            return _FOREIGN
        parameters = {name: values[0] for name, values in query.items()}
        state = parameters.get("state", "").encode()
        if self._expected is None or not hmac.compare_digest(state, self._expected.encode()):
            return _FOREIGN
        if self._answer.done():
            return _FOREIGN
        self._answer.set_result(parameters)
        return _RECEIVED if "code" in parameters else _REFUSED


@asynccontextmanager
async def listening(port: int) -> AsyncIterator[Listener]:
    """Listen on 127.0.0.1:port, any free one for 0; raises SignInFailed when it is taken."""
    holder: list[Listener] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await holder[0].serve(reader, writer)

    try:
        server = await asyncio.start_server(serve, "127.0.0.1", port)
    except OSError:
        raise SignInFailed(
            f"Port {port} on 127.0.0.1 is taken; free it or choose another with --callback-port."
        ) from None
    try:
        holder.append(Listener(server.sockets[0].getsockname()[1]))
        yield holder[0]
    finally:
        server.close()  # without waiting: browsers keep spare connections open
