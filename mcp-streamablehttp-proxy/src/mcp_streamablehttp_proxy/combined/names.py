"""Whose a name of the combination is: the name alone says so, and no list must be read for a call."""

from __future__ import annotations

from collections.abc import Mapping


class Names:
    """A name belongs to the server with the longest prefix that it begins with.

    What would lead to another server is not shown, so that every name that is shown leads back to its own.
    """

    def __init__(self, prefixes: Mapping[str, str]) -> None:
        """`prefixes` by server, each different."""
        self._prefixes = dict(sorted(prefixes.items(), key=lambda one: len(one[1]), reverse=True))

    def owner(self, shown: str) -> tuple[str, str] | None:
        """The server, and what the server itself calls it."""
        for server, prefix in self._prefixes.items():
            if shown.startswith(prefix):
                return server, shown[len(prefix) :]
        return None

    def shown(self, server: str, own: str) -> str | None:
        """What clients call it; None if they cannot have it."""
        name = self._prefixes[server] + own
        return name if self.owner(name) == (server, own) else None
