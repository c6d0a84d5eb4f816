"""The redirect listener on 127.0.0.1 (RFC 8252 §7.3): answers one sign-in, then is gone."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, urlsplit

import h11

from ..errors import SignInError

PATH = "/callback"

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark; --ground: #f4f2ee; --card: #fff; --text: #1d2324; --quiet: #596265;
  --line: #ddd9d1; --accent: #0b6e69; --lamp: #d9822b; --shadow: 0 8px 28px rgb(40 35 25 / 7%); }}
@media (prefers-color-scheme: dark) {{ :root {{ --ground: #131718; --card: #1c2223; --text: #e8eae8;
  --quiet: #a0aaab; --line: #323a3b; --accent: #57c7bf; --lamp: #f0a35a; --shadow: none; }} }}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--ground);
  color: var(--text); font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }}
main {{ max-width: 26rem; margin: 1.25rem; padding: 2rem; text-align: center; background: var(--card);
  border: 1px solid var(--line); border-radius: 14px; box-shadow: var(--shadow); }}
h1 {{ margin: 1rem 0 .5rem; font-size: 1.65rem; line-height: 1.25; font-weight: 500; }}
p {{ margin: 0; color: var(--quiet); }}
svg {{ color: var(--accent); }} circle {{ fill: var(--lamp); }}
</style></head><body><main>
<svg viewBox="0 0 32 32" width="44" height="44" aria-hidden="true" fill="none" stroke="currentColor"
 stroke-width="3" stroke-linecap="round"><path d="M5 28V15a11 11 0 0 1 22 0v13M11 28V16a5 5 0 0 1 10 0v12"/>
<circle cx="16" cy="23" r="2.2" stroke="none"/></svg>
<h1>{title}</h1><p>{text}</p></main></body></html>
"""
"""In the gateway's design (its pages/style.css)."""
_RECEIVED = (200, "Back to your program", "The answer was received. You can close this page.")
_REFUSED = (200, "Not signed in", "The sign-in was refused. Go back to your program, which says more.")
_FOREIGN = (
    400,
    "Nothing to do here",
    "This answer belongs to no sign-in that is waiting. Start again from your program.",
)
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
        """The parameters of the redirect; raises SignInError after `seconds`."""
        self._expected = state
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(self._answer)
        except TimeoutError as error:
            raise SignInError(f"Nobody finished the sign-in in the browser within {seconds:g} s.") from error

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
                    (
                        "Content-Security-Policy",
                        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
                    ),
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
    """Listen on 127.0.0.1:port, any free one for 0; raises SignInError when it is taken."""
    holder: list[Listener] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await holder[0].serve(reader, writer)

    try:
        server = await asyncio.start_server(serve, "127.0.0.1", port)
    except OSError as error:
        raise SignInError(
            f"Port {port} on 127.0.0.1 is taken; free it or choose another with --callback-port."
        ) from error
    try:
        holder.append(Listener(server.sockets[0].getsockname()[1]))
        yield holder[0]
    finally:
        server.close()  # without waiting: browsers keep spare connections open
