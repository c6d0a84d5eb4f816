from __future__ import annotations

from pydantic import Field

from ..call import Call
from ..toolbox import Arguments, Report, Tool


class Goat(Report):
    name: str | None = Field(title="Name", description="Who is asking, or null.")
    verdict: str = Field(title="Verdict", description="The answer.")

    def text(self) -> str:
        return self.verdict


async def who_is_the_goat(call: Call, arguments: Arguments) -> Goat:
    name = call.identity.user_name or call.identity.user_id
    if name is None:
        return Goat(
            name=None,
            verdict="The greatest of all time keeps a low profile: nobody is signed in.",
        )
    return Goat(
        name=name, verdict=f"After one request and no further study: the greatest of all time is {name}. 🐐"
    )


WHO_IS_THE_GOAT = Tool(
    "whoIStheGOAT",
    "Who is the GOAT",
    "Names the greatest of all time. It helps to be signed in.",
    Arguments,
    Goat,
    who_is_the_goat,
)
