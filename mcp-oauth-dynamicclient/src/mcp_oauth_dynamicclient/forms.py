"""Form bodies of the OAuth endpoints (RFC 6749 section 3.2): every fault is `invalid_request`."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl

from fastapi import Request

from .errors import InvalidRequestError

MAX_BODY = 64 * 1024
MAX_FIELDS = 64
CONTENT_TYPE = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Form:
    """The parameters of one request; those sent without a value count as omitted (RFC 6749 section 3.2)."""

    values: dict[str, str]
    resources: tuple[str, ...] = ()
    """`resource` alone may be repeated (RFC 8707 section 2)."""

    def get(self, name: str) -> str | None:
        return self.values.get(name)

    def require(self, name: str) -> str:
        value = self.values.get(name)
        if value is None:
            raise InvalidRequestError(f"The parameter {name} is missing.")
        return value


async def read_form(request: Request) -> Form:
    """Read and check a form body of at most MAX_BODY bytes."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != CONTENT_TYPE:
        raise InvalidRequestError(f"Send the parameters as {CONTENT_TYPE}.")
    return parse_form(await read_body(request))


async def read_body(request: Request, most: int = MAX_BODY) -> bytes:
    """The body, refused before it is whole when it is larger than `most` bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise InvalidRequestError(f"The body is larger than {most} bytes.", status_code=413)
    return bytes(body)


def parse_form(body: bytes) -> Form:
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except ValueError as error:
        raise InvalidRequestError("The body is not a readable form.") from error
    values: dict[str, str] = {}
    resources: list[str] = []
    seen: set[str] = set()
    for name, value in pairs:
        if name == "resource":
            resources.extend([value] if value else [])
            continue
        if name in seen:
            raise InvalidRequestError("A parameter is repeated; send each one once.")
        seen.add(name)
        if value:
            values[name] = value
    return Form(values, tuple(resources))
