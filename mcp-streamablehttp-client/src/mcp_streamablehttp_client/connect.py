"""Puts a connection together."""

from .credentials.store import Store
from .oauth.authorizer import Authorizer, NoAuthorization
from .settings import Settings
from .transport import Transport


def transport_for(settings: Settings) -> Transport:
    if settings.brings_own_authorization:
        return Transport(settings, NoAuthorization())
    return Transport(settings, Authorizer(settings, Store()))
