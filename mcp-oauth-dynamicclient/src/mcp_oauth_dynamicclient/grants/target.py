"""Which server a token is for (RFC 8707)."""

from __future__ import annotations

from collections.abc import Sequence

from ..context import Context
from ..errors import InvalidTargetError, TemporarilyUnavailableError
from ..servers import Presence


def named_resource(ctx: Context, named: Sequence[str]) -> str | None:
    """The one server that a request names, in its canonical form; None when it names none."""
    resources = {ctx.resources.canonical(url) for url in named}
    if None in resources:
        raise InvalidTargetError("The resource is not a server of this gateway.")
    if len(resources) > 1:
        raise InvalidTargetError("A token opens one server: send one resource.")
    return next(iter(resources), None)


async def new_resource(ctx: Context, named: Sequence[str]) -> str | None:
    """The server for a new grant, which has to exist; none means every server, which REQUIRE_RESOURCE
    forbids.

    TemporarilyUnavailableError while nobody knows which servers there are.
    """
    resource = named_resource(ctx, named)
    if resource is not None:
        presence = await ctx.servers.presence(ctx.resources.server(resource))
        if presence is Presence.UNKNOWN:
            raise InvalidTargetError("The resource is not a server of this gateway.")
        if presence is Presence.UNDECIDED:
            raise TemporarilyUnavailableError("The edge has not said yet which servers there are; try again.")
    if resource is None and ctx.settings.require_resource:
        raise InvalidTargetError("Name the server with the resource parameter (RFC 8707).")
    return resource


def resource_within(ctx: Context, named: Sequence[str], granted: str | None) -> str | None:
    """The server for a token of an existing grant: the granted one, or one server out of all."""
    resource = named_resource(ctx, named)
    if resource is None or resource == granted:
        return granted
    if granted is None:
        return resource
    raise InvalidTargetError("The resource is not the one this authorization was given for.")
