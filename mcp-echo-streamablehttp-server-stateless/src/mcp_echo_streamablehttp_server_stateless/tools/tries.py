"""Tools that behave as asked, so that people can see what their client makes of it."""

from __future__ import annotations

from typing import Literal

import anyio
from mcp import MCPError
from mcp_types import INTERNAL_ERROR
from pydantic import Field

from ..call import Call
from ..toolbox import Arguments, Report, Tool, ToolError

LONGEST = 60.0
LARGEST = 1_000_000
LEVELS = Literal["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]


class DelayArguments(Arguments):
    seconds: float = Field(1, ge=0, le=LONGEST, title="Seconds", description="How long to take, at most 60.")


class ErrorArguments(Arguments):
    kind: Literal["tool", "protocol"] = Field(
        "tool",
        title="Kind",
        description="tool: a result with isError, for the model; protocol: a JSON-RPC error, for the client.",
    )
    message: str = Field(
        "An error, as you asked for.", max_length=1000, title="Message", description="What the error says."
    )
    code: int = Field(
        INTERNAL_ERROR,
        ge=-(2**31),
        lt=2**31,
        title="Code",
        description="The JSON-RPC error code, for kind protocol.",
    )


class SizeArguments(Arguments):
    size: int = Field(
        1000, ge=0, le=LARGEST, title="Characters", description="How long a text to send, at most 1000000."
    )


class ProgressArguments(Arguments):
    steps: int = Field(5, ge=1, le=100, title="Steps", description="How many notes of progress to send.")
    pause: float = Field(
        0.2, ge=0, le=5, title="Pause", description="Seconds between two steps; at most 60 together."
    )


class LogArguments(Arguments):
    level: LEVELS = Field("info", title="Level", description="How grave the messages are.")
    count: int = Field(3, ge=1, le=100, title="Messages", description="How many to send.")


class Tried(Report):
    did: str = Field(title="What was done", description="One sentence.")

    def text(self) -> str:
        return self.did


class Sized(Report):
    size: int = Field(title="Characters", description="The length of the text.")
    content: str = Field(title="Text", description="That many characters, counted in tens.")

    def text(self) -> str:
        return self.content


async def delay(call: Call, arguments: DelayArguments) -> Tried:
    await anyio.sleep(arguments.seconds)
    return Tried(did=f"Waited for {arguments.seconds:g} s.")


async def error(call: Call, arguments: ErrorArguments) -> Tried:
    if arguments.kind == "protocol":
        raise MCPError(arguments.code, arguments.message)
    raise ToolError(arguments.message)


async def size(call: Call, arguments: SizeArguments) -> Sized:
    tens = "".join(f"{number * 10:>10}" for number in range(1, arguments.size // 10 + 1))
    return Sized(size=arguments.size, content=tens + "." * (arguments.size % 10))


async def progress(call: Call, arguments: ProgressArguments) -> Tried:
    if arguments.steps * arguments.pause > LONGEST:
        raise ToolError("Steps and pauses take more than 60 s together; ask for fewer.")
    for step in range(1, arguments.steps + 1):
        await call.session.report_progress(step, arguments.steps, f"Step {step} of {arguments.steps}")
        await anyio.sleep(arguments.pause)
    return Tried(did=f"Sent {arguments.steps} notes of progress, if the call asked for them.")


async def log(call: Call, arguments: LogArguments) -> Tried:
    for number in range(1, arguments.count + 1):
        await call.log(arguments.level, f"Message {number} of {arguments.count}")
    return Tried(did=f"Sent {arguments.count} log messages, if the client takes them.")


TRIES = (
    Tool("tryDelay", "Try: a slow tool", "Answers after a while.", DelayArguments, Tried, delay),
    Tool("tryError", "Try: an error", "Fails, in one of the two ways.", ErrorArguments, Tried, error),
    Tool("trySize", "Try: a long answer", "Answers with a text of a length.", SizeArguments, Sized, size),
    Tool(
        "tryProgress",
        "Try: progress",
        "Tells its progress step by step.",
        ProgressArguments,
        Tried,
        progress,
    ),
    Tool("tryLog", "Try: log messages", "Sends log messages, then answers.", LogArguments, Tried, log),
)
