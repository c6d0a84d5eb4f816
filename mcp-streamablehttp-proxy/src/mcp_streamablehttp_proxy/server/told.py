"""What a server process is told that its clients can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._common.client_capabilities import ALL_CAPABILITIES, declares
from ..settings import Server


def told(server: Server, declared: Mapping[str, Any]) -> Mapping[str, Any]:
    """The capabilities of clients that share a process: all where everybody shares one.

    Else clients that can do the same share one, and there are sixteen kinds: with or without roots, sampling,
    and elicitation by form and by URL. What a server asks beyond that is refused when it asks.
    """
    if server.isolation == "shared":
        return ALL_CAPABILITIES
    able = {name: ALL_CAPABILITIES[name] for name in ("roots", "sampling") if name in declared}
    modes: dict[str, Any] = {
        mode: {} for mode in ("form", "url") if declares(declared, {"elicitation": {mode: {}}})
    }
    return {**able, "elicitation": modes} if modes else able
