"""Settings from the environment. Every name starts with MCP_; nothing is required."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from ._common.addresses import AddressRefusedError, normal_host
from ._common.host_origin import HostRule
from ._common.server_settings import ServerSettings, hosts
from ._common.settings import comma_list
from .policy import Network, network

PORTS = frozenset({80, 443, 8080, 8443})
_HOST_AND_PORT = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*):([0-9]{1,5})", re.IGNORECASE)


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


def networks(value: Any) -> Any:
    return tuple(network(entry) for entry in comma_list(value)) if isinstance(value, str) else value


def host_and_port(text: str) -> tuple[str, int]:
    match = _HOST_AND_PORT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not host:port")
    try:
        return normal_host(match[1].strip("[]")), port(match[2])
    except AddressRefusedError as error:
        raise ValueError(str(error)) from error


class Settings(ServerSettings):
    fetch_allow_hosts: Annotated[frozenset[tuple[str, int]], NoDecode, BeforeValidator(hosts_and_ports)] = (
        Field(
            default_factory=frozenset,
            title="Hosts that may be fetched although they are private",
            description="a comma list of host:port such as wiki.internal:80 or [fd00::7]:8080",
        )
    )
    fetch_allowed_ports: Annotated[frozenset[int] | None, NoDecode, BeforeValidator(ports)] = Field(
        PORTS,
        title="Ports fetched from",
        description="a comma list of port numbers such as 80,443, or * for any",
    )
    fetch_default_user_agent: str = Field(
        "ModelContextProtocol/1.0",
        pattern=r"^[A-Za-z_-]+(/[\x20-\x7e]+)?$",
        max_length=200,
        title="User-Agent; the part before / is the name looked for in robots.txt",
        description="a robot's name of letters, - and _, and optionally / and more, such as MyRobot/1.0",
    )
    fetch_robots: bool = Field(True, title="Obey robots.txt", description="true or false")
    fetch_max_redirects: int = Field(
        5, ge=0, le=20, title="Most redirects of one page", description="a whole number from 0 to 20"
    )
    fetch_timeout: float = Field(
        30,
        gt=0,
        le=600,
        title="Seconds for one page, redirects, robots.txt and reading included",
        description="a number of seconds, more than 0 and at most 600",
    )
    fetch_max_bytes: int = Field(
        5_000_000,
        ge=1000,
        le=100_000_000,
        title="Largest answer, decompressed",
        description="a whole number of bytes from 1000 to 100000000",
    )
    fetch_max_concurrent: int = Field(
        32,
        ge=1,
        le=1000,
        title="Pages fetched at once, a quarter of them for one caller",
        description="a whole number from 1 to 1000",
    )
    fetch_per_site: int = Field(
        4, ge=1, le=100, title="Requests at once to one site", description="a whole number from 1 to 100"
    )
    fetch_workers: int = Field(
        2,
        ge=1,
        le=64,
        title="Processes that read pages at once, started when needed",
        description="a whole number from 1 to 64",
    )
    fetch_cache_bytes: int = Field(
        32_000_000,
        ge=0,
        le=10_000_000_000,
        title="Size of each of the two caches, of answers and of texts",
        description="a whole number of bytes, 0 for no cache",
    )
    fetch_allow_post: bool = Field(False, title="Let callers send POST", description="true or false")
    fetch_only_hosts: Annotated[tuple[HostRule, ...], NoDecode, BeforeValidator(hosts)] = Field(
        (),
        title="Hosts that are fetched from, if not all",
        description="a comma list of host names such as docs.example.com or *.example.com",
    )
    fetch_deny_hosts: Annotated[tuple[HostRule, ...], NoDecode, BeforeValidator(hosts)] = Field(
        (),
        title="Hosts that are not fetched from",
        description="a comma list of host names such as ads.example.com or *.example.net",
    )
    fetch_private_networks: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(networks)] = Field(
        (),
        title="Private networks that may be fetched from",
        description="a comma list of networks such as 10.20.0.0/16 or fd00:1::/64",
    )
    fetch_deny_networks: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(networks)] = Field(
        (),
        title="Public networks that are not fetched from",
        description="a comma list of networks such as 203.0.113.0/24",
    )
