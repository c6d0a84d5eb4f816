"""One header of an ASGI request, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Scope


def header(scope: Scope, name: bytes) -> str | None:
    """The first value of this name, which is in lower case as ASGI has them; None where it did not come."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)
