"""Bridge from stdio MCP hosts to remote Streamable HTTP servers, OAuth included."""

__version__ = "0.3.0"
