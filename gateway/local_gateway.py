"""A local run: its processes, started, watched, started again; the person's own servers come and go."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mcp_oauth_dynamicclient.settings import Settings
from rich.console import Console
from rich.table import Table

from . import bridge_wheel, doctor_watch, local_settings, own_servers, routes, tunnel
from .addresses import server_url
from .first_account import first_account
from .health import edge_health, health, own_health
from .process import Process, StartError
from .services import NATIVE, LocalServers, Service, authorization_server, edge, new_internal
from .state import Running, ServiceState, State

READY_WITHIN = 120.0
"""Seconds a service has to answer its health check, on a machine that has much else to do, too."""
ROUTED_WITHIN = 5.0
"""Seconds the edge has to see that a healthy server is."""
TOLD_WITHIN = 60.0
"""Seconds a tunnel has to tell its address."""
RESTART_PAUSE_CAP = 30.0
LOOK = 0.5
"""Seconds between looks at the files of the person's own servers."""
EDGES_QUESTION = '"GET /health HTTP/1.1" 200'
"""What the log of a server says every few seconds, and the person need not see."""
FROM_THIS_MACHINE = "127.0.0.1,::1"


class LocalGateway:
    def __init__(
        self,
        state: State,
        environment: Mapping[str, str],
        *,
        port: int,
        files: Sequence[Path] = (),
        through: tunnel.Tunnel | None = None,
    ) -> None:
        self.state = state
        self.port = port
        self.ready = asyncio.Event()
        self._environment = environment
        self._files = (*files, state.kept_servers)
        self._tunnel = through
        self._console = Console(highlight=False, soft_wrap=True)
        self._processes: dict[str, Process] = {}
        self._keepers: dict[str, asyncio.Task[Any]] = {}
        self._problems: dict[str, str] = {}
        self._ended: dict[str, str] = {}
        self._showing_logs = False
        self._untold = False
        """Whether what `_say_state` said last could not be written."""
        self._failed: StartError | None = None
        self._settings: Settings
        self._servers: LocalServers
        self._seen: list[bytes | None] = []

    async def run(self) -> None:
        """Start everything, and watch it until this is cancelled. Raises StartError, ServersFileError,
        SettingsError or TunnelError."""
        try:
            await self._start_everything()
            watching = asyncio.create_task(doctor_watch.watch(self.state, self._settings))
            try:
                await self._follow_own_servers()
            finally:
                watching.cancel()
        finally:
            self._showing_logs = False
            self._console.print("Stopping ...")
            await asyncio.gather(*(self._end(name) for name in list(self._processes)))

    # starting

    async def _start_everything(self) -> None:
        began = time.monotonic()
        public_url = await self._through_tunnel() if self._tunnel else self._public_url()
        values = local_settings.of_auth(self._environment, public_url, self.state.folder, self.state.secret())
        self._settings = local_settings.checked(values)
        values["FINDINGS_FILE"] = str(self.state.findings)
        await self._hand_out_the_bridge(values)
        internal = new_internal()
        self._servers = LocalServers(self.url, internal, self._environment)
        native = self._servers.native(self.state.folder)
        self._seen = self._own_files()
        own = self._find_own()
        auth = authorization_server(values, internal)
        traefik = edge(
            [auth], self.port, self._settings.public_url or "", internal,
            self._front_proxies(),
            base_domain=self._settings.base_domain or "", rules=self.state.rules,
            environment=self._environment,
        )  # fmt: skip
        first, added = [auth, *native, traefik], [self._servers.own(server) for server in own.servers]
        routes.write(self.state.rules, {service.name: service.url for service in (*native, *added)})
        password, *states = await asyncio.gather(
            self._first_account(values),
            *(self._start(service) for service in first),
            *(self._start_own(service) for service in added),
        )
        self._say_state()
        await asyncio.gather(*(self._until_routed(service) for service in (*native, *added)))
        self._print_table([*first, *added], states, password)
        self._console.print(f"Ready after {time.monotonic() - began:.1f} s. Ctrl-C stops everything.\n")
        self._showing_logs = True
        self.ready.set()
        self._say_state()

    async def _hand_out_the_bridge(self, values: dict[str, str]) -> None:
        """Without its wheel the pages name PyPI, and nothing else is different."""
        if self._settings.bridge_on_pypi or self._settings.wheel_folder:
            return
        try:
            values["WHEEL_FOLDER"] = str(await asyncio.to_thread(bridge_wheel.built))
        except bridge_wheel.WheelError as error:
            self._console.print(f"  the bridge's wheel: {error}", style="yellow", markup=False)

    async def _first_account(self, values: Mapping[str, str]) -> str | None:
        """The password of an account that was made; None where none was needed."""
        return await asyncio.to_thread(first_account, values) if self._settings.local_accounts else None

    def _public_url(self) -> str | None:
        """None where BASE_DOMAIN says what the addresses are."""
        given = self._environment.get("PUBLIC_URL")
        if not given and self._environment.get("BASE_DOMAIN"):
            return None
        return given or f"http://localhost:{self.port}"

    def _front_proxies(self) -> str:
        """Those that are set; else what on this machine stands between this run and its public address."""
        behind_another = urlsplit(self._settings.issuer).port != self.port
        return ",".join(self._settings.front_proxies) or (FROM_THIS_MACHINE if behind_another else "")

    async def _through_tunnel(self) -> str:
        """Start the tunnel; the address that it tells."""
        assert self._tunnel is not None
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        way = self._tunnel

        def read(name: str, line: str) -> None:
            address = way.address(line)
            if address is not None and not told.done():
                told.set_result(address)
            self._show(name, line)

        service = tunnel.service(way, self.port, dict(self._environment))
        process = self._processes["tunnel"] = Process(service, self.state.logs / "tunnel.log", read)
        await process.start()
        ended = asyncio.create_task(process.wait())
        both: list[asyncio.Future[Any]] = [told, ended]
        await asyncio.wait(both, timeout=TOLD_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        if not told.done():
            await asyncio.sleep(0.1)  # let its last words arrive
            why = "ended" if ended.done() else f"told no address within {TOLD_WITHIN:.0f} s"
            ended.cancel()
            raise StartError(f"{way.name} {why}:\n" + "\n".join(process.last_lines))
        ended.add_done_callback(self._lost_tunnel)
        self._keepers["tunnel"] = ended
        return told.result()

    def _lost_tunnel(self, ended: asyncio.Task[int]) -> None:
        if not ended.cancelled():
            self._failed = StartError(f"the tunnel ended; {self.state.logs / 'tunnel.log'} says why")

    async def _start(self, service: Service) -> str:
        """Returns how it is once it answers. Raises StartError."""
        began = time.monotonic()
        name = service.name
        process = Process(service, self.state.logs / f"{name}.log", self._show)
        self._processes[name] = process
        try:
            await process.start()
        except OSError as error:
            raise StartError(f"{name} could not be started: {error.strerror}") from error
        while time.monotonic() - began < READY_WITHIN:
            answer = await asyncio.to_thread(self._health, service)
            if answer is not None:
                self._console.print(f"  {name:<16} {answer}, {time.monotonic() - began:.1f} s", style="dim")
                self._keepers[name] = asyncio.create_task(self._keep_alive(process))
                return answer
            if not process.running:
                await asyncio.sleep(0.1)  # let its last words arrive
                raise StartError(f"{name} ended at start:\n" + "\n".join(process.last_lines))
            await asyncio.sleep(0.05)
        raise StartError(
            f"{name} did not answer within {READY_WITHIN:.0f} s:\n" + "\n".join(process.last_lines)
        )

    async def _start_own(self, service: Service) -> str:
        """The same; one of the person's own that cannot start keeps nobody else from starting."""
        try:
            return await self._start(service)
        except StartError as error:
            await self._end(service.name)
            self._problems[service.name] = str(error)
            self._console.print(f"  {error}", style="yellow", markup=False)
            return "not started"

    def _health(self, service: Service) -> str | None:
        if service.name == "traefik":
            return edge_health(self.port, self._settings.issuer)
        return own_health(service.port)

    async def _until_routed(self, service: Service) -> None:
        """Returns once the edge has seen that a healthy server is, or after a while without that."""
        began = time.monotonic()
        public = service.public_url.removesuffix("/mcp") + "/health"
        while (
            time.monotonic() - began < ROUTED_WITHIN
            and service.name in self._processes
            and await asyncio.to_thread(self._health, service) == "healthy"
        ):
            if await asyncio.to_thread(health, self.port, public) == "healthy":
                return
            await asyncio.sleep(0.1)

    async def _keep_alive(self, process: Process) -> None:
        pause = 1.0
        while True:
            began = time.monotonic()
            status = await process.wait()
            pause = 1.0 if time.monotonic() - began > 60 else min(pause * 2, RESTART_PAUSE_CAP)
            ended = f"ended with status {status}"
            self._show(process.service.name, f"{ended}; starting it again in {pause:.0f} s")
            self._ended[process.service.name] = f"{ended} at {time.strftime('%H:%M:%S')}"
            self._say_state()
            await asyncio.sleep(pause)
            await process.stop()
            with suppress(OSError):  # then it has ended at once, and is tried again
                await process.start()
            self._say_state()

    async def _end(self, name: str) -> None:
        keeper = self._keepers.pop(name, None)
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        process = self._processes.pop(name, None)
        if process is not None:
            await process.stop()

    # the person's own servers

    def _own_files(self) -> list[bytes | None]:
        return [path.read_bytes() if path.is_file() else None for path in self._files]

    def _find_own(self) -> own_servers.OwnServers:
        """Raises ServersFileError."""
        here = [path for path in self._files if path != self.state.kept_servers or path.exists()]
        found = own_servers.find(here, NATIVE)
        self._problems = dict(found.problems)
        for note in (*found.notes, *(f"server {name}: {why}" for name, why in found.problems.items())):
            self._console.print(f"run: {note}", style="yellow", markup=False)
        return found

    async def _follow_own_servers(self) -> None:
        """A file that cannot be read, or was put away, changes nothing but what is said of it."""
        while self._failed is None:
            await asyncio.sleep(LOOK)
            if self._untold:
                self._say_state()
            now = await asyncio.to_thread(self._own_files)
            if now == self._seen:
                continue
            self._seen = now
            try:
                found = self._find_own()
            except own_servers.ServersFileError as error:
                self._problems["file"] = str(error)
                self._show("gateway", str(error))
            else:
                await self._take_over(found)
            self._say_state()
        raise self._failed

    async def _take_over(self, found: own_servers.OwnServers) -> None:
        """Start what is new, end what is gone; the others are not touched."""
        wanted = {server.name: server for server in found.servers}
        own = [name for name, process in self._processes.items() if process.service.own]
        ended = [name for name in own if name not in wanted and name not in found.problems]
        started = [
            self._servers.own(server) for name, server in wanted.items() if name not in self._processes
        ]
        if ended:
            self._route(without=ended)
            await asyncio.gather(*(self._end(name) for name in ended))
        await asyncio.gather(*(self._start_own(service) for service in started))
        if started:
            self._route()
            await asyncio.gather(*(self._until_routed(service) for service in started))
        for name in ended:
            self._show("gateway", f"{name} is gone")
        for service in started:
            self._show("gateway", f"{service.name} is at {service.public_url}")

    def _route(self, without: Sequence[str] = ()) -> None:
        served = [process.service for process in self._processes.values() if process.service.served]
        urls = {service.name: service.url for service in served if service.name not in without}
        routes.write(self.state.rules, urls)

    # telling

    def url(self, name: str) -> str:
        return server_url(self._settings, name)

    def _say_state(self) -> None:
        services = {
            name: ServiceState(
                process.pid,
                process.service.port,
                process.service.public_url,
                process.service.own,
                self._ended.get(name, ""),
            )
            for name, process in self._processes.items()
        }
        running = Running(
            os.getppid(), self.port, self._settings.issuer, self.ready.is_set(), services, self._problems
        )
        try:
            self.state.say(running)
        except OSError:  # a full disk keeps no service from being started again
            self._untold = True
        else:
            self._untold = False

    def _show(self, name: str, line: str) -> None:
        if self._showing_logs and EDGES_QUESTION not in line:
            with suppress(OSError):  # its output goes to a file, and the disk is full
                self._console.print(f"[dim]{name:<14} |[/dim] ", end="")
                self._console.out(line)

    def _print_table(
        self, services: Sequence[Service], states: Sequence[str | None], password: str | None
    ) -> None:
        table = Table(title="MCP OAuth Gateway")
        table.add_column("server")
        table.add_column("URL: paste this into your MCP client", overflow="fold")
        table.add_column("state")
        for service, state in zip(services, states, strict=True):
            if service.served:
                table.add_row(service.name, service.public_url, state)
        self._console.print(table, soft_wrap=False)
        if self._settings.local_accounts:
            self._print_sign_in(password)
        self._console.print(f"Your clients and their access: {self._settings.issuer}/account")
        if self._tunnel is not None and not self._tunnel.lasting:
            self._console.print(
                "The tunnel's address is another each time; clients then have to be connected anew."
            )

    def _print_sign_in(self, password: str | None) -> None:
        if password is not None:
            self._console.print("First sign-in: account [bold]admin[/bold], password ", end="")
            self._console.out(password, style="bold")
            self._console.print("It is stored only as a hash, and shown this once. ", end="")
        else:
            self._console.print("Sign in with the local account [bold]admin[/bold]. ", end="")
        self._console.print("Another password: ./justw auth users password admin")
