from __future__ import annotations

from typing import Annotated

from mcp_echo_streamablehttp_server_stateless.settings import Settings as StatelessSettings
from pydantic import AfterValidator, Field, FilePath

from .store import is_state_url


def state_url(value: str) -> str:
    if not is_state_url(value):
        raise ValueError("no address of a store")
    return value


class Settings(StatelessSettings):
    """The stateless server's settings, and where and how much is remembered."""

    echo_state_url: Annotated[str, AfterValidator(state_url)] = Field(
        "sqlite:///echo.db",
        title="Where state is kept",
        description="sqlite:///FILE, redis://USER:PASSWORD@HOST:PORT/0 for several replicas, or memory:",
    )
    echo_state_password_file: FilePath | None = Field(
        None,
        title="File with Redis's password, where it is not to stand in the address",
        description="a file that can be read",
    )
    session_timeout: float = Field(
        3600,
        gt=0,
        le=7 * 86400,
        title="Idle seconds after which a session ends and what was kept is forgotten",
        description="a number of idle seconds, more than 0 and at most 604800",
    )
    max_sessions: int = Field(
        1000,
        ge=1,
        le=100_000,
        title="Sessions at once; one more gets 503. So many handles and signed-in users are remembered, too",
        description="a whole number from 1 to 100000",
    )
    sessions_per_user: int = Field(
        20,
        ge=1,
        le=100_000,
        title="Sessions, and handles, of one signed-in user; for one more the longest unused one goes",
        description="a whole number from 1 to 100000",
    )
    echo_bytes: int = Field(
        65_536,
        ge=1,
        le=1_000_000,
        title="Longest message that is remembered",
        description="a whole number of bytes from 1 to 1000000",
    )
    replicas: str | None = Field(
        None,
        title="A DNS name of all instances with the port, where sessions live in the memory of each",
        description="a name with its port such as tasks.echo-stateful:3000",
    )
    replica_address: str | None = Field(
        None,
        title="This instance's own address and port there, where it cannot find out",
        description="an address with its port",
    )
    replica_secret_file: str | None = Field(
        None,
        title="What only the instances of this service share, or MCP_REPLICA_SECRET",
        description="a file with 32 characters or more",
    )
    conformance: bool = Field(
        False,
        title="Serve what the official conformance suite calls, in place of the tools",
        description="true or false",
    )
