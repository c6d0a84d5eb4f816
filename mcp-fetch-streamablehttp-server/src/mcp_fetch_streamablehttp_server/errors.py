from __future__ import annotations


class FetchError(Exception):
    """The page cannot be had; the message is one sentence for the caller."""


class RefusedError(FetchError):
    """The address policy forbids this; nothing was connected to."""
