"""The operating system's keyring, when there is one that works."""

from __future__ import annotations

import queue
import threading
from typing import Any

SERVICE = "mcp-streamablehttp-client"
PATIENCE_SECONDS = 5.0


class KeyringSecrets:
    """Every method raises KeyringUnusableError when the keyring refuses."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._hangs = False

    def read(self, name: str) -> str | None:
        return self._try("get_password", SERVICE, name)  # type: ignore[no-any-return]  # untyped

    def write(self, name: str, text: str) -> None:
        self._try("set_password", SERVICE, name, text)

    def delete(self, name: str) -> bool:
        if self.read(name) is None:
            return False
        self._try("delete_password", SERVICE, name)
        return True

    def _try(self, method: str, *arguments: str) -> Any:
        """In a thread with a time limit: a locked keyring asks its person, perhaps on a screen that
        nobody looks at. One that did not answer is not asked again."""
        if self._hangs:
            raise KeyringUnusableError("no answer")
        outcome: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()

        def ask() -> None:
            try:
                outcome.put((getattr(self._backend, method)(*arguments), None))
            except Exception as error:  # backends raise whatever their platform raises
                outcome.put((None, error))

        threading.Thread(target=ask, name="keyring", daemon=True).start()
        try:
            value, error = outcome.get(timeout=PATIENCE_SECONDS)
        except queue.Empty as error:
            self._hangs = True
            raise KeyringUnusableError("no answer") from error
        if error is not None:
            raise KeyringUnusableError(type(error).__name__)
        return value


class KeyringUnusableError(Exception):
    """The keyring is missing, locked, or does not take this entry."""


def open_keyring() -> KeyringSecrets:
    """Raises KeyringUnusableError where no real keyring exists (headless machines, containers)."""
    try:
        import keyring

        backend = keyring.get_keyring()
        usable = float(backend.priority) >= 1
    except Exception as error:  # see above
        raise KeyringUnusableError(type(error).__name__) from error
    if not usable:
        raise KeyringUnusableError("no backend")
    return KeyringSecrets(backend)
