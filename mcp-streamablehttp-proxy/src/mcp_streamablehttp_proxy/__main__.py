"""`python -m mcp_streamablehttp_proxy`."""

from __future__ import annotations

from .cli import main

if __name__ == "__main__":
    main()
