"""Every hop of the local run that is under way here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from mcp_oauth_dynamicclient.app import open_context
from mcp_oauth_dynamicclient.context import Context
from mcp_oauth_dynamicclient.doctor_records import check_records, check_settings
from mcp_oauth_dynamicclient.errors import StoreUnavailableError
from mcp_oauth_dynamicclient.operator_token import issued
from mcp_oauth_dynamicclient.settings import Settings
from mcp_streamablehttp_client._common.hop import Verdict, unseen

from . import doctor_machine as machine
from . import local_settings
from .doctor_ask import Client
from .doctor_client import PURPOSE, Known, Passes, check_server
from .doctor_refusals import check_refusals, end_of
from .doctor_servers import known_servers
from .doctor_troubles import as_here, trouble
from .doctor_walk import walk
from .state import Running, State


async def examine(state: State, environment: Mapping[str, str]) -> AsyncIterator[Verdict]:
    """Every hop of the local run. Raises SettingsError."""
    running = state.running()
    for verdict in machine.check_processes(state, running):
        yield verdict
    if running is None:
        return
    settings = settings_of(state, running, environment)
    answers = False
    async for verdict in machine.check_health(running, settings):
        answers = verdict.hop == "edge" and verdict.state == "well"
        yield verdict
    yield machine.check_disk(state.folder)
    if settings.store_url.startswith("sqlite:"):
        verdict = await asyncio.to_thread(machine.check_database, settings.store_url, running)
        if verdict.state == "wrong":
            yield verdict
            return
    log = state.logs / "auth.log" if settings.audit_log == "-" else Path(settings.audit_log)
    for verdict in refusals_of(log):
        yield verdict
    with (state.logs / "auth.log").open("a") as audit:
        async with open_context(settings, audit) as ctx:
            for finding in check_settings(settings):
                yield as_here(finding)
            async for finding in check_records(ctx, made_at_start=True):
                yield as_here(finding)
            if not answers:
                return
            servers = await asyncio.to_thread(known_servers, state, running)
            local = f"http://localhost:{running.port}"
            try:
                async with passes_for(ctx, servers) as passes:
                    edge = f"http://127.0.0.1:{running.port}"
                    async for verdict in walk(settings.issuer, edge, local, servers, passes):
                        yield verdict
            except StoreUnavailableError as error:
                yield trouble("store is away", "no token could be made", str(error.__cause__ or error))


async def try_server(state: State, running: Running, environment: Mapping[str, str], name: str) -> Verdict:
    """Call one server, as a client does, at the edge's own port. Raises SettingsError."""
    settings = settings_of(state, running, environment)
    servers = {name: known_servers(state, running)[name]}
    with (state.logs / "auth.log").open("a") as audit:
        async with open_context(settings, audit) as ctx:
            try:
                async with (
                    passes_for(ctx, servers) as passes,
                    Client(f"http://127.0.0.1:{running.port}") as here,
                ):
                    return await check_server(here, name, servers[name], passes[name].token, settings.issuer)
            except StoreUnavailableError as error:
                return trouble("store is away", "no token could be made", str(error.__cause__ or error))


def refusals_of(log: Path) -> Iterator[Verdict]:
    try:
        yield from check_refusals(end_of(log))
    except OSError:
        yield unseen("token", "there is no audit log to read here")


@asynccontextmanager
async def passes_for(ctx: Context, servers: Mapping[str, Known]) -> AsyncIterator[Passes]:
    """Raises StoreUnavailableError."""
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(issued(ctx, server.url, f"{PURPOSE}-{name}"))
            for name, server in servers.items()
        }


def settings_of(state: State, running: Running, environment: Mapping[str, str]) -> Settings:
    by_domain = environment.get("BASE_DOMAIN") and not environment.get("PUBLIC_URL")
    address = None if by_domain else running.url
    return local_settings.checked(local_settings.of_auth(environment, address, state.folder, state.secret()))
