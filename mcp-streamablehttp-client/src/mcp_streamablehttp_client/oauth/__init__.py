"""The OAuth 2.1 client of the MCP authorization specification (2026-07-28, tolerant of older)."""
