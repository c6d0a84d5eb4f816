"""`login URL`: sign in now, in the browser."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable

import click

from ..credentials.store import Store
from ..errors import DiscoveryError
from ..http1 import HttpClient, Target
from ..jsonrpc import encode
from ..logs import quiet_loop
from ..oauth import browser
from ..oauth.authorizer import Authorizer
from ..oauth.challenge import Challenge, bearer_challenge
from ..session import POST_HEADERS
from ..settings import Settings
from ..terminal import say
from .options import connection


@click.command()
@connection
def login(settings: Settings) -> None:
    """Sign in to a server and keep the tokens."""
    if settings.brings_own_authorization:
        raise click.UsageError("With an Authorization header of your own there is no sign-in.")
    store = Store()

    async def run() -> str:
        asyncio.get_running_loop().set_exception_handler(quiet_loop)
        challenge, required = await _challenge_of(settings)
        try:
            tokens = await Authorizer(settings, store).sign_in_again(challenge, _ask())
        except DiscoveryError:
            if required:
                raise
            return f"{settings.server_url} needs no sign-in."
        return (
            f"Signed in to {tokens.resource} at {tokens.issuer}"
            + (f" with the scope {tokens.scope}" if tokens.scope else "")
            + f". The tokens are kept in {store.place_of(tokens.issuer, tokens.resource)}."
        )

    say(asyncio.run(run()))


def _ask() -> Callable[[], Awaitable[str]] | None:
    """Where no browser of this machine can come back: have the person paste the address."""
    if browser.can_open() or not sys.stdin.isatty():
        return None
    say(
        "If your browser cannot reach this machine, it ends at an address that begins with "
        "http://127.0.0.1: and shows nothing. Paste that address here and press Enter.",
        err=True,
    )

    async def read() -> str:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()

        def wait() -> None:
            line = sys.stdin.readline()
            if line:
                loop.call_soon_threadsafe(lambda: None if answer.done() else answer.set_result(line))

        threading.Thread(target=wait, name="pasted address", daemon=True).start()
        return await answer

    return read


async def _challenge_of(settings: Settings) -> tuple[Challenge, bool]:
    """How the server answers someone without a token: its challenge, and whether it was 401."""
    http = HttpClient(settings.timeout, settings.trust)
    probe = encode({"jsonrpc": "2.0", "id": 1, "method": "ping"})
    try:
        response = await http.request(
            "POST", Target(settings.server_url), [*settings.headers, *POST_HEADERS], probe
        )
        await response.discard()
        return bearer_challenge(response.challenges), response.status == 401
    finally:
        http.close()
