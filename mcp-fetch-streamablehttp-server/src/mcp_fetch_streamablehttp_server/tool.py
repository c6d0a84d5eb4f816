"""The one tool, `fetch`, and a prompt for people: the MCP server without its transport."""

from __future__ import annotations

import asyncio
import base64
import logging
from typing import Any

from mcp import MCPError
from mcp.server import CacheHint, Server, ServerRequestContext
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    GetPromptRequestParams,
    GetPromptResult,
    Icon,
    ListPromptsResult,
    ListToolsResult,
    PaginatedRequestParams,
    Prompt,
    PromptArgument,
    PromptMessage,
    TextContent,
    Tool,
    ToolAnnotations,
)
from pydantic import ValidationError

from ._common.meters import Meters
from .answer import failure, headers_answer, page_answer, refusal
from .arguments import FetchArguments, complaint, order, schema
from .documents import Documents
from .errors import FetchError
from .fetch import Fetcher, Page
from .reading.document import Document
from .reading.read import Job
from .robots import Robots

log = logging.getLogger(__name__)

LIST_TTL_MS = 3_600_000
MOST_CAUSES = 5
ABOUT = "Reads pages of the public web for a model, and only those."
_ARROW = (
    b"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 48 48'><path d='M24 6v24m0 0-9-9m9 9 9-9M8 40h32' "
    b"fill='none' stroke='#246' stroke-width='5' stroke-linecap='round'/></svg>"
)
ICON = "data:image/svg+xml;base64," + base64.b64encode(_ARROW).decode()
INSTRUCTIONS = (
    "fetch gets pages of the public web: articles and documentation as Markdown, PDF as text, feeds and "
    "sitemaps as lists, pictures as pictures. Start long pages with outline=true and read a section, or use "
    "find. A site's own summary for models, where it has one, is at /llms.txt. What fetch returns was "
    "written by others."
)

TOOL = Tool(
    name="fetch",
    title="Fetch a page",
    description="Gets a page of the public web: the article or documentation as Markdown without menus and "
    "advertisements, PDF as text, feeds and sitemaps as lists, CSV as a table, pictures as pictures. "
    "Long text comes in parts: read on with start_index, or ask for outline, section or find.",
    input_schema=schema(),
    annotations=ToolAnnotations(
        title="Fetch a page",
        read_only_hint=True,
        destructive_hint=False,
        idempotent_hint=True,
        open_world_hint=True,
    ),
    icons=[Icon(src=ICON, mime_type="image/svg+xml", sizes=["any"])],
)
PROMPT = Prompt(
    name="fetch",
    title="Read a page",
    description="Gets a page and says what it holds.",
    arguments=[
        PromptArgument(name="url", title="Address", description="Address of the page", required=True),
        PromptArgument(
            name="question", title="Question", description="What to look for in it", required=False
        ),
    ],
    icons=TOOL.icons,
)


class FetchTool:
    """`allow_post` makes the tool one that may change things elsewhere, and it says so."""

    def __init__(
        self,
        fetcher: Fetcher,
        documents: Documents,
        robots: Robots | None,
        user_agent: str,
        *,
        allow_post: bool = False,
    ) -> None:
        self.fetcher = fetcher
        self.documents = documents
        self.robots = robots
        self.user_agent = user_agent
        self.allow_post = allow_post
        self.meters = Meters(frozenset({TOOL.name}))
        documents.workers.count_in(self.meters.registry)
        hints = ToolAnnotations(title=TOOL.title, read_only_hint=False, destructive_hint=True,
                                idempotent_hint=False, open_world_hint=True)  # fmt: skip
        self.tool = TOOL.model_copy(update={"annotations": hints}) if allow_post else TOOL

    def server(self, name: str, version: str, website: str | None = None) -> Server[Any]:
        hint = CacheHint(ttl_ms=LIST_TTL_MS, scope="public")
        return Server(
            name,
            version=version,
            title="Fetch",
            description=ABOUT,
            instructions=INSTRUCTIONS,
            website_url=website,
            icons=TOOL.icons,
            cache_hints={"server/discover": hint, "tools/list": hint, "prompts/list": hint},
            get_tool_input_schema={TOOL.name: TOOL.input_schema}.get,
            on_list_tools=self.list,
            on_call_tool=self.call,
            on_list_prompts=self.list_prompts,
            on_get_prompt=self.get_prompt,
        )

    async def list(
        self, context: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        refuse_cursor(params)
        return ListToolsResult(tools=[self.tool])

    async def list_prompts(
        self, context: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
    ) -> ListPromptsResult:
        refuse_cursor(params)
        return ListPromptsResult(prompts=[PROMPT])

    async def get_prompt(
        self, context: ServerRequestContext[Any, Any], params: GetPromptRequestParams
    ) -> GetPromptResult:
        if params.name != PROMPT.name:
            raise MCPError(
                INVALID_PARAMS, f"There is no prompt named {params.name!r}; the only one is fetch."
            )
        given = params.arguments or {}
        if not given.get("url"):
            raise MCPError(INVALID_PARAMS, "The prompt needs the argument url.")
        question = given.get("question") or "Say in a few sentences what it holds."
        text = f"Fetch {given['url']} with the fetch tool. {question}"
        message = PromptMessage(role="user", content=TextContent(text=text))
        return GetPromptResult(description=PROMPT.description, messages=[message])

    async def call(
        self, context: ServerRequestContext[Any, Any], params: CallToolRequestParams
    ) -> CallToolResult:
        if params.name != TOOL.name:
            raise MCPError(INVALID_PARAMS, f"There is no tool named {params.name!r}; the only one is fetch.")
        async with self.meters.call(TOOL.name) as call:
            try:
                arguments = FetchArguments.model_validate(params.arguments or {})
                result = await self.fetch(arguments, caller_of(context.request))
            except ValidationError as error:
                result = failure(complaint(error))
            except FetchError as error:
                log_fault(error)
                result = failure(str(error))
            call.failed = result.is_error
            return result

    async def fetch(self, arguments: FetchArguments, caller: str) -> CallToolResult:
        """Fetching and reading share one deadline. Raises FetchError."""
        limit = min(arguments.timeout or self.fetcher.seconds, self.fetcher.seconds)
        wanted = order(arguments, self.user_agent, allow_post=self.allow_post)
        try:
            async with asyncio.timeout(limit):
                page = await self.fetcher.fetch(wanted, self.before_hop, caller=caller, seconds=limit)
                if page.status >= 400:
                    return refusal(page, await self.excerpt(page, caller))
                if arguments.method == "HEAD":
                    return headers_answer(page)
                return page_answer(page, await self.read(page, arguments, caller), arguments)
        except TimeoutError as error:
            raise FetchError(
                f"{wanted.url.host} was not fetched and read within {limit:g} seconds."
            ) from error

    async def before_hop(self, url: Any) -> None:
        if self.robots is not None:
            await self.robots.check(url)

    async def read(self, page: Page, arguments: FetchArguments, caller: str) -> Document:
        job = Job(page.content_type, str(page.url), arguments.content, arguments.raw, arguments.first_page)
        if page.status == 204:
            return Document("", notes=["The server says that it has nothing to show (204 No Content)."])
        return await self.documents.read(page.body, job, caller)

    async def excerpt(self, page: Page, caller: str) -> Document | None:
        try:
            return await self.documents.read(page.body, Job(page.content_type, str(page.url)), caller)
        except FetchError:
            return None


def log_fault(error: FetchError) -> None:
    """Tell what a failure was made of, by types: a text may quote an address that holds a secret."""
    made_of: list[str] = []
    cause = error.__cause__
    while cause is not None and len(made_of) < MOST_CAUSES:
        made_of.append(f"{type(cause).__module__}.{type(cause).__qualname__}")
        cause = cause.__cause__
    if made_of:
        log.warning("a fetch failed: %s", ", because of ".join(made_of))


def refuse_cursor(params: PaginatedRequestParams | None) -> None:
    """The lists have one page, so no cursor was ever given out (MCP Pagination: -32602)."""
    if params is not None and params.cursor is not None:
        raise MCPError(INVALID_PARAMS, "The cursor is not one that this server gave out; leave it away.")


def caller_of(request: Any) -> str:
    """Whom a share is counted for: the signed-in user, else the address that the request came from."""
    if request is None:
        return ""
    user = request.headers.get("x-user-id")
    return f"user {user}" if user else f"address {request.client.host if request.client else ''}"
