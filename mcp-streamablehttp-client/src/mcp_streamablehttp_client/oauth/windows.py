"""How often a browser window may open by itself: a server that keeps refusing must not fill a screen."""

from __future__ import annotations

import json
import time

from ..credentials.store import Store
from ..errors import SignInError

MOST_WINDOWS = 3
HOUR = 3600.0


def spend(store: Store, url: str) -> None:
    """Count one window for a server; raises SignInError when the last hour had enough.

    Kept beside the tokens, so that all bridges of a person share the count. Callers hold the lock
    of the sign-in.
    """
    now = time.time()
    recent = [opened for opened in _opened(store, url) if 0 <= now - opened < HOUR]
    if len(recent) >= MOST_WINDOWS:
        minutes = max(1, round((recent[0] + HOUR - now) / 60))
        raise SignInError(
            f"A browser window was opened for {url} {MOST_WINDOWS} times within an hour, and each time "
            f"the server wants another; the next opens by itself in {minutes} min."
        )
    store.note("windows", url, json.dumps([*recent, now]))


def _opened(store: Store, url: str) -> list[float]:
    try:
        value = json.loads(store.noted("windows", url) or "[]")
    except ValueError:
        return []
    return [one for one in value if isinstance(one, (int, float))] if isinstance(value, list) else []
