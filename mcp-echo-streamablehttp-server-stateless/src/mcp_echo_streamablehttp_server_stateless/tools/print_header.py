from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from ..call import Call
from ..identity import CLIENT_ID, USER_ID, USER_NAME
from ..redact import header_value, is_secret_name
from ..toolbox import Arguments, Report, Tool

Group = Literal["forwarded", "identity", "credentials", "mcp", "request"]
TITLES: dict[Group, str] = {
    "forwarded": "Added by proxies",
    "identity": "Identity, as the gateway sets it",
    "credentials": "Credentials (redacted)",
    "mcp": "MCP",
    "request": "Request",
}


class HeaderLine(BaseModel):
    name: str = Field(title="Name", description="The header's name in lower case.")
    value: str = Field(title="Value", description="Its value, without what is secret.")
    group: Group = Field(title="Group", description="What kind of header it is.")
    redacted: bool = Field(title="Redacted", description="Whether something of it is not shown.")


class Headers(Report):
    method: str = Field(title="Method", description="The HTTP method.")
    path: str = Field(title="Path", description="The path as it reached this server.")
    peer: str | None = Field(title="Peer", description="Address of whoever connected here, or null.")
    headers: list[HeaderLine] = Field(title="Headers", description="Every header, in groups.")

    def text(self) -> str:
        lines = [f"{self.method} {self.path} from {self.peer or 'unknown'}, {len(self.headers)} headers"]
        for group, title in TITLES.items():
            members = [line for line in self.headers if line.group == group]
            if members:
                lines += ["", f"{title}:", *(f"  {line.name}: {line.value}" for line in members)]
        return "\n".join(lines)


def group_of(name: str) -> Group:
    if name in (USER_ID, USER_NAME, CLIENT_ID):
        return "identity"
    if name.startswith("mcp-"):
        return "mcp"
    if is_secret_name(name):
        return "credentials"
    if name.startswith(("x-forwarded-", "x-original-")) or name in ("forwarded", "via", "x-real-ip"):
        return "forwarded"
    return "request"


async def print_header(call: Call, arguments: Arguments) -> Headers:
    lines = []
    for key, raw in sorted(call.request.headers.raw):
        name, value = key.decode("latin-1"), raw.decode("latin-1")
        shown = header_value(name, value)
        lines.append(HeaderLine(name=name, value=shown, group=group_of(name), redacted=shown != value))
    client = call.request.client
    return Headers(
        method=call.request.method,
        path=call.request.url.path,
        peer=client.host if client else None,
        headers=lines,
    )


PRINT_HEADER = Tool(
    "printHeader",
    "Print headers",
    "Shows every HTTP header of this request as it reached the server. Secrets are redacted.",
    Arguments,
    Headers,
    print_header,
)
