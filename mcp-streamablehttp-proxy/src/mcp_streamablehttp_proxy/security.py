"""Who may talk to the proxy at all: the Host and Origin lists, and the signed-in user."""

from __future__ import annotations

from ._common.error_codes import INVALID_REQUEST
from ._common.host_origin import Guard as Lists
from ._common.host_origin import HostRule, OriginRule
from ._common.settings import SettingsError
from .settings import Settings
from .wire.http import Headers, RefusedError


class Guard:
    """Checks every request before anything else does. Raises SettingsError for a malformed entry."""

    def __init__(self, settings: Settings) -> None:
        try:
            hosts = tuple(HostRule.parse(entry) for entry in settings.allowed_hosts)
        except ValueError as error:
            raise SettingsError(f"MCP_ALLOWED_HOSTS: {error}") from error
        try:
            origins = tuple(OriginRule.parse(entry) for entry in settings.allowed_origins)
        except ValueError as error:
            raise SettingsError(f"MCP_ALLOWED_ORIGINS: {error}") from error
        try:
            self.readers = tuple(OriginRule.parse(entry) for entry in settings.cors_origins)
            """Origins whose pages may read answers, too."""
        except ValueError as error:
            raise SettingsError(f"MCP_CORS_ORIGINS: {error}") from error
        self._lists = Lists(hosts, (*origins, *self.readers))
        self._told = settings.tells_users

    def check(self, headers: Headers) -> None:
        """Raises RefusedError: 421 for a foreign Host, 403 for a foreign Origin."""
        objection = self._lists.objection(headers.items())
        if objection is not None:
            raise RefusedError(objection.status, INVALID_REQUEST, objection.sentence)

    def principal(self, headers: Headers) -> str:
        """The user whom the gateway signed in, or whose API key it is; "" when nobody tells."""
        return headers.get(b"x-user-id", b"").decode("latin-1") if self._told else ""
