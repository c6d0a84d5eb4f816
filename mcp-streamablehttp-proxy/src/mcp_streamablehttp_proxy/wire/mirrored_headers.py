"""A request's headers against its body (MCP 2026-07-28, Streamable HTTP, Request Metadata)."""

from __future__ import annotations

from typing import Any

from .._common import jsonrpc, mirrored_headers
from .._common.error_codes import HEADER_MISMATCH
from .._common.jsonrpc import Message
from .._common.mirrored_headers import (
    PARAM_PREFIX,
    InvalidAnnotationError,
    Mirrored,
    MismatchError,
    mirrored_arguments,
)
from .http import Headers, RefusedError

_PARAM = PARAM_PREFIX.lower().encode()


def check_headers(message: Message, headers: Headers) -> None:
    """Raises RefusedError (-32020) unless Mcp-Method and Mcp-Name repeat what the body says."""
    try:
        mirrored_headers.check_method(message.method, headers)
        member = mirrored_headers.name_member(message.method, headers)
        if member is not None and (raw := message.params.get(member)) is not None:
            mirrored_headers.check_name(member, jsonrpc.decode(raw), headers)
    except MismatchError as error:
        raise RefusedError(400, HEADER_MISMATCH, str(error)) from error


def concerns_params(message: Message, headers: Headers) -> bool:
    """Whether a tool's schema is needed to check this request's `Mcp-Param-*` headers."""
    if message.method != "tools/call":
        return False
    arguments = message.params.get("arguments")
    return (arguments is not None and bytes(arguments) not in (b"{}", b"null")) or any(
        name.startswith(_PARAM) for name in headers
    )


def check_params(message: Message, headers: Headers, mirrored: tuple[Mirrored, ...]) -> None:
    """Raises RefusedError (-32020) unless every argument to be mirrored is mirrored, and truly."""
    if not mirrored:
        return
    raw = message.params.get("arguments")
    arguments = None if raw is None else jsonrpc.decode(raw)
    try:
        mirrored_headers.check_arguments(arguments, headers, mirrored)
    except MismatchError as error:
        raise RefusedError(400, HEADER_MISMATCH, str(error)) from error


def mirrored_by(schema: Any) -> tuple[Mirrored, ...]:
    """The arguments that a tool's inputSchema wants mirrored.

    Empty for an invalid annotation: conforming clients drop such a tool and send no headers.
    """
    try:
        return mirrored_arguments(schema)
    except InvalidAnnotationError:
        return ()
