"""The reference, read from the code: nothing in it is written by hand, so nothing can fall behind."""

from __future__ import annotations

import ast
import inspect
import re
import secrets
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import click
from mcp_echo_streamablehttp_server_stateful.cli import main as stateful
from mcp_echo_streamablehttp_server_stateless.cli import main as stateless
from mcp_fetch_streamablehttp_server.cli import main as fetch
from mcp_oauth_dynamicclient import errors
from mcp_oauth_dynamicclient.app import create_app
from mcp_oauth_dynamicclient.cli import main as authorization_server
from mcp_oauth_dynamicclient.metrics import Metrics
from mcp_oauth_dynamicclient.settings import Settings
from mcp_streamablehttp_client.cli import commands as bridge
from mcp_streamablehttp_proxy.cli import main as proxy
from mcp_streamablehttp_proxy.metrics import Metrics as ProxyMetrics
from prometheus_client import CollectorRegistry
from starlette.routing import BaseRoute, Route

from common import error_codes
from common.meters import Meters

from .doctor_troubles import TROUBLES
from .packages import ROOT

COMMANDS: dict[str, click.Command] = {
    "mcp-oauth-server": authorization_server,
    "mcp-streamablehttp-client": bridge,
    "mcp-streamablehttp-proxy": proxy,
    "mcp-fetch-streamablehttp-server": fetch,
    "mcp-echo-streamablehttp-server-stateless": stateless,
    "mcp-echo-streamablehttp-server-stateful": stateful,
}
"""By the name of the console script."""

TOTAL = {"counter": "_total"}
"""What Prometheus' text adds to a name (OpenMetrics 1.0, Counter)."""


def reference() -> str:
    parts = [
        "# Reference\n\nMade from the code at each build of this site.",
        "## Recipes\n\n" + _recipes(),
    ]
    for name, command in COMMANDS.items():
        parts.append(f"## {name}")
        parts.extend(_command(name, command, top=True))
    parts += [
        "## Settings of the authorization server\n\nWhat they mean: [operate.md](operate.md#settings).\n\n"
        + _settings(),
        "## Endpoints of the authorization server\n\n" + _endpoints(),
        "## Metrics\n\n" + _metrics(),
        "## Errors of the authorization server\n\n" + _errors(),
        "## JSON-RPC errors of the relays and the servers\n\n"
        "What these send of their own accord; an error of the server behind is passed on as it came.\n\n"
        + _json_rpc_errors(),
    ]
    return "\n\n".join(parts) + "\n"


def troubles() -> str:
    """What `./justw doctor` can find, for the page on troubles."""
    heads = ("what you see", "it is", "the rule", "what to do")
    return _table(heads, ((known.noticed, key, known.rule, known.cure) for key, known in TROUBLES.items()))


def _table(heads: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _recipes() -> str:
    found = re.findall(
        r"^# (.+)\n(?:\[.*\]\n)*([a-z][a-z-]*)(?: [^:\n]*)?:(?!=)",
        (ROOT / "justfile").read_text(),
        re.MULTILINE,
    )
    return _table(("recipe", "does"), ((f"`./justw {name}`", text) for text, name in found))


def _command(name: str, command: click.Command, *, top: bool = False) -> Iterator[str]:
    """The command and those below it, each with its arguments and options."""
    context = click.Context(command, info_name=name)
    if not top:
        yield f"### {name}"
    if text := _cell(inspect.cleandoc(command.help or command.short_help or "")):
        yield text
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    yield f"```\n{usage}\n```"
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    if options:
        yield _table(("option", "", "default"), (_option(option, context) for option in options))
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None and not found.hidden:
                yield from _command(f"{name} {child}", found)


def _option(option: click.Option, context: click.Context) -> tuple[str, str, str]:
    spelled = ", ".join(f"`{spelling}`" for spelling in [*option.opts, *option.secondary_opts])
    if option.envvar:
        names = [option.envvar] if isinstance(option.envvar, str) else option.envvar
        spelled += " (" + ", ".join(f"`{name}`" for name in names) + ")"
    default = option.get_default(context, call=False)
    told = isinstance(default, str | int | float) and not isinstance(default, bool) and default != ""
    return spelled, option.help or "", f"`{default}`" if told else ""


def _endpoints() -> str:
    settings = Settings.model_validate(
        {
            "public_url": "https://gateway.example.com",
            "gateway_secret": secrets.token_hex(32),
            "local_accounts": True,
            "store_url": "sqlite:///:memory:",
        }
    )
    rows = [
        (f"`{route.path}`", ", ".join(sorted(set(route.methods or ()) - {"HEAD"})), _first(route.endpoint))
        for route in _routes(create_app(settings).routes)
    ]
    return _table(("address", "method", "is"), iter(sorted(rows)))


def _routes(routes: Iterable[BaseRoute]) -> Iterator[Route]:
    """With those of included routers, which FastAPI keeps as one route each."""
    for route in routes:
        if isinstance(route, Route):
            yield route
        elif included := getattr(route, "original_router", None):
            yield from _routes(included.routes)


def _first(endpoint: object) -> str:
    """What its docstring says first, or that of its module; of an instance, its module's."""
    if inspect.isroutine(endpoint):
        texts = (inspect.getdoc(endpoint), inspect.getdoc(inspect.getmodule(endpoint)))
    else:
        texts = (inspect.getdoc(inspect.getmodule(type(endpoint))), None)
    return next((text.partition("\n\n")[0] for text in texts if text), "")


def _settings() -> str:
    """Names and defaults; what they mean is in operate.md, which a test compares with these."""
    return _table(
        ("setting", "default"),
        (
            (f"`{name.upper()}`", "required" if field.is_required() else f"`{_shown(field.default)}`")
            for name, field in Settings.model_fields.items()
        ),
    ).replace("| `` |", "|  |")


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default or "")


def _metrics() -> str:
    of_the_proxy = ProxyMetrics()
    of_the_proxy.server("NAME")
    registries = {
        "mcp-oauth-dynamicclient": Metrics()._registry,
        "mcp-streamablehttp-proxy": of_the_proxy.registry,
        "the native servers": Meters(frozenset()).registry,
    }
    return _table(
        ("metric", "kind", "is", "of"),
        (
            (f"`{family.name}{TOTAL.get(family.type, '')}`", family.type, family.documentation, package)
            for package, registry in registries.items()
            for family in _families(registry)
        ),
    )


def _families(registry: CollectorRegistry) -> list[Any]:
    own = [family for family in registry.collect() if family.name.startswith("mcp_")]
    return sorted(own, key=lambda family: str(family.name))


def _errors() -> str:
    kinds = [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.OAuth2Error) and kind.error
    ]
    return _table(
        ("error", "status", "means"),
        ((f"`{kind.error}`", str(kind.status_code), inspect.getdoc(kind) or "") for kind in kinds),
    )


def _json_rpc_errors() -> str:
    """By what stands below each code: when it is sent, and in a second paragraph what to do."""
    rows = []
    for code, below in pairwise(ast.parse(inspect.getsource(error_codes)).body):
        match code, below:
            case (
                ast.Assign(targets=[ast.Name()], value=value),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                when, cure = text.strip().split("\n\n")
                rows.append((f"`{ast.literal_eval(value)}`", when, cure))
    return _table(("code", "is sent when", "what to do"), iter(rows))
