"""The server's questions (elicitation), asked in the terminal."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import click
from mcp.client.session import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitRequestURLParams, ElicitResult, ErrorData

from ..errors import ClientError
from ..oauth import browser
from ..terminal import plain, say
from .arguments import read_value, refusal


async def ask(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult | ErrorData:
    """In a thread: the connection lives on while a person thinks."""
    return await asyncio.to_thread(_ask, params)


def _ask(params: ElicitRequestParams) -> ElicitResult:
    say(f"The server asks: {params.message}", err=True)
    if isinstance(params, ElicitRequestURLParams):
        return _visit(params.url)
    schema = params.requested_schema
    try:
        return ElicitResult(action="accept", content=_form(schema if isinstance(schema, dict) else {}))
    except click.Abort:
        say("Not answered.", err=True)
        return ElicitResult(action="cancel")


def _visit(url: str) -> ElicitResult:
    if urlsplit(url).scheme not in ("http", "https"):
        say("It names no web address; declined.", err=True)
        return ElicitResult(action="decline")
    say(f"It wants you to open {url}", err=True)
    try:
        if not click.confirm("Open it?", default=False, err=True):
            return ElicitResult(action="decline")
    except click.Abort:
        return ElicitResult(action="cancel")
    browser.show(url)
    return ElicitResult(action="accept")


def _form(schema: dict[str, Any]) -> dict[str, Any]:
    """One question a member; an empty answer leaves an optional one out."""
    properties = schema.get("properties")
    required = schema.get("required")
    content: dict[str, Any] = {}
    for name, member in properties.items() if isinstance(properties, dict) else ():
        member = member if isinstance(member, dict) else {}
        must = isinstance(required, list) and name in required
        value = _value(name, member, must)
        if value is not None:
            content[name] = value
    return content


def _value(name: str, member: dict[str, Any], must: bool) -> Any:
    label = str(member.get("title") or name)
    if description := member.get("description"):
        label += f" ({description})"
    choices = _choices(member)
    if choices:
        label += f" [{', '.join(choices)}]"
    default = member.get("default")
    while True:
        text = click.prompt(
            plain(label),
            default="" if default is None else plain(str(default)),
            show_default=default is not None,
            err=True,
        )
        if text == "" and not must:
            return None
        try:
            value = _read(name, text, member)
        except ClientError as problem:
            say(str(problem), err=True)
            continue
        if against := refusal({name: value}, {"properties": {name: member}, "required": [name]}):
            say(against, err=True)
            continue
        return value


def _read(name: str, text: str, member: dict[str, Any]) -> Any:
    if member.get("type") != "array":
        return read_value(name, text, member)
    return [word.strip() for word in text.split(",") if word.strip()]


def _choices(member: dict[str, Any]) -> list[str]:
    items = member.get("items")
    source = items if isinstance(items, dict) else member
    if isinstance(listed := source.get("enum"), list):
        return [str(item) for item in listed]
    titled = source.get("oneOf") or source.get("anyOf")
    return [
        f"{option.get('const')}: {option.get('title', option.get('const'))}"
        for option in (titled if isinstance(titled, list) else ())
        if isinstance(option, dict) and "const" in option
    ]
