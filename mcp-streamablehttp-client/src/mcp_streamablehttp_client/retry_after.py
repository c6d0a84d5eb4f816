"""How long a server asks to wait (RFC 9110 section 10.2.3)."""

from __future__ import annotations

import time


def retry_after(value: str | None) -> float | None:
    """Seconds, from a number or a date; None when it is neither."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    from email.utils import parsedate_to_datetime  # here, since no bridge needs it to start

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
