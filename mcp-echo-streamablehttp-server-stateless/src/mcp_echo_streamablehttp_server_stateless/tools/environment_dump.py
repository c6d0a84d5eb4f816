from __future__ import annotations

import platform
from importlib.metadata import version

from pydantic import Field

from ..call import Call
from ..redact import text
from ..toolbox import Arguments, Report, Tool


class EnvironmentArguments(Arguments):
    showSecrets: bool = Field(  # noqa: N815
        default=False, title="Show secrets", description="Kept for old callers; it shows nothing more."
    )


class Environment(Report):
    settings: dict[str, str] = Field(title="Settings", description="Each setting in effect, by its variable.")
    python: str = Field(title="Python", description="Its version.")
    platform: str = Field(title="Platform", description="System and processor.")
    packages: dict[str, str] = Field(title="Packages", description="Versions of what this is built on.")

    def text(self) -> str:
        settings = "\n".join(f"  {name}={value}" for name, value in self.settings.items())
        packages = ", ".join(f"{name} {number}" for name, number in self.packages.items())
        return f"Settings in effect:\n{settings}\nPython {self.python} on {self.platform}; {packages}"


async def environment_dump(call: Call, arguments: EnvironmentArguments) -> Environment:
    values = ((name, getattr(call.settings, name)) for name in type(call.settings).model_fields)
    return Environment(
        settings={f"MCP_{name.upper()}": written(value) for name, value in values},
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages={name: version(name) for name in ("mcp", "fastapi", "uvicorn", "pydantic")},
    )


def written(value: object) -> str:
    """A setting's value the way the environment spells it."""
    if isinstance(value, tuple):
        return ",".join(str(entry) for entry in value)
    # An address can hold a password.
    return str(value).lower() if isinstance(value, bool) else text(str(value))


ENVIRONMENT_DUMP = Tool(
    "environmentDump",
    "Environment",
    "Shows this server's own settings and versions, and nothing else of its environment.",
    EnvironmentArguments,
    Environment,
    environment_dump,
)
