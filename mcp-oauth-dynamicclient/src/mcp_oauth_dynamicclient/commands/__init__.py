"""The commands of `mcp-oauth-server`, one module for each group: thin layers over functions elsewhere."""
