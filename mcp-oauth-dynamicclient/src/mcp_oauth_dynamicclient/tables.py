"""What the store holds, by the record it is held as."""

from __future__ import annotations

from .records import Account, AuthorizationCode, Client, DeviceCode, Grant, Identity, RefreshToken
from .store import Store, Table


class Tables:
    """Kinds that belong to one module (a sign-in, a membership) have their table there."""

    def __init__(self, store: Store) -> None:
        self.accounts = Table(store, "account", Account)
        self.clients = Table(store, "client", Client)
        self.codes = Table(store, "code", AuthorizationCode)
        self.device_codes = Table(store, "device_code", DeviceCode)
        self.grants = Table(store, "grant", Grant)
        self.refresh_tokens = Table(store, "refresh_token", RefreshToken)
        self.sessions = Table(store, "session", Identity)
