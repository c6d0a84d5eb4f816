"""Settings, read from the environment (and `.env` only through compose), checked before anything starts."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from .errors import SettingsError

NameList = Annotated[tuple[str, ...], NoDecode]
"""A comma-separated list; white space around names is ignored, an empty list is empty."""


DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?::[0-9]{1,5})?")


class Shape(StrEnum):
    """How servers are addressed (design section 3)."""

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

    access_token_lifetime: int = Field(3600, ge=60, le=86400)
    refresh_token_lifetime: int = Field(30 * 86400, ge=3600)
    """Slides: each refresh starts it anew."""
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
    redirect_schemes: NameList = ("cursor", "vscode", "vscode-insiders")
    """Private-use redirect schemes that clients may register (RFC 8252 section 7.1)."""
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

    trusted_proxies: NameList = ("127.0.0.1", "::1")
    """Addresses or networks whose X-Forwarded-For is believed for rate limits and the audit log; `*`: all."""
    metrics: bool = True
    """Answer /metrics, but only to requests that came past no proxy."""
    audit_log: str = "-"
    """Where decisions are written, one JSON line each: a path, or `-` for standard output."""

    @field_validator(
        "allowed_github_users", "allowed_github_orgs", "allowed_oidc_users", "allowed_oidc_groups",
        "redirect_schemes", "client_document_allow", "client_document_deny", "trusted_proxies", mode="before",
    )  # fmt: skip
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value

    @field_validator(
        "base_domain", "public_url", "github_client_id", "github_client_secret", "oidc_issuer",
        "oidc_client_id", "oidc_client_secret", "clients_file", "id_jag_issuer", "id_jag_jwks_uri",
        mode="before",
    )  # fmt: skip
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

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
        if not (self.local_accounts or self.github_client_id or self.oidc_issuer):
            raise ValueError("no way to sign in: set LOCAL_ACCOUNTS=true, GITHUB_CLIENT_ID or OIDC_ISSUER")
        return self

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
        name = ".".join(str(part) for part in first["loc"]).upper()
        reason = "is required" if first["type"] == "missing" else first["msg"]
        reason = reason.removeprefix("Value error, ")
        raise SettingsError(f"{name}: {reason}" if name else reason) from None
