"""Bridge from stdio MCP hosts to remote Streamable HTTP servers, OAuth included."""

from __future__ import annotations

__version__ = "0.3.0"
USER_AGENT = f"mcp-streamablehttp-client/{__version__}"
