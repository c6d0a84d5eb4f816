"""Settings from the environment. Every name starts with MCP_; nothing is required."""

import os
import re
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from .security import NameRule, OriginRule

LOOPBACK = "localhost,127.0.0.1,[::1]"


class SettingsError(Exception):
    """A setting has a value that cannot be used; the message is one line for the person who set it."""


def comma_list(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def name_rules(value: Any) -> Any:
    """An entry may be the whole address, `https://example.com:8443`; its host and port count."""
    if not isinstance(value, str):
        return value
    return tuple(NameRule.parse(re.sub(r"^https?://", "", entry)) for entry in comma_list(value))


def origin_rules(value: Any) -> Any:
    return tuple(OriginRule.parse(entry) for entry in comma_list(value)) if isinstance(value, str) else value


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="MCP_", env_ignore_empty=True, extra="ignore", frozen=True, arbitrary_types_allowed=True
    )

    old_names: ClassVar[dict[str, str]] = {
        "MCP_ECHO_HOST": "bind_host",
        "MCP_ECHO_PORT": "port",
        "MCP_ECHO_DEBUG": "debug",
    }

    bind_host: str = Field("127.0.0.1", min_length=1, description="an address or host name to listen on")
    port: int = Field(3000, ge=0, le=65535, description="a port number from 0 to 65535")
    debug: bool = Field(False, description="true or false")
    allowed_hosts: Annotated[tuple[NameRule, ...], NoDecode, BeforeValidator(name_rules)] = Field(
        default_factory=lambda: name_rules(LOOPBACK),
        description="a comma list of host names such as time.example.com, *.example.com or localhost:3000",
    )
    allowed_origins: Annotated[tuple[OriginRule, ...], NoDecode, BeforeValidator(origin_rules)] = Field(
        default_factory=lambda: origin_rules(LOOPBACK),
        description="a comma list of origins such as https://app.example.com, *.example.com or localhost",
    )
    trust_identity: bool = Field(False, description="true or false")

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
            return cls(**chosen)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            must = cls.model_fields[name].description
            raise SettingsError(f"{spelled[name]} must be {must}, not {first['input']!r}") from None
