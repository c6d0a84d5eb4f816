"""What the endpoints share. Built once in `app.py` and passed down; nothing here is global."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

    from .audit import Audit
    from .clients import ClientRegistry
    from .keys import KeyRing
    from .policy import Policy
    from .resources import Resources
    from .settings import Settings
    from .store import Store
    from .tokens import Tokens


@dataclass(frozen=True, slots=True)
class Context:
    settings: Settings
    store: Store
    resources: Resources
    keys: KeyRing
    tokens: Tokens
    policy: Policy
    clients: ClientRegistry
    audit: Audit
    http: httpx.AsyncClient
    """For the login providers that the operator configured; never for addresses that a client names."""
    now: Callable[[], float] = field(default=time.time)
