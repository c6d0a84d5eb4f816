"""Tokens keyed by issuer and resource, registrations by issuer, servers by URL.

Secrets live in the keyring when one works, else in private files; the index of servers, which
holds none, is always files. `CREDENTIAL_STORAGE_PATH` names another directory and means files.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ..errors import ClientError
from .files import FileSecrets, make_private
from .records import Client, Server, Tokens
from .system_keyring import KeyringSecrets, KeyringUnusableError, open_keyring

log = logging.getLogger(__name__)

_MODE = "storage"


class Store:
    def __init__(self, directory: Path | None = None) -> None:
        configured = os.environ.get("CREDENTIAL_STORAGE_PATH")
        if directory is None and configured:
            directory = Path(configured).expanduser()
        self._files_only = directory is not None
        if directory is None:
            import platformdirs

            directory = Path(platformdirs.user_data_dir("mcp-streamablehttp-client", False))
        self.directory = directory
        self._files = FileSecrets(directory)
        self._keyring: KeyringSecrets | None = None
        self._memory: dict[str, str] = {}
        self._here: dict[str, asyncio.Lock] = {}

    def server(self, url: str) -> Server | None:
        text = self.noted("server", url)
        server = Server.from_dict(_object(text)) if text else None
        return server if server is not None and server.url == url else None

    def servers(self) -> list[Server]:
        found = (
            Server.from_dict(_object(path.read_text(encoding="utf-8")))
            for path in sorted(self.directory.glob("server-*.json"))
        )
        return [server for server in found if server is not None]

    def save_server(self, server: Server) -> None:
        self._write_file(_name("server", server.url), json.dumps(server.to_dict(), indent=1))

    def delete_server(self, url: str) -> bool:
        return self._delete(_name("server", url))

    def tokens(self, issuer: str, resource: str) -> Tokens | None:
        text = self._read(_name("tokens", issuer, resource))
        tokens = Tokens.from_dict(_object(text)) if text else None
        same = tokens is not None and (tokens.issuer, tokens.resource) == (issuer, resource)
        return tokens if same else None

    def save_tokens(self, tokens: Tokens) -> None:
        name = _name("tokens", tokens.issuer, tokens.resource)
        self._write(name, json.dumps(tokens.to_dict()))

    def delete_tokens(self, issuer: str, resource: str) -> bool:
        return self._delete(_name("tokens", issuer, resource))

    def client(self, issuer: str) -> Client | None:
        text = self._read(_name("client", issuer))
        client = Client.from_dict(_object(text)) if text else None
        return client if client is not None and client.issuer == issuer else None

    def save_client(self, client: Client) -> None:
        self._write(_name("client", client.issuer), json.dumps(client.to_dict()))

    def delete_client(self, issuer: str) -> bool:
        return self._delete(_name("client", issuer))

    @asynccontextmanager
    async def locked(self, purpose: str, *key: str, seconds: float) -> AsyncIterator[None]:
        """Hold a lock that excludes other tasks and other processes; raises ClientError when it
        cannot be had within `seconds`."""
        from filelock import AsyncFileLock, Timeout

        name = _name(purpose, *key)
        try:
            make_private(self.directory)
            lock = AsyncFileLock(self.directory / f"{name}.lock", timeout=seconds, mode=0o600)
            await lock.acquire()
        except Timeout as error:
            raise ClientError(
                "Another mcp-streamablehttp-client is busy with the same sign-in; finish or end it."
            ) from error
        except OSError as error:
            log.info("cannot lock %s: %s", self.directory, error.strerror)
            async with self._here.setdefault(name, asyncio.Lock()):
                yield  # what lives in memory is nobody else's
            return
        try:
            yield
        finally:
            await lock.release()

    @property
    def place(self) -> str:
        """Where secrets are, for people."""
        return "the system keyring" if self._mode() == "keyring" else str(self.directory)

    def place_of(self, issuer: str, resource: str) -> str:
        """Where the tokens for one resource really are: a keyring may refuse a single entry, as
        Windows does beyond 2,560 bytes."""
        name = _name("tokens", issuer, resource)
        if name in self._memory:
            return "memory only"
        return str(self.directory) if self._files.read(name) is not None else self.place

    def note(self, kind: str, key: str, text: str) -> None:
        """Keep something that is not secret."""
        self._write_file(_name(kind, key), text)

    def forget(self, kind: str, key: str) -> None:
        self._delete_file(_name(kind, key))

    def noted(self, kind: str, key: str) -> str | None:
        name = _name(kind, key)
        return self._memory.get(name) or self._files.read(name)

    def _mode(self) -> str:
        return (self._files.read(_MODE) or "file") if not self._files_only else "file"

    def _read(self, name: str) -> str | None:
        text = self._memory.get(name) or self._files.read(name)
        if text is None and self._mode() == "keyring":
            with contextlib.suppress(KeyringUnusableError):
                return self._open_keyring().read(name)
        return text

    def _write(self, name: str, text: str) -> None:
        if not self._files_only:
            with contextlib.suppress(KeyringUnusableError):
                self._open_keyring().write(name, text)
                self._files.delete(name)
                if self._mode() != "keyring":
                    self._files.write(_MODE, "keyring")
                return
        self._write_file(name, text)

    def _write_file(self, name: str, text: str) -> None:
        """In memory where nothing can be written (a container without a writable home)."""
        try:
            self._files.write(name, text)
            self._memory.pop(name, None)
        except ClientError as problem:
            log.warning("%s Kept in memory until this program ends.", problem)
            self._memory[name] = text

    def _delete(self, name: str) -> bool:
        found = self._delete_file(name)
        if self._mode() == "keyring":
            with contextlib.suppress(KeyringUnusableError):
                found = self._open_keyring().delete(name) or found
        return found

    def _delete_file(self, name: str) -> bool:
        found = self._memory.pop(name, None) is not None
        return self._files.delete(name) or found

    @property
    def directory_if_named(self) -> Path | None:
        """The directory when the person named it, so that another process finds the same store."""
        return self.directory if self._files_only else None

    @property
    def in_memory(self) -> bool:
        """Whether something could not be written, so that no other process sees it."""
        return bool(self._memory)

    def _open_keyring(self) -> KeyringSecrets:
        if self._keyring is None:
            self._keyring = open_keyring()
        return self._keyring


def _name(kind: str, *key: str) -> str:
    return f"{kind}-{hashlib.sha256(chr(10).join(key).encode()).hexdigest()[:32]}"


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
