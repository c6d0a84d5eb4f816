from __future__ import annotations

import os
import resource
import time
from typing import Literal

from pydantic import Field

from ..call import Call
from ..toolbox import Arguments, Report, Tool

STARTED = time.monotonic()


class Health(Report):
    status: Literal["healthy"] = Field(
        default="healthy", title="Status", description="Always healthy: it answered."
    )
    uptime_seconds: int = Field(title="Uptime", description="Seconds since this process began.")
    processors: int = Field(title="Processors", description="How many this machine has.")
    load_per_processor: float = Field(title="Load", description="Load of the last minute, by processor.")
    peak_memory_mb: float = Field(
        title="Peak memory", description="Most memory this process has used, in megabytes."
    )

    def text(self) -> str:
        return (
            f"{self.status}: up {self.uptime_seconds} s, load {self.load_per_processor:.2f} per processor "
            f"({self.processors}), peak memory {self.peak_memory_mb:.0f} MB."
        )


async def health_probe(call: Call, arguments: Arguments) -> Health:
    processors = os.cpu_count() or 1
    return Health(
        uptime_seconds=int(time.monotonic() - STARTED),
        processors=processors,
        load_per_processor=round(os.getloadavg()[0] / processors, 2),
        peak_memory_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    )


HEALTH_PROBE = Tool(
    "healthProbe",
    "Health",
    "Says how this server process is doing: uptime, load, memory.",
    Arguments,
    Health,
    health_probe,
)
