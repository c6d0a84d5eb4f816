"""The operating system's keyring, when there is one that works."""

from typing import Any

SERVICE = "mcp-streamablehttp-client"


class KeyringSecrets:
    """Every method raises KeyringUnusable when the keyring refuses."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

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
        try:
            return getattr(self._backend, method)(*arguments)
        except Exception as error:  # backends raise whatever their platform raises
            raise KeyringUnusable(type(error).__name__) from None


class KeyringUnusable(Exception):
    """The keyring is missing, locked, or does not take this entry."""


def open_keyring() -> KeyringSecrets:
    """Raises KeyringUnusable where no real keyring exists (headless machines, containers)."""
    try:
        import keyring

        backend = keyring.get_keyring()
        usable = float(backend.priority) >= 1
    except Exception as error:  # see above
        raise KeyringUnusable(type(error).__name__) from None
    if not usable:
        raise KeyringUnusable("no backend")
    return KeyringSecrets(backend)
