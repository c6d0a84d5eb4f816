"""Settings, read from the environment (and `.env` only through compose), checked before anything starts."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cached_property
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, urlsplit

from annotated_types import Ge, Le
from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from ._common.host_origin import origin_rules
from .bridge_wheel import find_wheel
from .errors import SettingsError
from .secret_files import SecretFiles


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return value


NameList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""A comma-separated list; white space around names is ignored, an empty list is empty."""


BROWSER_CONNECTORS = (
    "https://claude.ai", "https://claude.com", "https://chatgpt.com", "https://vscode.dev",
    "https://insiders.vscode.dev", "https://github.dev", "https://*.vscode-cdn.net",
)  # fmt: skip
"""Clients that call MCP servers from the browser itself. VS Code for the web does so from its extension host,
a worker at a host of vscode-cdn.net that is new each time, else from the page that was opened."""
DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?::[0-9]{1,5})?")


class Shape(StrEnum):
    """How servers are addressed."""

    SUBDOMAINS = "subdomains"
    ONE_HOST = "one host"


class Settings(BaseSettings):
    """Every setting of the authorization server. Lifetimes are in seconds."""

    model_config = SettingsConfigDict(extra="ignore", hide_input_in_errors=True, frozen=True)

    base_domain: str | None = None
    """`example.com`: issuer `https://auth.example.com`, a server `https://NAME.example.com/mcp`.
    Under `.localhost` (with a port if need be) the scheme is http."""
    public_url: str | None = None
    """`http://localhost:8080`: the issuer itself; a server is `http://localhost:8080/NAME/mcp`."""

    gateway_secret: SecretStr
    """At least 32 characters; encrypts signing keys at rest, signs cookies. A new one signs everyone out."""
    store_url: str = "sqlite:///auth.db"
    store_password: SecretStr | None = None
    """Of Redis, where it is not to stand in `store_url`."""

    access_token_lifetime: int = Field(3600, ge=60, le=86400)
    refresh_token_lifetime: int = Field(30 * 86400, ge=3600)
    """Counted from the last refresh."""
    grant_lifetime: int = Field(180 * 86400, ge=3600)
    """What a person approved ends after this, however much it is used; 180 days."""
    code_lifetime: int = Field(60, ge=10, le=60)
    login_lifetime: int = Field(600, ge=60, le=600)
    """How long a sign-in at a provider may take."""
    session_lifetime: int = Field(12 * 3600, ge=300)
    """How long a browser stays signed in for consent and account pages."""
    unused_client_lifetime: int = Field(86400, ge=600)
    """A registered client that never completed a sign-in is forgotten after this."""
    client_lifetime: int = Field(90 * 86400, ge=3600)
    """A registered client is forgotten this long after its last use; 90 days."""
    key_rotation_interval: int = Field(90 * 86400, ge=3600)

    local_accounts: bool = False
    github_client_id: str | None = None
    github_client_secret: SecretStr | None = None
    github_base_url: str = "https://github.com"
    """github.com, or the base URL of a GitHub Enterprise Server."""
    allowed_github_users: NameList = ()
    """Empty admits nobody; `*` admits every GitHub account. Compared without regard to case."""
    allowed_github_orgs: NameList = ()
    """`org` or `org/team`; membership is asked at sign-in and re-checked every few minutes."""
    oidc_issuer: str | None = None
    oidc_client_id: str | None = None
    oidc_client_secret: SecretStr | None = None
    oidc_name: str = "Single sign-on"
    allowed_oidc_users: NameList = ()
    """E-mail addresses (verified ones only), `*@example.com`, or `sub:<subject>`; `*` admits everyone."""
    allowed_oidc_groups: NameList = ()

    require_resource: bool = False
    """Refuse authorization requests that name no server, instead of granting all of them."""
    public_server_cards: bool = False
    """Tell everybody what each server says of itself: …/mcp/server-card and /.well-known/ai-catalog.json
    (SEP-2127)."""
    redirect_schemes: NameList = ("*.*", "cursor", "vscode", "vscode-insiders")
    """Private-use redirect schemes that clients may register; `*.*` is every one with a dot, the reverse
    domain name of an app (RFC 8252 section 7.1)."""
    registration: bool = True
    """Dynamic client registration (RFC 7591)."""
    registrations_per_hour: int = Field(120, ge=1)
    """Per client address."""
    client_documents: bool = True
    """Client ID Metadata Documents."""
    client_document_allow: NameList = ()
    """Hosts whose documents are accepted; empty accepts every public host."""
    client_document_deny: NameList = ()
    wellknown_clients: bool = True
    """Use the built-in copy of a well-known client's document when its host does not answer."""
    clients_file: Path | None = None
    """JSON array of pre-registered clients in RFC 7591 form."""
    id_jag_issuer: str | None = None
    """The identity provider trusted for enterprise-managed authorization."""
    id_jag_jwks_uri: str | None = None

    edge_url: str | None = None
    """Where Traefik tells its routes (`http://traefik:8090`), which say which servers exist."""
    edge_secret: SecretStr | None = None
    """What Traefik's API is guarded by; the edge has the same."""
    servers: NameList = ()
    """The names of the servers, where the edge cannot be asked. With neither, whatever has the shape of a
    server's address counts as one."""
    server_lifetime: int = Field(30 * 86400, ge=86400)
    """A server that the edge no longer has is forgotten after this; until then it is only away."""
    allowed_origins: NameList = BROWSER_CONNECTORS
    """Web pages of these origins may call the servers, besides pages of this machine. `*`: all."""

    front_proxies: NameList = ()
    """Addresses or networks of proxies and tunnels in front of the edge: what they add to X-Forwarded-For is
    believed."""
    trusted_proxies: NameList = ("127.0.0.1", "::1")
    """Addresses or networks whose X-Forwarded-For is believed for rate limits and the audit log; `*`: all."""
    wheel_folder: Path | None = None
    """Holds the bridge's wheel, which /wheels/NAME.whl serves and the install line of the pages names."""
    findings_file: Path | None = None
    """What is wrong, by the doctor of a local run, which writes it; shown on / to those at the machine."""
    bridge_on_pypi: bool = False
    """Whether this version of the bridge is published: the one switch of every page's install line."""
    metrics: bool = True
    """Answer /metrics, but only to requests that came past no proxy."""
    audit_log: str = "-"
    """Where decisions are written, one JSON line each: a path, or `-` for standard output."""

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object, info: ValidationInfo) -> object:
        optional = cls.model_fields[str(info.field_name)].default is None
        return None if optional and value == "" else value

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource, dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:  # fmt: skip
        return init_settings, SecretFiles(settings_cls), env_settings

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        origin_rules(",".join(value))
        return value

    @field_validator("trusted_proxies", "front_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            if text != "*" and not _is_network(text):
                raise ValueError(
                    f"{text!r} is no address or network, such as 10.0.0.1 or 10.0.0.0/8, and not *"
                )
        return value

    @field_validator("wheel_folder")
    @classmethod
    def _one_wheel(cls, value: Path | None) -> Path | None:
        if value is not None:
            find_wheel(value)
        return value

    @field_validator("gateway_secret")
    @classmethod
    def _real_secret(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if len(text) < 32 or len(set(text)) < 8:
            raise ValueError("must be at least 32 random characters (try: openssl rand -hex 32)")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if (self.base_domain is None) == (self.public_url is None):
            raise ValueError("set either BASE_DOMAIN (subdomains) or PUBLIC_URL (one host), not both")
        if self.base_domain is not None and not DOMAIN.fullmatch(self.base_domain):
            raise ValueError("BASE_DOMAIN must be a domain in lower case, such as example.com, and no URL")
        if self.public_url is not None and not _is_origin(self.public_url):
            raise ValueError(
                "PUBLIC_URL must be http:// or https:// and a host in lower case, with no path, no trailing"
                " slash and no default port"
            )
        if (self.github_client_id is None) != (self.github_client_secret is None):
            raise ValueError("GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET must be set together")
        oidc = (self.oidc_issuer, self.oidc_client_id, self.oidc_client_secret)
        if any(oidc) and not all(oidc):
            raise ValueError("OIDC_ISSUER, OIDC_CLIENT_ID and OIDC_CLIENT_SECRET must be set together")
        if self.edge_url is not None and self.edge_secret is None:
            raise ValueError("EDGE_URL needs EDGE_SECRET")
        if self.edge_url is not None and self.servers:
            raise ValueError("set either EDGE_URL or SERVERS: which servers exist has one source")
        if not (self.local_accounts or self.github_client_id or self.oidc_issuer):
            raise ValueError("no way to sign in: set LOCAL_ACCOUNTS=true, GITHUB_CLIENT_ID or OIDC_ISSUER")
        return self

    @property
    def store_address(self) -> str:
        """`store_url`, with `store_password` in its place."""
        scheme, separator, rest = self.store_url.partition("://")
        if self.store_password is None or scheme not in ("redis", "rediss"):
            return self.store_url
        before, _, place = rest.rpartition("@")
        user = before.partition(":")[0]
        return f"{scheme}{separator}{user}:{quote(self.store_password.get_secret_value(), safe='')}@{place}"

    @property
    def shape(self) -> Shape:
        return Shape.SUBDOMAINS if self.base_domain else Shape.ONE_HOST

    @cached_property
    def issuer(self) -> str:
        """The one issuer identifier, byte-identical wherever it appears."""
        if self.public_url:
            return self.public_url
        return f"{self.scheme}://auth.{self.base_domain}"

    @property
    def scheme(self) -> str:
        if self.public_url:
            return urlsplit(self.public_url).scheme
        host = urlsplit(f"//{self.base_domain}").hostname or ""
        return "http" if host.endswith(".localhost") else "https"

    @property
    def secure_cookies(self) -> bool:
        return self.issuer.startswith("https://")


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _is_origin(url: str) -> bool:
    """Whether a URL is an origin, written the one way it is compared."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not host or not url.isascii() or not url.isprintable():
        return False
    host = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}[parts.scheme]
    return url == f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, default) else "")


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment. SettingsError is one line: the setting and what it must be."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # values come as text from a command line
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        reason = _must_be(name, first["type"]) or first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{name.upper()}: {reason}" if name else reason) from error


def _must_be(name: str, fault: str) -> str:
    """What a setting must be, for faults of its type; empty for those that a validator here has words for."""
    if fault == "missing":
        return "is required"
    if fault == "value_error":
        return ""
    field = Settings.model_fields[name]
    if field.annotation is bool:
        return "must be true or false (yes, no, on, off, 1 and 0 are understood)"
    if field.annotation is int:
        bounds = {type(bound): bound for bound in field.metadata}
        least = f" from {bounds[Ge].ge}" if Ge in bounds else ""
        most = f" to {bounds[Le].le}" if Le in bounds else " up"
        return f"must be a whole number{least}{most}"
    return f"cannot be read ({fault})"
