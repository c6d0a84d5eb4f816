"""Every setting of a pydantic model as an option of a command line, its help made from the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings

F = TypeVar("F", bound=Callable[..., Any])

_SHORT = {"bind_host": "--host"}


def option_name(field: str, implied: str = "") -> str:
    """`implied`: a beginning of the field's name that the program's own name says already."""
    return _SHORT.get(field, "--" + field.removeprefix(implied).replace("_", "-"))


def shown_default(settings: type[BaseSettings], name: str) -> str:
    """The default as it would be written into the environment; empty for none."""
    value = settings.model_fields[name].get_default(call_default_factory=True)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, frozenset):
        return ",".join(str(entry) for entry in sorted(value))
    if isinstance(value, tuple):
        return ",".join(str(entry) for entry in value)
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def options(settings: type[BaseSettings], prefix: str = "MCP_", implied: str = "") -> Callable[[F], F]:
    """An option for each setting. What it is given goes through the same checks as the variable."""

    def add(command: F) -> F:
        for name, field in reversed(settings.model_fields.items()):
            default = shown_default(settings, name) or "none"
            help_text = f"{field.title}: {field.description}. [{prefix}{name.upper()}, default {default}]"
            flag = field.default is False and field.annotation is bool
            given: dict[str, Any] = {"is_flag": True, "default": None} if flag else {"metavar": "VALUE"}
            command = click.option(option_name(name, implied), name, help=help_text, **given)(command)
        return command

    return add


def table(settings: type[BaseSettings], prefix: str = "MCP_") -> str:
    """The same for a README, in Markdown."""
    lines = ["| variable | option | default | |", "|---|---|---|---|"]
    for name, field in settings.model_fields.items():
        default = shown_default(settings, name)
        lines.append(
            f"| `{prefix}{name.upper()}` | `{option_name(name)}` | {f'`{default}`' if default else ''} "
            f"| {field.title}: {field.description} |"
        )
    return "\n".join(lines)
