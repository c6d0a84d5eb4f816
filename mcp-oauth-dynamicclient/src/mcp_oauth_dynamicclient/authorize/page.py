"""The consent page: the question, always shown, when a client asks and when a device does."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Response

from .. import login, pages, server_tools
from ..context import Context
from ..records import Identity
from .wording import ClientWords, Destination, describe_scope


@dataclass(frozen=True, slots=True)
class Question:
    client: ClientWords
    destination: Destination
    resource: str | None
    """None: every server of the gateway."""
    scope: str
    until: str
    """When what is approved ends; empty where that is not known."""
    action: str
    """The path that the answer goes to."""
    form_targets: tuple[str, ...] = ()
    """Where answering may lead in the end, besides this server."""


async def consent_page(ctx: Context, question: Question, account: Identity | None, ticket: str) -> Response:
    """`account` is who would approve without signing in again."""
    resource = question.resource
    return pages.render(
        ctx, "consent.html", form_targets=question.form_targets,
        client=question.client, until=question.until, destination=question.destination, resource=resource,
        scopes=describe_scope(question.scope),
        server_name=ctx.resources.name(resource) if resource else "",
        tools=await server_tools.of_server(ctx, resource) if resource else None,
        account=account, provider=login.label(ctx, account.provider) if account else "",
        only_provider=login.only_provider(ctx), ticket=ticket, action=question.action,
    )  # fmt: skip
