"""Which server a token is for (RFC 8707) and what it may do there."""

from __future__ import annotations

from ..context import Context
from ..errors import InvalidScopeError, InvalidTargetError
from ..forms import Form
from ..records import Grant

DEFAULT_SCOPE = "mcp"
SCOPES = ("mcp", "offline_access")


def resource_of(ctx: Context, form: Form) -> str | None:
    """The one server that a request names, in its canonical form; None when it names none."""
    named = {ctx.resources.canonical(url) for url in form.resources}
    if None in named:
        raise InvalidTargetError("The resource is not a server of this gateway.")
    if len(named) > 1:
        raise InvalidTargetError("A token opens one server: send one resource.")
    return next(iter(named), None)


def new_resource(ctx: Context, form: Form) -> str | None:
    """The server for a new grant; none means every server, which REQUIRE_RESOURCE forbids."""
    resource = resource_of(ctx, form)
    if resource is None and ctx.settings.require_resource:
        raise InvalidTargetError("Name the server with the resource parameter (RFC 8707).")
    return resource


def resource_within(ctx: Context, form: Form, granted: str | None) -> str | None:
    """The server for a token of an existing grant: the granted one, or one server out of all."""
    resource = resource_of(ctx, form)
    if resource is None or resource == granted:
        return granted
    if granted is None:
        return resource
    raise InvalidTargetError("The resource is not the one this authorization was given for.")


def new_scope(requested: str | None) -> str:
    """What of a requested scope is granted (RFC 6749 section 3.3): the known part, or the default."""
    wanted = (requested or "").split()
    known = [scope for scope in SCOPES if scope in wanted]
    return " ".join(known) if DEFAULT_SCOPE in known else " ".join([DEFAULT_SCOPE, *known])


def scope_within(form: Form, grant: Grant) -> str:
    """The granted scope or a part of it (RFC 6749 section 6)."""
    requested = (form.get("scope") or grant.scope).split()
    granted = grant.scope.split()
    if not set(requested) <= set(granted):
        raise InvalidScopeError("The scope goes beyond what was granted.")
    return " ".join(scope for scope in granted if scope in requested)
