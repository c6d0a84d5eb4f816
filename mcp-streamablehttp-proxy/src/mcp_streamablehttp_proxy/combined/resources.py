"""Whose a resource is. Its URI is the server's own and does not say, so lists are remembered.

Of several servers that have the same URI, it belongs to the one that stands first in the configuration,
whatever the order in which they answered or came back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

_KEPT = 10_000


class Resources:
    def __init__(self, servers: Iterable[str]) -> None:
        """`servers` by name, in the order of the configuration."""
        self._rank = {server: rank for rank, server in enumerate(servers)}
        self._known: OrderedDict[str, str] = OrderedDict()
        self._templates: OrderedDict[str, str] = OrderedDict()

    def note(self, uri: str, server: str) -> bool:
        """Remember that a server has it; False if it belongs to another."""
        return self._note(self._known, uri, server)

    def note_template(self, template: str, server: str) -> bool:
        return self._note(self._templates, template, server)

    def forget(self, uri: str, server: str) -> None:
        """A server does not have it any more."""
        if self._known.get(uri) == server:
            del self._known[uri]

    def owner(self, uri: str) -> str | None:
        """The server of a resource, or of a template."""
        return self._known.get(uri) or self._templates.get(uri)

    def likely(self, uri: str) -> list[str]:
        """Servers with a template that begins as the URI does, the longest beginning first."""
        found = [
            (len(start), server)
            for template, server in self._templates.items()
            if uri.startswith(start := template.partition("{")[0])
        ]
        return list(dict.fromkeys(server for _, server in sorted(found, key=lambda one: -one[0])))

    def _note(self, known: OrderedDict[str, str], key: str, server: str) -> bool:
        owner = known[key] = min(known.get(key, server), server, key=self._rank.__getitem__)
        known.move_to_end(key)
        if len(known) > _KEPT:
            known.popitem(last=False)
        return owner == server
