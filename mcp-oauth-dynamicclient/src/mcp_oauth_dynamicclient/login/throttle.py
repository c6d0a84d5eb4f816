"""How fast passwords may be tried. Nobody is locked out: who guesses has to wait, and nobody else does.

Attempts are counted for account and address together. A browser that signed in to the account before has
counts of its own, so that its owner gets in whatever others try, from wherever. For many addresses at once
there is a pace for the account as a whole, and for many accounts one for the address.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from fastapi import Request, Response

from ..context import Context
from ..errors import TooManyRequestsError
from ..sealing import Seal
from ..tokens import digest, new_secret
from . import cookies

MINUTE, HOUR = 60, 3600
REMEMBERED = 365 * 86400
"""Seconds for which a browser is known to have signed in."""


@dataclass(frozen=True, slots=True)
class Pace:
    """So many attempts in so many seconds."""

    attempts: int
    window: int


FROM_ONE_ADDRESS = (Pace(5, MINUTE), Pace(30, HOUR))
"""On one account. A right password starts these counts again."""
FROM_A_KNOWN_BROWSER = (Pace(10, MINUTE), Pace(60, HOUR))
ON_ONE_ACCOUNT = (Pace(60, MINUTE),)
"""From everywhere but known browsers."""
BY_ONE_ADDRESS = (Pace(100, HOUR),)
"""On all accounts."""


async def count(ctx: Context, name: str, address: str, browser: str | None) -> None:
    """Count an attempt before it is made. Raises TooManyRequestsError when it comes too soon."""
    own = FROM_A_KNOWN_BROWSER if browser else FROM_ONE_ADDRESS
    paces: dict[str, tuple[Pace, ...]] = {}
    if browser is None:
        # First: whoever is refused by it begins no more counts for names that they make up.
        paces[f"login:address:{address}"] = BY_ONE_ADDRESS
    paces[_own(name, address, browser)] = own
    if browser is None:
        paces[f"login:account:{name[:64]}"] = ON_ONE_ACCOUNT
    for counter, allowed in paces.items():
        for pace in allowed:
            attempts = await ctx.store.increment(_counter(counter, pace), window=pace.window)
            if attempts > pace.attempts:
                raise TooManyRequestsError(
                    f"Too many attempts; wait {_words(pace.window)} and try again.", pace.window
                )


async def forgive(ctx: Context, name: str, address: str, browser: str | None) -> None:
    """The password was right."""
    for pace in FROM_A_KNOWN_BROWSER if browser else FROM_ONE_ADDRESS:
        await ctx.store.delete("counter", _counter(_own(name, address, browser), pace))


def _own(name: str, address: str, browser: str | None) -> str:
    return f"login:browser:{digest(f'{browser} {name}')}" if browser else f"login:{address}:{name[:64]}"


def _counter(name: str, pace: Pace) -> str:
    return f"{name}:{pace.window}"


def _words(seconds: int) -> str:
    minutes = ceil(seconds / 60)
    return "a minute" if minutes == 1 else "an hour" if minutes == 60 else f"{minutes} minutes"


class KnownBrowsers:
    """Browsers that signed in to an account here, by a cookie of each account's own."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._seal = Seal(ctx.settings.gateway_secret.get_secret_value(), "known browser", ctx.now)

    def read(self, request: Request, name: str) -> str | None:
        """Which browser this is, if it signed in to the account before."""
        sealed = cookies.read(self._ctx, request, _cookie(name))
        opened = self._seal.open(sealed, REMEMBERED) if sealed else None
        return opened["browser"] if opened and opened["account"] == _account(name) else None

    def remember(self, request: Request, response: Response, name: str) -> None:
        browser = self.read(request, name) or new_secret()
        sealed = self._seal.seal({"browser": browser, "account": _account(name)})
        cookies.write(self._ctx, response, _cookie(name), sealed, REMEMBERED)


def _account(name: str) -> str:
    return name.strip().lower()


def _cookie(name: str) -> str:
    return f"known-{digest(_account(name))[:16]}"
