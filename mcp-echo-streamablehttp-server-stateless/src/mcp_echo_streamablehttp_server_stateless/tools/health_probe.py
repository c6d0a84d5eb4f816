import os
import resource
import time
from typing import Literal

from ..call import Call
from ..toolbox import Arguments, Report, Tool

STARTED = time.monotonic()


class Health(Report):
    status: Literal["healthy"] = "healthy"
    uptime_seconds: int
    processors: int
    load_per_processor: float
    peak_memory_mb: float

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
