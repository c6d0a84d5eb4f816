"""The configurations of MCP hosts: where they are, what they hold, and editing them."""
