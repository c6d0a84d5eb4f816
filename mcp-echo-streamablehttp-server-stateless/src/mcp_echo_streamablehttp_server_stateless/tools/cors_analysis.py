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
    origin: str | None
    from_browser: bool
    fetch_site: str | None
    fetch_mode: str | None
    edge_must_allow_headers: list[str] = REQUEST_HEADERS
    edge_must_expose_headers: list[str] = RESPONSE_HEADERS

    def text(self) -> str:
        if self.origin:
            first = f"A page of {self.origin} sent this request, and this server allows that origin."
        elif self.from_browser:
            first = "A browser sent this request from the server's own origin, so CORS does not apply."
        else:
            first = "No Origin header: no page sent this request, so CORS does not apply."
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
    "Says which page, if any, sent this request, and what the edge must allow for browser clients.",
    Arguments,
    Cors,
    cors_analysis,
)
