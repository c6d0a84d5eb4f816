from __future__ import annotations

import time
from datetime import UTC, datetime

from pydantic import Field

from ..call import Call
from ..toolbox import Arguments, Report, Tool

RATINGS = ((10, "excellent"), (50, "good"), (100, "fair"))


class Timing(Report):
    received_at: str = Field(title="Received", description="When the request reached this process, in UTC.")
    now: str = Field(title="Now", description="When the tool answered, in UTC.")
    elapsed_ms: float = Field(title="Elapsed", description="Milliseconds between the two.")
    rating: str = Field(title="Rating", description="What to think of that.")
    method: str = Field(title="Method", description="The HTTP method.")
    path: str = Field(title="Path", description="The path as it reached this server.")
    http_version: str = Field(title="HTTP", description="The version of HTTP on the last hop.")

    def text(self) -> str:
        return (
            f"{self.method} {self.path} (HTTP/{self.http_version}) arrived at {self.received_at}; "
            f"{self.elapsed_ms:.2f} ms from arrival to this tool: {self.rating}."
        )


def rate(elapsed_ms: float) -> str:
    return next((name for limit, name in RATINGS if elapsed_ms < limit), "slow")


async def request_timing(call: Call, arguments: Arguments) -> Timing:
    elapsed_ms = (time.perf_counter() - call.arrival.tick) * 1000
    return Timing(
        received_at=datetime.fromtimestamp(call.arrival.at, UTC).isoformat(timespec="milliseconds"),
        now=datetime.now(UTC).isoformat(timespec="milliseconds"),
        elapsed_ms=round(elapsed_ms, 3),
        rating=rate(elapsed_ms),
        method=call.request.method,
        path=call.request.url.path,
        http_version=call.request.scope["http_version"],
    )


REQUEST_TIMING = Tool(
    "requestTiming",
    "Request timing",
    "Says when this request reached the server and how long the server took to get to this tool.",
    Arguments,
    Timing,
    request_timing,
)
