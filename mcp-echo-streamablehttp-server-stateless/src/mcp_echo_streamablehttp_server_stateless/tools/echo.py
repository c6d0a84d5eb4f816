from pydantic import Field

from ..call import Call
from ..toolbox import Arguments, Report, Tool


class EchoArguments(Arguments):
    message: str = Field(description="What to send back", max_length=100_000)


class Echoed(Report):
    message: str

    def text(self) -> str:
        return self.message


async def echo(call: Call, arguments: EchoArguments) -> Echoed:
    return Echoed(message=arguments.message)


ECHO = Tool("echo", "Echo", "Sends the message back unchanged.", EchoArguments, Echoed, echo)
