"""Settings from the environment. Every name starts with MCP_; nothing is required."""

import re
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from .addresses import normal_host
from .errors import Refused
from .security import NameRule, OriginRule

LOOPBACK = "localhost,127.0.0.1,[::1]"
PORTS = frozenset({80, 443, 8080, 8443})
_HOST_AND_PORT = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*):([0-9]{1,5})", re.IGNORECASE)


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


def ports(value: Any) -> Any:
    """The ports of a comma list; None stands for `*`, any port."""
    if not isinstance(value, str):
        return value
    return None if value.strip() == "*" else frozenset(port(entry) for entry in comma_list(value))


def port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise ValueError(f"{text!r} is not a port number")
    return int(text)


def hosts_and_ports(value: Any) -> Any:
    return frozenset(host_and_port(entry) for entry in comma_list(value)) if isinstance(value, str) else value


def host_and_port(text: str) -> tuple[str, int]:
    match = _HOST_AND_PORT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not host:port")
    try:
        return normal_host(match[1].strip("[]")), port(match[2])
    except Refused as error:
        raise ValueError(str(error)) from None


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="MCP_", env_ignore_empty=True, extra="ignore", frozen=True, arbitrary_types_allowed=True
    )

    bind_host: str = Field("127.0.0.1", min_length=1, description="an address or host name to listen on")
    port: int = Field(3000, ge=0, le=65535, description="a port number from 0 to 65535")
    debug: bool = Field(False, description="true or false")
    allowed_hosts: Annotated[tuple[NameRule, ...], NoDecode, BeforeValidator(name_rules)] = Field(
        default_factory=lambda: name_rules(LOOPBACK),
        description="a comma list of host names such as fetch.example.com, *.example.com or localhost:3000",
    )
    allowed_origins: Annotated[tuple[OriginRule, ...], NoDecode, BeforeValidator(origin_rules)] = Field(
        default_factory=lambda: origin_rules(LOOPBACK),
        description="a comma list of origins such as https://app.example.com, *.example.com or localhost",
    )

    fetch_allow_hosts: Annotated[frozenset[tuple[str, int]], NoDecode, BeforeValidator(hosts_and_ports)] = (
        Field(
            default_factory=frozenset,
            description="a comma list of host:port such as wiki.internal:80 or [fd00::7]:8080",
        )
    )
    fetch_allowed_ports: Annotated[frozenset[int] | None, NoDecode, BeforeValidator(ports)] = Field(
        PORTS, description="a comma list of port numbers such as 80,443, or * for any"
    )
    fetch_default_user_agent: str = Field(
        "ModelContextProtocol/1.0",
        pattern=r"^[A-Za-z_-]+(/[\x20-\x7e]+)?$",
        max_length=200,
        description="a robot's name of letters, - and _, and optionally / and more, such as MyRobot/1.0",
    )
    fetch_robots: bool = Field(True, description="true or false")
    fetch_max_redirects: int = Field(5, ge=0, le=20, description="a whole number from 0 to 20")
    fetch_timeout: float = Field(
        30, gt=0, le=600, description="a number of seconds, more than 0 and at most 600"
    )
    fetch_max_bytes: int = Field(
        5_000_000, ge=1000, le=100_000_000, description="a whole number of bytes from 1000 to 100000000"
    )
    fetch_max_concurrent: int = Field(32, ge=1, le=1000, description="a whole number from 1 to 1000")

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Read the environment; arguments that are not None win over it.

        Raises SettingsError for the first value that cannot be used.
        """
        try:
            return cls(**{name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            must = cls.model_fields[name].description
            raise SettingsError(f"MCP_{name.upper()} must be {must}, not {first['input']!r}") from None
