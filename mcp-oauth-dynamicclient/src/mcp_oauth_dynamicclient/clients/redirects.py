"""Redirection URIs: which may be registered, and which request matches which registration."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from ..errors import InvalidRedirectURIError

MAX_LENGTH = 2048
URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]*")
HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
AUTHORITY = re.compile(rf"(?P<host>{HOST.pattern})(?::(?P<port>[0-9]{{1,5}}))?")
LOOPBACK = re.compile(r"http://(127\.0\.0\.1|\[::1\]|localhost)(?::([0-9]{1,5}))?((?:[/?].*)?)", re.DOTALL)
FORBIDDEN_SCHEMES = frozenset({
    "about", "blob", "chrome", "content", "data", "file", "filesystem", "ftp", "intent", "jar", "javascript",
    "mailto", "resource", "tel", "urn", "vbscript", "view-source", "ws", "wss",
})  # fmt: skip
"""Schemes that a browser acts on by itself, or that name no app; policy cannot allow them."""


DOTTED = "*.*"
"""Among allowed schemes: every reverse domain name, which is the app's own (RFC 8252 section 7.1)."""


class UnusableRedirectURIError(InvalidRedirectURIError):
    """A harmless URI that this gateway will not use: in a larger set it is left out, alone it is refused."""


def check_registrable(uri: object, schemes: Collection[str] = ()) -> None:
    """Whether `uri` may receive codes: https, http on loopback, or a private-use scheme in `schemes`.

    Raises InvalidRedirectURIError for what no client has reason to send (another scheme a browser runs,
    fragments, user-info, characters outside RFC 3986) and UnusableRedirectURIError for what policy refuses.
    """
    if not isinstance(uri, str) or len(uri) > MAX_LENGTH:
        raise InvalidRedirectURIError(
            f"Each redirect URI must be a string of at most {MAX_LENGTH} characters."
        )
    shape = URI.fullmatch(uri)
    if shape is None or not _is_readable(uri):
        raise InvalidRedirectURIError(
            "A redirect URI must be an absolute URI without a fragment (RFC 6749 3.1.2)."
        )
    scheme = shape[1].lower()
    if scheme in FORBIDDEN_SCHEMES:
        raise InvalidRedirectURIError(f"Redirect URIs with the scheme {scheme} are never accepted.")
    if scheme in ("http", "https"):
        _check_web(uri, scheme)
        return
    if "@" in _authority(uri):
        raise InvalidRedirectURIError("A redirect URI must not carry user information.")
    if not _is_allowed(scheme, schemes):
        raise UnusableRedirectURIError(
            "The redirect scheme {} is not allowed here; use https, http on a loopback"
            " address, or ask the operator to add it to REDIRECT_SCHEMES.",
            quoted=scheme[:50],
        )


def _is_allowed(scheme: str, schemes: Collection[str]) -> bool:
    named = {allowed.lower() for allowed in schemes}
    return scheme in named or (DOTTED in named and "." in scheme.strip("."))


def _check_web(uri: str, scheme: str) -> None:
    authority = _authority(uri)
    if "@" in authority:
        raise InvalidRedirectURIError("A redirect URI must not carry user information.")
    shape = AUTHORITY.fullmatch(authority)
    if shape is None or int(shape["port"] or 0) > 65535:
        raise InvalidRedirectURIError("A redirect URI must name a valid host.")
    if scheme == "http" and not is_loopback(uri):
        raise UnusableRedirectURIError(
            "Redirect URIs must use https, or http with the host 127.0.0.1, [::1] or localhost."
        )


def _authority(uri: str) -> str:
    rest = uri.partition(":")[2]
    return re.split(r"[/?]", rest[2:], maxsplit=1)[0] if rest.startswith("//") else ""


def _is_readable(uri: str) -> bool:
    try:
        urlsplit(uri)
    except ValueError:
        return False
    return True


def usable(uris: Iterable[object], schemes: Collection[str]) -> list[str]:
    """The URIs of a set that can be used. A URI that policy refuses is left out (Cursor registers several
    kinds at once); the set is refused when nothing is left, or when a URI in it is never acceptable."""
    kept: list[str] = []
    refused: UnusableRedirectURIError | None = None
    for uri in uris:
        try:
            check_registrable(uri, schemes)
        except UnusableRedirectURIError as error:
            refused = refused or error
        else:
            kept.append(str(uri))
    if not kept:
        raise refused or InvalidRedirectURIError("redirect_uris must be a non-empty array of URIs.")
    return list(dict.fromkeys(kept))


def matches(registered: Iterable[str], requested: str) -> bool:
    """Exact comparison; for http on loopback any port will do, all else equal (RFC 8252 section 7.3)."""
    wanted = _portless(requested)
    return any(uri == requested or (wanted is not None and _portless(uri) == wanted) for uri in registered)


def is_loopback(uri: str) -> bool:
    """http to this machine: 127.0.0.1, [::1] or localhost, on any port."""
    return _portless(uri) is not None


def _portless(uri: str) -> tuple[str, str] | None:
    shape = LOOPBACK.fullmatch(uri)
    if shape is None or int(shape[2] or 0) > 65535:
        return None
    return shape[1], shape[3]


def host(uri: str) -> str:
    """What a person is shown as the receiver of the code: the host, or the scheme of an app's own URI."""
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        return parts.hostname or ""
    return f"{parts.scheme}:"
