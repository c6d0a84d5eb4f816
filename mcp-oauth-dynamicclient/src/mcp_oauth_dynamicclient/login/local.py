"""Local accounts: argon2id hashes in the store; whoever guesses is slowed down."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from ..context import Context
from ..errors import AccessDeniedError, TooManyRequestsError
from ..records import Account, Identity
from ..store import Store, Table
from . import throttle

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._@-]{0,62}[a-z0-9])?")
SHORTEST_PASSWORD = 10
REFUSED = "That name and password do not match."

_hasher = PasswordHasher()
_NOBODY = _hasher.hash("nobody has this password")
_hashing = asyncio.Semaphore(2)


class AccountError(ValueError):
    """What an operator asked for cannot be done; the message says why."""


async def authenticate(
    ctx: Context, name: str, password: str, address: str, browser: str | None = None
) -> Identity:
    """The person. Raises AccessDeniedError for a wrong name and a wrong password alike, which take equally
    long, TooManyRequestsError when they come too fast, whether the account exists or not.

    `browser` is one that signed in to this account before; what others try does not slow it down.
    """
    name = name.strip().lower()
    try:
        await throttle.count(ctx, name, address, browser)
        account = await _check(ctx.store, name, password)
    except (AccessDeniedError, TooManyRequestsError) as error:
        user = f"local:{name[:64]}"
        ctx.audit.record("login", outcome="refused", user=user, address=address, error=error)
        raise
    await throttle.forgive(ctx, name, address, browser)
    if _hasher.check_needs_rehash(account.password_hash):
        await set_password(ctx.store, account.name, password)
    return Identity(
        provider="local",
        subject=account.name,
        login=account.name,
        name=account.full_name,
        email=account.email,
    )


async def _check(store: Store, name: str, password: str) -> Account:
    account = await find(store, name)
    right = await _verify(account.password_hash if account else _NOBODY, password)
    if account is None or not right or account.disabled:
        raise AccessDeniedError(REFUSED)
    return account


async def add_account(
    store: Store,
    name: str,
    password: str,
    *,
    now: float,
    full_name: str | None = None,
    email: str | None = None,
) -> Account:
    """Raises AccountError when the name is taken or unusable, or the password is too short."""
    if not NAME.fullmatch(name):
        raise AccountError("an account name has 1 to 64 of the characters a-z 0-9 . _ @ - (lower case)")
    account = Account(
        name=name, password_hash=await _hash(password), created_at=now, full_name=full_name, email=email
    )
    if not await store.add("account", name, account.model_dump()):
        raise AccountError(f"there is already an account {name}")
    return account


async def set_password(store: Store, name: str, password: str) -> None:
    await _change(store, name, password_hash=await _hash(password))


async def set_disabled(store: Store, name: str, disabled: bool) -> None:
    """A disabled account cannot sign in, and its tokens are refused at the next request."""
    await _change(store, name, disabled=disabled)


async def remove_account(store: Store, name: str) -> None:
    """Remove the account and sign its browsers out; its tokens are refused from now on."""
    if not await store.delete("account", name):
        raise AccountError(f"there is no account {name}")
    async for session in store.list("session", f"user:local:{name}"):
        await store.delete("session", session.key)


async def list_accounts(store: Store) -> AsyncIterator[Account]:
    async for _, account in _accounts(store).list():
        yield account


async def find(store: Store, name: str) -> Account | None:
    return await _accounts(store).get(name)


async def _change(store: Store, name: str, **changes: object) -> None:
    updated = await _accounts(store).update(name, lambda found: found.model_copy(update=changes))
    if updated is None:
        raise AccountError(f"there is no account {name}")


def _accounts(store: Store) -> Table[Account]:
    return Table(store, "account", Account)


async def _hash(password: str) -> str:
    if len(password) < SHORTEST_PASSWORD:
        raise AccountError(f"a password needs at least {SHORTEST_PASSWORD} characters")
    async with _hashing:
        return await asyncio.to_thread(_hasher.hash, password)


async def _verify(stored: str, password: str) -> bool:
    async with _hashing:
        try:
            return await asyncio.to_thread(_hasher.verify, stored, password)
        except (Argon2Error, InvalidHashError):
            return False
