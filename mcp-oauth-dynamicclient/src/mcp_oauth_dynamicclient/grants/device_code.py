"""The device authorization grant (RFC 8628)."""

from __future__ import annotations

import secrets
from typing import Any

from .. import scopes
from ..context import Context
from ..errors import (
    AccessDeniedError,
    AuthorizationPendingError,
    ExpiredTokenError,
    InvalidGrantError,
    SlowDownError,
    TemporarilyUnavailableError,
)
from ..forms import Form
from ..records import Client, DeviceCode, Identity
from ..tokens import digest, new_secret
from . import grant, refresh_token, target, token_response

LIFETIME = 600
"""Seconds a person has to enter the code and decide."""
INTERVAL = 5
"""Seconds between polls; each poll that comes sooner adds as many."""
REMEMBERED = 600
"""Seconds for which an expired code is still called expired."""
ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
LENGTH = 8
INVALID = "The device code is unknown, used, or was issued to another client."


async def start(ctx: Context, client: Client, form: Form) -> dict[str, Any]:
    """A device code for the client and a user code for the person (RFC 8628 section 3.2)."""
    resource = await target.new_resource(ctx, form.resources)
    device_code = new_secret()
    expires_at = ctx.now() + LIFETIME
    user_code = await _new_user_code(ctx, digest(device_code), expires_at)
    record = DeviceCode(
        client_id=client.client_id,
        client_name=client.name,
        scope=scopes.granted(form.get("scope")),
        resource=resource,
        user_code=user_code,
        interval=INTERVAL,
        expires_at=expires_at,
    )
    await ctx.tables.device_codes.put(digest(device_code), record, expires_at=expires_at + REMEMBERED)
    shown = f"{user_code[:4]}-{user_code[4:]}"
    page = f"{ctx.settings.issuer}/device"
    return {
        "device_code": device_code,
        "user_code": shown,
        "verification_uri": page,
        "verification_uri_complete": f"{page}?user_code={shown}",
        "expires_in": LIFETIME,
        "interval": INTERVAL,
    }


async def _new_user_code(ctx: Context, device_key: str, expires_at: float) -> str:
    for _ in range(10):
        code = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
        if await ctx.store.add("user_code", code, {"device_code": device_key}, expires_at=expires_at):
            return code
    raise TemporarilyUnavailableError("No device code is free at the moment; try again later.")


def normalise(user_code: str) -> str:
    """A code as a person types it: case, spaces and dashes do not matter."""
    return "".join(char for char in user_code.upper() if char.isascii() and char.isalnum())


async def find(ctx: Context, user_code: str) -> DeviceCode | None:
    """The undecided request that a user code stands for. Whoever asks limits how often (RFC 8628 5.1)."""
    pointer = await ctx.store.get("user_code", normalise(user_code))
    record = await ctx.tables.device_codes.get(pointer.value["device_code"]) if pointer else None
    return record if record is not None and _waits(ctx, record) else None


async def decide(ctx: Context, user_code: str, identity: Identity | None) -> DeviceCode | None:
    """Approve as `identity`, or deny with None. A code is decided once; None when nothing is to decide."""
    pointer = await ctx.store.get("user_code", normalise(user_code))
    if pointer is None:
        return None
    decision = {"status": "denied" if identity is None else "approved", "identity": identity}
    updated = await ctx.tables.device_codes.update(
        pointer.value["device_code"],
        lambda found: found.model_copy(update=decision) if _waits(ctx, found) else None,
    )
    if updated is None or updated.after is updated.before:
        return None
    await ctx.store.delete("user_code", updated.after.user_code)
    return updated.after


def _waits(ctx: Context, record: DeviceCode) -> bool:
    return record.status == "pending" and record.expires_at > ctx.now()


async def redeem(ctx: Context, client: Client, form: Form) -> dict[str, Any]:
    """One poll of the device (RFC 8628 section 3.4)."""
    key = digest(form.require("device_code"))
    record = await ctx.tables.device_codes.get(key)
    if record is None or record.client_id != client.client_id:
        raise InvalidGrantError(INVALID)
    if record.status == "denied":
        raise AccessDeniedError("The person refused.")
    if record.expires_at <= ctx.now():
        raise ExpiredTokenError("The device code has expired; start again.")
    if record.status == "pending":
        await _wait(ctx, key)
    resource = target.resource_within(ctx, form.resources, record.resource)
    await token_response.check_person(ctx, record.identity, client_id=client.client_id, resource=resource)
    if await ctx.tables.device_codes.take(key) is None:
        raise InvalidGrantError(INVALID)
    given = await grant.create(
        ctx,
        client=client,
        identity=record.identity,
        resource=record.resource,
        scope=record.scope,
        lives=grant.lifetime(ctx, client),
    )
    await ctx.clients.touch(client)
    token = await refresh_token.issue(ctx, given) if client.allows_grant("refresh_token") else None
    return await token_response.bearer(ctx, given, resource=resource, scope=given.scope, refresh_token=token)


async def _wait(ctx: Context, key: str) -> None:
    """Note the poll and tell the device to go on, more slowly if it came too soon. If the person has decided
    meanwhile, the next poll will see."""
    now = ctx.now()

    def polled(record: DeviceCode) -> DeviceCode | None:
        if record.status != "pending":
            return None
        interval = record.interval + (INTERVAL if now - record.polled_at < record.interval else 0)
        return record.model_copy(update={"polled_at": now, "interval": interval})

    updated = await ctx.tables.device_codes.update(key, polled)
    if updated is not None and updated.after.interval > updated.before.interval:
        raise SlowDownError(f"Poll every {updated.after.interval} seconds at most.")
    raise AuthorizationPendingError("The person has not decided yet.")
