"""The device authorization grant (RFC 8628): signing in on another device than this one."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable
from typing import Any

from ..credentials.records import Client, Tokens
from ..errors import NotNowError, OAuthRefusedError, SignInError
from ..terminal import Trusted, one_line, say
from . import token_endpoint
from .discovery import AuthorizationServer
from .registration import DEVICE_GRANT, refused
from .urls import checked
from .web import Web

LONGEST_WAIT = 900.0
_SLOWER = 5.0
"""What `slow_down` adds to the interval (section 3.5)."""


async def tokens(
    web: Web, server: AuthorizationServer, client: Client, blank: Tokens, tell: Callable[[str], None]
) -> Tokens:
    """Ask, show the code, `tell` where to confirm it, and wait for that; raises SignInError."""
    assert server.device_authorization_endpoint is not None
    bound = token_endpoint.bound(blank, client)
    form = {"resource": blank.resource} | ({"scope": blank.requested_scope} if blank.requested_scope else {})
    reply = await token_endpoint.post(web, server.device_authorization_endpoint, bound, form)
    answer = reply.document
    if reply.status != 200 or answer is None or "device_code" not in answer:
        raise refused(f"{server.issuer} starts no sign-in by device code", reply)
    until = time.monotonic() + min(_number(answer.get("expires_in"), LONGEST_WAIT), LONGEST_WAIT)
    tell(show(answer, web.server_url, until - time.monotonic()))
    interval = max(1.0, _number(answer.get("interval"), 5.0))
    form = {"grant_type": DEVICE_GRANT, "device_code": str(answer["device_code"]), "resource": blank.resource}
    while time.monotonic() < until:
        await pause(interval)
        try:
            return await token_endpoint.granted(web, bound, form)
        except NotNowError as weather:
            interval += _SLOWER if weather.error == "slow_down" else 0
        except OAuthRefusedError as refusal:
            if refusal.error == "authorization_pending":
                continue
            raise
    raise SignInError("Nobody confirmed the sign-in before its code ended.")


def show(answer: dict[str, Any], server_url: str, seconds: float) -> str:
    """Tell on stderr where to go and what to enter, and the same as a QR code. Returns the address
    with the code."""
    where = checked(answer.get("verification_uri"), "verification address", server_url)
    complete = answer.get("verification_uri_complete")
    code = one_line(str(answer.get("user_code")), 100)
    whole = checked(complete, "verification address", server_url) if complete is not None else where
    say(
        f"To sign in, open {where} on any device and enter the code {code}, within {seconds / 60:.0f} min.\n",
        Trusted(qr(whole)),
        err=True,
    )
    return whole if complete is not None else f"{where} (enter the code {code})"


def qr(url: str) -> str:
    import segno  # a bridge with a browser never needs it

    text = io.StringIO()
    segno.make(url, micro=False).terminal(out=text, compact=True)
    return text.getvalue()


pause = asyncio.sleep


def _number(value: object, otherwise: float) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else otherwise
