"""What every native server is set up with. Every variable starts with MCP_; nothing is required."""

from __future__ import annotations

import os
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from .host_origin import HostRule, OriginRule, host_rules, origin_rules
from .public_url import PublicUrl
from .settings import SettingsError

LOOPBACK = "localhost,127.0.0.1,[::1]"


def hosts(value: Any) -> Any:
    return host_rules(value) if isinstance(value, str) else value


def origins(value: Any) -> Any:
    return origin_rules(value) if isinstance(value, str) else value


def own_address(value: Any) -> Any:
    return PublicUrl.parse(value) if isinstance(value, str) else value


class ServerSettings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="MCP_", env_ignore_empty=True, extra="ignore", frozen=True, arbitrary_types_allowed=True
    )

    old_names: ClassVar[dict[str, str]] = {}
    """Fields by variables that counted before; they do where the new one is not set."""

    bind_host: str = Field(
        "127.0.0.1",
        min_length=1,
        title="Address to listen on",
        description="an address or host name to listen on",
    )
    port: int = Field(
        3000, ge=0, le=65535, title="Port, 0 for any free one", description="a port number from 0 to 65535"
    )
    drain: float = Field(
        0,
        ge=0,
        le=60,
        title="Seconds of serving on after SIGTERM, with 503 at /health so that other replicas take over",
        description="a number of seconds from 0 to 60",
    )
    debug: bool = Field(False, title="Log more", description="true or false")
    allowed_hosts: Annotated[tuple[HostRule, ...], NoDecode, BeforeValidator(hosts)] = Field(
        default_factory=lambda: host_rules(LOOPBACK),
        title="Names this server answers to, else 421",
        description="a comma list of host names such as time.example.com, *.example.com or localhost:3000",
    )
    allowed_origins: Annotated[tuple[OriginRule, ...], NoDecode, BeforeValidator(origins)] = Field(
        default_factory=lambda: origin_rules(LOOPBACK),
        title="Pages that may call it, else 403",
        description="a comma list of origins such as https://app.example.com, *.example.com or localhost",
    )
    public_url: Annotated[PublicUrl | None, NoDecode, BeforeValidator(own_address)] = Field(
        None,
        title="Its own address behind a gateway",
        description="this server's own address such as https://time.example.com/mcp",
    )
    identity_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s]+$",
        title="Where the gateway publishes its keys; then only requests with its signed statement are served",
        description="an address inside the deployment such as http://traefik:8090/internal/identity",
    )

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Read the environment; arguments that are not None win over it.

        Raises SettingsError for the first value that cannot be used.
        """
        chosen = {name: value for name, value in given.items() if value is not None}
        spelled = {name: f"MCP_{name.upper()}" for name in cls.model_fields}
        for old, name in cls.old_names.items():
            if os.environ.get(old) and name not in chosen and not os.environ.get(spelled[name]):
                chosen[name], spelled[name] = os.environ[old], old
        try:
            settings = cls(**chosen)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            must = cls.model_fields[name].description
            raise SettingsError(f"{spelled[name]} must be {must}, not {first['input']!r}") from error
        if settings.identity_url and settings.public_url is None:
            raise SettingsError("MCP_IDENTITY_URL needs MCP_PUBLIC_URL, this server's own address")
        return settings
