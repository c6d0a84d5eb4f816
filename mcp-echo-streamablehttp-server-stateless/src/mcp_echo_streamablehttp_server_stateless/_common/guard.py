"""The Host and Origin lists in front of an ASGI application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .host_origin import Guard, cannot_be_rebound
from .refusal import refuse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class HostOriginGuard:
    """421 for a Host and 403 for an Origin that is not listed; /health is open to every probe.

    So is /metrics to whoever asks by the container's name or address, as Prometheus does.
    """

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self.app = app
        self.guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == "/health" or _asks_for_metrics(scope):
            await self.app(scope, receive, send)
        elif objection := self.guard.objection(scope["headers"]):
            await refuse(send, objection.status, objection.sentence)
        else:
            await self.app(scope, receive, send)


def _asks_for_metrics(scope: Scope) -> bool:
    return bool(scope["path"] == "/metrics" and cannot_be_rebound(scope["headers"]))
