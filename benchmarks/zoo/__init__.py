"""MCP servers that others wrote, as programs: `python FILE PORT …` where their library is installed."""
