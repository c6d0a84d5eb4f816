from __future__ import annotations

from pydantic import Field

from ..call import Call
from ..toolbox import Arguments, Report, Tool

REQUEST_HEADERS = [
    "Accept",
    "Authorization",
    "Content-Type",
    "Last-Event-ID",
    "MCP-Protocol-Version",
    "Mcp-Method",
    "Mcp-Name",
    "Mcp-Session-Id",
]
RESPONSE_HEADERS = ["MCP-Protocol-Version", "Mcp-Session-Id", "WWW-Authenticate"]


class Cors(Report):
    origin: str | None = Field(
        title="Origin",
        description="The page that sent the request; null for a program, and behind the gateway always.",
    )
    from_browser: bool = Field(
        title="From a browser",
        description="Whether a web page sent it, as far as the headers that arrived say.",
    )
    fetch_site: str | None = Field(
        title="Fetch site", description="What the browser says of the relation, or null."
    )
    fetch_mode: str | None = Field(title="Fetch mode", description="How the browser asked, or null.")
    edge_must_allow_headers: list[str] = Field(
        default=REQUEST_HEADERS, title="To allow", description="Request headers that the edge has to allow."
    )
    edge_must_expose_headers: list[str] = Field(
        default=RESPONSE_HEADERS,
        title="To expose",
        description="Response headers that the edge has to expose.",
    )

    def text(self) -> str:
        if self.origin:
            first = f"A page of {self.origin} sent this request, and this server allows that origin."
        elif self.from_browser:
            first = (
                "A browser sent this request without an Origin header: from the server's own origin, where "
                "CORS does not apply, or through the gateway, whose edge takes the header away."
            )
        else:
            first = (
                "No Origin header arrived. Behind the gateway none does, from a page or not: the gate "
                "decides by it, then the edge takes it away. Without the gateway no page sent this "
                "request, and CORS does not apply."
            )
        return "\n".join(
            [
                first,
                "This server sends no CORS headers itself; the edge answers preflights and adds them.",
                f"  The edge must allow: {', '.join(self.edge_must_allow_headers)}, and every Mcp-Param-*.",
                f"  The edge must expose: {', '.join(self.edge_must_expose_headers)}.",
            ]
        )


async def cors_analysis(call: Call, arguments: Arguments) -> Cors:
    site = call.header("sec-fetch-site")
    origin = call.header("origin")
    return Cors(
        origin=origin,
        from_browser=bool(origin or site),
        fetch_site=site,
        fetch_mode=call.header("sec-fetch-mode"),
    )


CORS_ANALYSIS = Tool(
    "corsAnalysis",
    "CORS",
    "Says which page, if any, sent this request, and what the edge must allow for browser clients. "
    "Behind the gateway the Origin does not arrive.",
    Arguments,
    Cors,
    cors_analysis,
)
