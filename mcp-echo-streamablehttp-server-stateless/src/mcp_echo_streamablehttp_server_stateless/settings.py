"""Settings from the environment. Every name starts with MCP_; nothing is required."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ._common.server_settings import ServerSettings


class Settings(ServerSettings):
    old_names: ClassVar[dict[str, str]] = {
        "MCP_ECHO_HOST": "bind_host",
        "MCP_ECHO_PORT": "port",
        "MCP_ECHO_DEBUG": "debug",
    }

    trust_identity: bool = Field(
        False,
        title="Believe X-User-Id, X-User-Name and X-Client-Id; only where nothing but the gateway gets here",
        description="true or false",
    )
