from mcp_echo_streamablehttp_server_stateless.settings import Settings as StatelessSettings
from pydantic import Field


class Settings(StatelessSettings):
    """The stateless server's settings, and the bounds of what is remembered."""

    session_timeout: float = Field(
        3600, gt=0, le=7 * 86400, description="a number of idle seconds, more than 0 and at most 604800"
    )
    max_sessions: int = Field(1000, ge=1, le=100_000, description="a whole number from 1 to 100000")
