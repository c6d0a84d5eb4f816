"""Puts a connection together."""

from __future__ import annotations

from .credentials.store import Store
from .oauth.authorizer import Authorizer, NoAuthorization
from .settings import Settings
from .transport import Transport


def transport_for(settings: Settings, *, outlives_host: bool = False) -> Transport:
    """`outlives_host` has a sign-in go on in a process of its own when this one ends."""
    if settings.brings_own_authorization:
        return Transport(settings, NoAuthorization())
    return Transport(settings, Authorizer(settings, Store(), outlives_host=outlives_host))
