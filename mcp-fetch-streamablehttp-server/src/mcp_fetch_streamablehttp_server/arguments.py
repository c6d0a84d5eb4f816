"""What a caller may ask for, and how it is told what is wrong with it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import FetchError
from .fetch import Order, parse_url
from .headers import check_headers


class FetchArguments(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: str = Field(description="Absolute http or https address of the page, feed, PDF, picture or file")
    content: Literal["main", "full"] = Field(
        "main", description="main: the article or documentation itself; full: the whole page with its menus"
    )
    section: str | None = Field(
        None, description="Only the section under this heading (see outline)", min_length=1, max_length=300
    )
    find: str | None = Field(
        None,
        description="Only the places where these words stand, with what is around them",
        min_length=1,
        max_length=300,
    )
    outline: bool = Field(False, description="Only the headings, each with its start_index")
    links: bool = Field(False, description="Add the list of the page's links")
    max_length: int = Field(100_000, ge=1, le=1_000_000, description="Most characters of text to return")
    max_tokens: int | None = Field(
        None, ge=1, le=1_000_000, description="Most tokens of text to return, estimated; beside max_length"
    )
    start_index: int = Field(0, ge=0, description="Character to start at, to read on where an answer was cut")
    first_page: int = Field(1, ge=1, description="For a PDF: the page to start at")
    raw: bool = Field(False, description="The text as it came, unconverted")
    method: Literal["GET", "HEAD", "POST"] = Field(
        "GET", description="HEAD for the headers alone; POST only where this server's operator allows it"
    )
    headers: dict[str, str] | None = Field(None, description="Request headers; not Host, Cookie and the like")
    body: str | None = Field(None, description="Request body, for POST", max_length=500_000)
    timeout: float | None = Field(
        None, gt=0, le=600, description="Most seconds to take; the server's own limit if that is less"
    )
    user_agent: str | None = Field(
        None, description="User-Agent header", max_length=200, pattern=r"^[\x20-\x7e]+$"
    )


def order(arguments: FetchArguments, user_agent: str, *, allow_post: bool) -> Order:
    """Raises FetchError."""
    if arguments.method == "POST" and not allow_post:
        raise FetchError(
            "This server sends no POST; its operator can allow it with MCP_FETCH_ALLOW_POST=true."
        )
    if arguments.body is not None and arguments.method != "POST":
        raise FetchError("A body goes with method POST only.")
    headers = check_headers(arguments.headers or {})
    if arguments.user_agent is not None:
        headers["user-agent"] = arguments.user_agent.strip()
    headers.setdefault("user-agent", user_agent)
    body = None if arguments.body is None else arguments.body.encode("utf-8", "replace")
    return Order(parse_url(arguments.url), arguments.method, headers, body)


def complaint(error: ValidationError) -> str:
    """The first three faults of the arguments, a sentence each."""
    return " ".join(
        fault(found["type"], ".".join(map(str, found["loc"])), found["msg"]) for found in error.errors()[:3]
    )


def fault(kind: str, name: str, message: str) -> str:
    if kind == "missing":
        return f"The argument {name} is missing."
    if kind == "extra_forbidden":
        return f"There is no argument {name}."
    return f"The argument {name} is wrong: {message}."


def schema() -> dict[str, Any]:
    return FetchArguments.model_json_schema()
