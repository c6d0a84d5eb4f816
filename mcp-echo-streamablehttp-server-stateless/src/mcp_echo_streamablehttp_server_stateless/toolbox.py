"""Tools as data: a name, typed arguments, a typed report; and their binding to the SDK's server."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from mcp import MCPError
from mcp.server import CacheHint, Server, ServerRequestContext
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    Icon,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    ToolAnnotations,
)
from mcp_types import Tool as ToolDescription
from pydantic import BaseModel, ConfigDict, ValidationError

from ._common.meters import Meters
from .call import Call
from .settings import Settings

logger = logging.getLogger(__name__)

LIST_TTL_MS = 3_600_000
# Percent-encoded: the schema wants a URI, which has no spaces and no quotes (RFC 3986 section 2).
ICON = "data:image/svg+xml," + quote(
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' stroke='#555' stroke-width='2'>"
    "<path d='M4 12h4M11 7a7 7 0 0 1 0 10M15 4a11 11 0 0 1 0 16'/></svg>"
)


class ToolError(Exception):
    """The tool cannot do what was asked; the message is one sentence for the caller."""


class Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


A = TypeVar("A", bound=Arguments)


class Report(BaseModel):
    """What a tool found out: structured content, and the same as text."""

    def text(self) -> str:
        raise NotImplementedError


@dataclass(frozen=True)
class Tool(Generic[A]):
    name: str
    title: str
    description: str
    arguments: type[A]
    report: type[Report]
    run: Callable[[Call, A], Awaitable[Report]]
    read_only: bool = True

    def describe(self) -> ToolDescription:
        return ToolDescription(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=self.arguments.model_json_schema(),
            output_schema=self.report.model_json_schema(mode="serialization"),
            annotations=ToolAnnotations(
                read_only_hint=self.read_only,
                destructive_hint=False,
                idempotent_hint=True,
                open_world_hint=False,
            ),
        )


class Toolbox:
    """The tools of one server, answering tools/list and tools/call."""

    def __init__(self, tools: Sequence[Tool[Any]], settings: Settings) -> None:
        self.tools = {tool.name: tool for tool in tools}
        self.settings = settings
        self.descriptions = [tool.describe() for tool in tools]
        self.meters = Meters(frozenset(self.tools))
        self.schemas = {tool.name: tool.input_schema for tool in self.descriptions}

    def server(self, name: str, title: str, version: str, instructions: str) -> Server[Any]:
        hint = CacheHint(ttl_ms=LIST_TTL_MS, scope="public")
        return Server(
            name,
            title=title,
            version=version,
            description=instructions,
            website_url=self.settings.public_url.base if self.settings.public_url else None,
            icons=[Icon(src=ICON, mime_type="image/svg+xml", sizes=["any"])],
            instructions=instructions,
            cache_hints={"server/discover": hint, "tools/list": hint},
            get_tool_input_schema=self.schemas.get,
            on_list_tools=self.list,
            on_call_tool=self.call,
        )

    async def list(
        self, context: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        if params is not None and params.cursor is not None:
            raise MCPError(INVALID_PARAMS, "There is no such cursor: all tools come at once.")
        return ListToolsResult(tools=self.descriptions)

    async def call(
        self, context: ServerRequestContext[Any, Any], params: CallToolRequestParams
    ) -> CallToolResult:
        async with self.meters.call(params.name) as counted:
            result = await self._call(context, params)
            counted.failed = result.is_error is True
            return result

    async def _call(
        self, context: ServerRequestContext[Any, Any], params: CallToolRequestParams
    ) -> CallToolResult:
        tool = self.tools.get(params.name)
        if tool is None:
            raise MCPError(INVALID_PARAMS, f"There is no tool named {params.name!r}; tools/list names them.")
        try:
            arguments = tool.arguments.model_validate(params.arguments or {})
            report = await tool.run(Call.of(context, self.settings), arguments)
        except ValidationError as error:
            return failure(complaint(error))
        except ToolError as error:
            return failure(str(error))
        except MCPError:
            raise
        except Exception:
            logger.exception("Tool %s failed", tool.name)
            return failure(f"{tool.name} failed inside the server; its log says why.")
        return CallToolResult(
            content=[TextContent(text=report.text())], structured_content=report.model_dump(mode="json")
        )


def failure(sentence: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=sentence)], is_error=True)


def complaint(error: ValidationError) -> str:
    """The first three faults of the arguments, in one sentence."""
    return "; ".join(
        _fault(fault["type"], ".".join(map(str, fault["loc"])), fault["msg"]) for fault in error.errors()[:3]
    )


def _fault(kind: str, name: str, message: str) -> str:
    if kind == "missing":
        return f"The argument {name} is missing."
    if kind == "extra_forbidden":
        return f"There is no argument {name}."
    return f"The argument {name} is wrong: {message}."
