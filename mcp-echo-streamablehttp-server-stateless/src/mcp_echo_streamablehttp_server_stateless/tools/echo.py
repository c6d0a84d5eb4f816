from __future__ import annotations

from pydantic import Field

from ..call import Call
from ..toolbox import Arguments, Report, Tool


class EchoArguments(Arguments):
    message: str = Field(max_length=100_000, title="Message", description="What to send back.")


class Echoed(Report):
    message: str = Field(title="Message", description="The message as it was given.")

    def text(self) -> str:
        return self.message


async def echo(call: Call, arguments: EchoArguments) -> Echoed:
    return Echoed(message=arguments.message)


ECHO = Tool("echo", "Echo", "Sends the message back unchanged.", EchoArguments, Echoed, echo)
