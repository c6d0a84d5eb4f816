"""Everything that a gateway must not lose, in one encrypted file.

The file is a line that says how it is encrypted (scrypt, Fernet) and a line with the entries. Signing keys in
it stay sealed under GATEWAY_SECRET: under another secret they count for nothing, and new ones are made.
"""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass
from typing import Any, get_args

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from .records import Grant
from .store import Kind, Store

FORMAT = "mcp-oauth-dynamicclient backup"
VERSION = 1
KINDS: tuple[Kind, ...] = ("account", "client", "grant", "key", "membership", "refresh_token", "revoked")
"""What lives long. Codes, sign-ins under way, browser sessions and counters do not."""
COST = 2**15
SHORTEST_PASSPHRASE = 12


class BackupError(ValueError):
    """The file or the passphrase cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Restored:
    written: int
    kept: int
    """Entries that were there already and were left as they are."""


async def export(store: Store, passphrase: str) -> bytes:
    """The encrypted file. Raises BackupError when the passphrase is too short."""
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise BackupError(f"a passphrase needs at least {SHORTEST_PASSPHRASE} characters")
    entries = [
        {"kind": kind, "key": entry.key, "value": entry.value, "expires_at": entry.expires_at}
        for kind in KINDS
        async for entry in store.list(kind)
    ]
    salt = secrets.token_bytes(16)
    sealed = Fernet(_key(passphrase, salt)).encrypt(json.dumps(entries).encode())
    header = {"format": FORMAT, "version": VERSION, "salt": base64.b64encode(salt).decode()}
    return json.dumps(header).encode() + b"\n" + sealed + b"\n"


async def restore(store: Store, content: bytes, passphrase: str, *, overwrite: bool = False) -> Restored:
    """Write the entries of a backup; what is there already stays, unless `overwrite`."""
    written = kept = 0
    for entry in _open(content, passphrase):
        kind, key, value, expires_at = entry["kind"], entry["key"], entry["value"], entry["expires_at"]
        owners = _owners(kind, value)
        if overwrite:
            await store.put(kind, key, value, expires_at=expires_at, owners=owners)
            written += 1
        elif await store.add(kind, key, value, expires_at=expires_at, owners=owners):
            written += 1
        else:
            kept += 1
    return Restored(written, kept)


def _open(content: bytes, passphrase: str) -> list[dict[str, Any]]:
    first, _, sealed = content.partition(b"\n")
    try:
        header = json.loads(first)
        salt = base64.b64decode(header["salt"])
        version = header["version"]
        known = header["format"] == FORMAT
    except (ValueError, KeyError, TypeError, RecursionError):
        known = False
    if not known:
        raise BackupError("this is not a backup of mcp-oauth-server")
    if version != VERSION:
        raise BackupError("this backup was written by a newer version of this program")
    try:
        entries: list[dict[str, Any]] = json.loads(Fernet(_key(passphrase, salt)).decrypt(sealed.strip()))
    except InvalidToken as error:
        raise BackupError("the passphrase is wrong, or the file is damaged") from error
    if any(entry["kind"] not in get_args(Kind) for entry in entries):
        raise BackupError("this backup holds entries that this version does not know")
    return entries


def _owners(kind: Kind, value: dict[str, Any]) -> list[str]:
    """The owners under which `grants` files these entries."""
    if kind == "refresh_token":
        return [f"grant:{value['grant_id']}"]
    if kind != "grant":
        return []
    grant = Grant.model_validate(value)
    people = [f"user:{grant.identity.user_id}"] if grant.identity else []
    return [f"client:{grant.client_id}", *people]


def _key(passphrase: str, salt: bytes) -> bytes:
    return base64.urlsafe_b64encode(Scrypt(salt, 32, n=COST, r=8, p=1).derive(passphrase.encode()))
