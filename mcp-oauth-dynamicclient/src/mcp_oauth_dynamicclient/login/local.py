"""Local accounts: argon2id hashes in the store, attempts throttled per account and per address."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from ..context import Context
from ..errors import AccessDeniedError, TooManyRequestsError
from ..records import Account, Identity
from ..store import Store

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._@-]{0,62}[a-z0-9])?")
SHORTEST_PASSWORD = 10
WINDOW = 900
"""Seconds over which attempts are counted."""
PER_ACCOUNT = 20
"""Attempts on one account before it has to wait; a right password starts the count anew."""
PER_ADDRESS = 100
REFUSED = "That name and password do not match."

_hasher = PasswordHasher()
_NOBODY = _hasher.hash("nobody has this password")
_hashing = asyncio.Semaphore(2)


class AccountError(ValueError):
    """What an operator asked for cannot be done; the message says why."""


async def authenticate(ctx: Context, name: str, password: str, address: str) -> Identity:
    """The person. AccessDeniedError for a wrong name and a wrong password alike, which take equally long;
    TooManyRequestsError after too many attempts, whether the account exists or not."""
    name = name.strip().lower()
    counter = f"login:account:{name[:64]}"
    by_account = await ctx.store.increment(counter, window=WINDOW)
    by_address = await ctx.store.increment(f"login:address:{address}", window=WINDOW)
    if by_account > PER_ACCOUNT or by_address > PER_ADDRESS:
        _audit(ctx, "refused", name, address, "too many attempts")
        raise TooManyRequestsError("Too many attempts; wait a quarter of an hour and try again.", WINDOW)
    account = await find(ctx.store, name)
    right = await _verify(account.password_hash if account else _NOBODY, password)
    if account is None or not right or account.disabled:
        _audit(ctx, "refused", name, address, "wrong name or password")
        raise AccessDeniedError(REFUSED)
    await ctx.store.delete("counter", counter)
    if _hasher.check_needs_rehash(account.password_hash):
        await set_password(ctx.store, account.name, password)
    return Identity(
        provider="local",
        subject=account.name,
        login=account.name,
        name=account.full_name,
        email=account.email,
    )


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
    async for entry in store.list("account"):
        yield Account.model_validate(entry.value)


async def find(store: Store, name: str) -> Account | None:
    entry = await store.get("account", name)
    return Account.model_validate(entry.value) if entry else None


async def _change(store: Store, name: str, **changes: object) -> None:
    while True:
        entry = await store.get("account", name)
        if entry is None:
            raise AccountError(f"there is no account {name}")
        changed = Account.model_validate(entry.value).model_copy(update=changes)
        if await store.swap("account", name, entry.version, changed.model_dump()):
            return


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


def _audit(ctx: Context, outcome: str, name: str, address: str, reason: str) -> None:
    ctx.audit.record("login", outcome=outcome, user=f"local:{name[:64]}", reason=reason, address=address)
