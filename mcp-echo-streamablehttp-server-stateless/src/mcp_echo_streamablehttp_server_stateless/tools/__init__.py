from __future__ import annotations

from typing import Any

from ..toolbox import Tool
from .auth_context import AUTH_CONTEXT
from .bearer_decode import BEARER_DECODE
from .cors_analysis import CORS_ANALYSIS
from .echo import ECHO
from .environment_dump import ENVIRONMENT_DUMP
from .health_probe import HEALTH_PROBE
from .print_header import PRINT_HEADER
from .request_timing import REQUEST_TIMING
from .tries import TRIES
from .which_hop import WHICH_HOP
from .who_is_the_goat import WHO_IS_THE_GOAT

TOOLS: tuple[Tool[Any], ...] = (
    ECHO,
    PRINT_HEADER,
    BEARER_DECODE,
    AUTH_CONTEXT,
    REQUEST_TIMING,
    CORS_ANALYSIS,
    ENVIRONMENT_DUMP,
    HEALTH_PROBE,
    WHO_IS_THE_GOAT,
    WHICH_HOP,
    *TRIES,
)
