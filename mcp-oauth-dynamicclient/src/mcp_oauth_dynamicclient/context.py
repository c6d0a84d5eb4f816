"""What the endpoints share. Built once in `app.py` and passed down; nothing here is global."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

    from .audit import Audit
    from .bridge_wheel import Wheel
    from .clients import ClientRegistry
    from .keys import KeyRing
    from .login import Standings
    from .outages import Outages
    from .policy import Policy
    from .resources import Resources
    from .servers import Servers
    from .settings import Settings
    from .statements import Statements
    from .store import Store
    from .tables import Tables
    from .tokens import Tokens


@dataclass(frozen=True, slots=True)
class Context:
    settings: Settings
    store: Store
    tables: Tables
    """The same store, by record."""
    resources: Resources
    servers: Servers
    keys: KeyRing
    tokens: Tokens
    statements: Statements
    standings: Standings
    """What the login providers last said about people."""
    policy: Policy
    clients: ClientRegistry
    audit: Audit
    outages: Outages
    http: httpx.AsyncClient
    """For the login providers that the operator configured; never for addresses that a client names."""
    bridge_wheel: Wheel | None = None
    now: Callable[[], float] = field(default=time.time)
