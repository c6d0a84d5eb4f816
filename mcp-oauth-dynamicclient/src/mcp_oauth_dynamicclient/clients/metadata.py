"""Client metadata (RFC 7591 section 2): what is kept of a registration, and what it must be.

Members with a null or empty value count as omitted and are never returned. Members this server does not
understand are ignored, as section 2 requires, so that an answer never promises what is not done. What only
decorates (a name, a logo, a contact) is cut or dropped where it cannot be used, never a reason to refuse.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from authlib.oauth2.rfc7591 import ClientMetadataClaims
from joserfc.errors import JoseError

from .. import scopes
from ..errors import InvalidClientMetadataError, InvalidRedirectURIError
from ..settings import Settings
from . import redirects
from .assertions import ALGORITHMS as ASSERTION_ALGORITHMS

Source = Literal["dynamic", "document", "preregistered"]

AUTHORIZATION_CODE = "authorization_code"
REFRESH_TOKEN = "refresh_token"  # noqa: S105  # the name of a grant type
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
CLIENT_CREDENTIALS = "client_credentials"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"

SECRET_METHODS = ("client_secret_basic", "client_secret_post")
AUTH_METHODS = (*SECRET_METHODS, "private_key_jwt", "none")
"""As they are advertised: `none` is last, since some clients take the first one that they know."""

TEXTS = {"client_name": 200, "software_id": 255, "software_version": 255}
"""Members that are shown or kept for people, with the characters that are kept of each."""
PAGES = ("client_uri", "logo_uri", "tos_uri", "policy_uri")
"""Members that are web pages, for people too."""
LOCALISED = ("client_name", *PAGES)
STRINGS = {
    "scope": 10_000,
    "token_endpoint_auth_method": 50,
    "token_endpoint_auth_signing_alg": 20,
    "jwks_uri": 2048,
}
"""Members that decide something, with the characters each may have."""
LISTS = {"redirect_uris": 32, "grant_types": 16, "response_types": 16}
"""Members that are arrays of strings, with the items each may have."""
CONTACTS = 16
BLANKS = dict.fromkeys(map(ord, "\u115f\u1160\u2800\u3164\uffa0\U0001d159"), " ")
"""Letters and signs that show nothing: fillers of Hangul, a Braille cell and a note without dots."""
MAX_ITEM = 2048
MAX_KEYS = 16
MAX_LANGUAGES = 20
MAX_MODULUS = 1400
"""Characters of an RSA modulus in base64url: 8192 bits; a larger key takes too long to verify with."""


def validate(metadata: Mapping[str, Any], settings: Settings, source: Source) -> dict[str, Any]:
    """The metadata to register. Raises InvalidRedirectURIError or InvalidClientMetadataError."""
    given = {name: value for name, value in metadata.items() if value not in (None, "", [], {})}
    kept = _typed(given)
    kept["grant_types"] = _grant_types(kept.get("grant_types"), settings, source)
    kept["token_endpoint_auth_method"] = _auth_method(given, source)
    if AUTHORIZATION_CODE in kept["grant_types"]:
        if "redirect_uris" not in kept:
            raise InvalidRedirectURIError("redirect_uris is required: a non-empty array of URIs.")
        if "code" not in kept.get("response_types", ["code"]):
            raise InvalidClientMetadataError("response_types must contain code, the only one supported.")
        kept["response_types"] = ["code"]
    else:
        kept.pop("response_types", None)
    if "redirect_uris" in kept:
        kept["redirect_uris"] = redirects.usable(kept["redirect_uris"], settings.redirect_schemes)
    if source == "preregistered" and "resource" in given:
        kept["resource"] = _resource(given["resource"])
    _check_keys(kept)
    _check_claims(kept)
    return kept


def _resource(value: object) -> str:
    """The server that a client of the operator's is: it may introspect the tokens that open it."""
    if not isinstance(value, str) or len(value) > MAX_ITEM:
        raise InvalidClientMetadataError("resource must be the URL of one server.")
    return value


def grant_types_supported(settings: Settings, source: Source = "preregistered") -> list[str]:
    """The grant types a client may use. Tokens without a person are only for clients the operator entered:
    by dynamic registration or a document anybody could be such a client."""
    types = [AUTHORIZATION_CODE, REFRESH_TOKEN, DEVICE_CODE]
    if source == "preregistered":
        types.append(CLIENT_CREDENTIALS)
    if settings.id_jag_issuer and source != "dynamic":
        types.append(JWT_BEARER)
    return types


def _typed(given: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    languages = 0
    for name, value in given.items():
        plain, tagged, _ = name.partition("#")
        if plain in STRINGS and not tagged:
            kept[name] = _string(name, value)
        elif name in LISTS:
            kept[name] = _list(name, value)
        elif name == "jwks":
            kept[name] = value
        elif tagged and (plain not in LOCALISED or not name.isascii() or len(name) > 64):
            continue
        elif (decoration := _decoration(plain, value)) is not None:
            languages += bool(tagged)
            if languages <= MAX_LANGUAGES or not tagged:
                kept[name] = decoration
    if "scope" in kept:
        kept["scope"] = scopes.granted(kept["scope"])
    if kept.get("token_endpoint_auth_signing_alg", "RS256") not in ASSERTION_ALGORITHMS:
        raise InvalidClientMetadataError(
            f"token_endpoint_auth_signing_alg must be one of {', '.join(ASSERTION_ALGORITHMS)}."
        )
    return kept


def _string(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidClientMetadataError(f"{name} must be a string.")
    if len(value) > STRINGS[name]:
        raise InvalidClientMetadataError(f"{name} is longer than {STRINGS[name]} characters.")
    if name == "jwks_uri" and not _is_web_page(value):
        raise InvalidClientMetadataError("jwks_uri must be an https URL.")
    return value


def _decoration(name: str, value: object) -> str | list[str] | None:
    """What is kept of a member that decides nothing; None when nothing is."""
    if name == "contacts":
        items = value if isinstance(value, list) else []
        return [item for item in items if isinstance(item, str) and 0 < len(item) <= 255][:CONTACTS] or None
    if not isinstance(value, str):
        return None
    if name == "application_type":
        return value if value in ("web", "native") else None
    if name in PAGES:
        return value if len(value) <= MAX_ITEM and _is_web_page(value) else None
    if name == "client_name":
        value = visible_name(value)
    return value[: TEXTS[name]].strip() or None if name in TEXTS else None


def visible_name(value: str) -> str:
    """A name as a person will see it, without what is invisible or changes the direction of the text, which
    have no place on a consent page. Empty when nothing is left to see."""
    shown = "".join(char for char in value if unicodedata.category(char)[0] != "C" or char.isspace())
    words = " ".join(shown.translate(BLANKS).split())
    return words if any(unicodedata.category(char)[0] in "LNPS" for char in words) else ""


def _is_web_page(value: str) -> bool:
    if not value.isprintable() or " " in value or "\\" in value:
        return False
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc


def _list(name: str, value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        error = InvalidRedirectURIError if name == "redirect_uris" else InvalidClientMetadataError
        raise error(f"{name} must be an array of strings.")
    if len(value) > LISTS[name] or any(len(item) > MAX_ITEM for item in value):
        error = InvalidRedirectURIError if name == "redirect_uris" else InvalidClientMetadataError
        raise error(f"{name} may have at most {LISTS[name]} items of {MAX_ITEM} characters.")
    return list(value)


def _grant_types(requested: list[str] | None, settings: Settings, source: Source) -> list[str]:
    """Those of the requested grant types that this client may use. A client that names none gets refresh
    tokens besides the code (RFC 7591 section 3.2.1 lets a server choose): nobody should sign in hourly."""
    supported = grant_types_supported(settings, source)
    granted = [name for name in requested or (AUTHORIZATION_CODE, REFRESH_TOKEN) if name in supported]
    if not set(granted) - {REFRESH_TOKEN}:
        raise InvalidClientMetadataError(f"grant_types must contain one of {', '.join(supported)}.")
    return list(dict.fromkeys(granted))


def _auth_method(given: Mapping[str, Any], source: Source) -> str:
    """The one method that will be enforced: the named one, or one of a list (OpenID RP Metadata Choices)."""
    has_keys = "jwks" in given or "jwks_uri" in given
    requested = given.get("token_endpoint_auth_method")
    if requested is None:
        requested = _choose(given.get("token_endpoint_auth_methods_supported"), has_keys, source)
    if requested not in AUTH_METHODS:
        raise InvalidClientMetadataError(
            f"token_endpoint_auth_method must be one of {', '.join(AUTH_METHODS)}."
        )
    if source == "document" and (requested in SECRET_METHODS or "client_secret" in given):
        raise InvalidClientMetadataError("A client with a metadata document cannot have a secret.")
    if requested == "private_key_jwt" and not has_keys:
        raise InvalidClientMetadataError("private_key_jwt needs jwks or jwks_uri.")
    return str(requested)


def _choose(offered: object, has_keys: bool, source: Source) -> str:
    default = "none" if source == "document" else "client_secret_basic"
    if not isinstance(offered, list):
        return default
    usable = [method for method in AUTH_METHODS if method in offered]
    if "private_key_jwt" in usable and has_keys:
        return "private_key_jwt"
    if source == "document":
        return "none"
    return next((method for method in ("none", *SECRET_METHODS) if method in usable), default)


def _check_keys(kept: Mapping[str, Any]) -> None:
    if "jwks_uri" in kept and not kept["jwks_uri"].startswith("https://"):
        raise InvalidClientMetadataError("jwks_uri must be an https URL.")
    if "jwks" not in kept:
        return
    jwks = kept["jwks"]
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(keys, list) or not 0 < len(keys) <= MAX_KEYS:
        raise InvalidClientMetadataError(f"jwks must be a JWK set of 1 to {MAX_KEYS} keys (RFC 7517).")
    for key in keys:
        check_public_key(key)


def check_public_key(key: object) -> None:
    """A JWK must be a public RSA, EC or OKP key of sane size."""
    if not isinstance(key, dict) or key.get("kty") not in ("RSA", "EC", "OKP"):
        raise InvalidClientMetadataError("Each key in jwks must be an RSA, EC or OKP key.")
    if "d" in key or "p" in key or "k" in key:
        raise InvalidClientMetadataError(
            "jwks must contain public keys only; this private key has been disclosed; replace it."
        )
    if len(str(key.get("n", ""))) > MAX_MODULUS or len(str(key.get("e", ""))) > 12:
        raise InvalidClientMetadataError("RSA keys of more than 8192 bits are not accepted.")


def _check_claims(kept: dict[str, Any]) -> None:
    """Authlib's checks of RFC 7591; the redirect URIs have stricter ones of ours."""
    claims = ClientMetadataClaims(
        {name: value for name, value in kept.items() if name != "redirect_uris"}, {}
    )
    try:
        claims.validate()
    except JoseError as error:
        name = getattr(error, "claim", None) or "a member"
        raise InvalidClientMetadataError(f"{name} has an unusable value (RFC 7591 section 2).") from error
