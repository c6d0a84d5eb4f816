"""What an edge asks about, in the three ways in which edges say it.

A ForwardAuth edge asks at `/verify` and describes the request in `X-Forwarded-*`. The filter ExternalAuth of
the Gateway API (GEP-1494) appends the request's own path to the one that its route names, and here that path
names the server: `/verify/at/NAME`. Envoy, which it comes from, asks with the request's own method at
`/verify/at/NAME/mcp`; nginx cannot, and asks at `/verify/at/NAME` with the headers `Path` and `Method`. The
Host that came along counts in neither: the route that was taken says which server it leads to.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from starlette.types import Scope

from ..errors import InvalidRequestError
from ..public import INTERNAL_PATHS, SEGMENT
from ..resources import Resources

FORWARDED, TO_A_SERVER = "/verify", "/verify/server"
PATHS = (FORWARDED, TO_A_SERVER)
METHODS = ("GET", "HEAD", "POST")
"""With which an edge asks where it says in headers what is asked."""
_AT = re.compile(rf"/verify/at/({SEGMENT})(/.*)?", re.DOTALL)
_HEADERS = {b"x-forwarded-host", b"x-forwarded-uri", b"x-forwarded-method"}
_HEADERS_OF_NGINX = {b"path", b"method"}
_PREFLIGHT = b"access-control-request-method"


@dataclass(frozen=True, slots=True)
class Asked:
    host: str
    target: str
    """As the client wrote it, with its query."""
    method: str
    to_a_server: bool
    """Whether it goes to a server if it goes on: what needs no token does not, then."""
    server: str | None = None
    """The only server that it may go to."""


def own_path(scope: Scope) -> str:
    """The path below that at which this application is mounted."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def is_question(path: str) -> bool:
    """Of an own path."""
    return path in PATHS or _AT.fullmatch(path) is not None


def is_disguised(scope: Scope) -> bool:
    """Whether an internal address is written with `%76` for `v` or the like.

    Edges keep internal addresses to themselves, and some of them compare a path as it was written.
    """
    read = own_path(scope).lstrip("/").partition("/")[0]
    written = (scope.get("raw_path") or b"").split(b"/")[1 + str(scope.get("root_path", "")).count("/") :]
    return read in INTERNAL_PATHS and b"%" in b"".join(written[:1])


def allows(scope: Scope) -> bool:
    """Whether an edge may ask with this method.

    A preflight is not asked about: edges pass it on to this server whatever its path, with the token that
    came along, and the client would be told what only a server is told.
    """
    at = _AT.fullmatch(own_path(scope))
    if at is None or at[2] is None:
        return scope["method"] in METHODS
    return scope["method"] != "OPTIONS" or all(name != _PREFLIGHT for name, _ in scope["headers"])


def asked(scope: Scope, resources: Resources) -> Asked:
    """What a request to `/verify` asks about. Raises InvalidRequestError when it is not said, or said
    twice."""
    path = own_path(scope)
    at = _AT.fullmatch(path)
    headers: dict[bytes, bytes] = dict(scope["headers"])
    if len(headers) != len(scope["headers"]):
        _refuse_repeated(scope, _HEADERS if at is None else _HEADERS_OF_NGINX)
    if at is None:
        return _forwarded(headers, path == TO_A_SERVER)
    server = at[1]
    host = urlsplit(resources.of_server(server)).netloc
    if at[2] is not None:
        before = f"{quote(scope.get('root_path', ''))}/verify/at/{server}"
        target = scope["raw_path"].decode("latin-1").removeprefix(before)
        query = scope["query_string"].decode("latin-1")
        return Asked(host, f"{target}?{query}" if query else target, scope["method"], True, server)
    if b"path" not in headers or b"method" not in headers:
        raise InvalidRequestError("The edge must send the request's path after this one, or Path and Method.")
    target, method = headers[b"path"].decode("latin-1"), headers[b"method"].decode("latin-1")
    return Asked(host, target, method, True, server)


def _forwarded(headers: dict[bytes, bytes], to_a_server: bool) -> Asked:
    host, target = headers.get(b"x-forwarded-host"), headers.get(b"x-forwarded-uri")
    if host is None or target is None:
        raise _not_said()
    method = headers.get(b"x-forwarded-method", b"GET").decode("latin-1")
    return Asked(host.decode("latin-1"), target.decode("latin-1"), method, to_a_server)


def _refuse_repeated(scope: Scope, names: set[bytes]) -> None:
    count = Counter(name for name, _ in scope["headers"])
    if any(count[name] > 1 for name in names):
        raise _not_said()
    if count[b"authorization"] > 1:
        raise InvalidRequestError("Send one Authorization header, not several.")


def _not_said() -> InvalidRequestError:
    return InvalidRequestError(
        "The edge must send X-Forwarded-Method, X-Forwarded-Host and X-Forwarded-Uri, once each."
    )
