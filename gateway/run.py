"""`just run [mcp.json ...]`: the whole gateway on this machine, without Docker.

Servers of your own, in Claude Desktop's `mcpServers` form, get an address beside the built-in ones.

State lives in `.gateway/` (`GATEWAY_STATE` names another folder): the secret, the authorization server's
database, and a log file for each service. A second start finds keys, clients and tokens again.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mcp_oauth_dynamicclient.errors import SettingsError
from mcp_oauth_dynamicclient.settings import load_settings
from mcp_streamablehttp_proxy.settings import Server
from rich.console import Console
from rich.table import Table

from .process import Process
from .servers_file import ServersFileError, own_servers
from .services import BIN, NATIVE, PASSED_ON, Service, auth_settings, edge, local_services

READY_WITHIN = 60.0
"""Seconds a service has to answer its health check."""
RESTART_PAUSE_CAP = 30.0


class StartError(Exception):
    """The gateway cannot start; the message says why in a sentence."""


def main() -> int:
    state = Path(
        os.environ.get("GATEWAY_STATE", Path(__file__).resolve().parent.parent / ".gateway")
    ).resolve()
    try:
        port = chosen_port(os.environ.get("PORT", "8080"))
        public_url = os.environ.get("PUBLIC_URL") or f"http://localhost:{port}"
        (state / "logs").mkdir(parents=True, exist_ok=True)
        settings = auth_settings(public_url, state, stored_secret(state / "secret"), os.environ)
        if sys.argv[1:2] == ["--auth"]:
            return auth_command(sys.argv[2:], settings)
        # Checked here with the server's own rules, so that nothing starts with settings it will refuse.
        load_settings(base_domain=None, **{name.lower(): value for name, value in settings.items()})
        own = [server for path in sys.argv[1:] for server in own_servers(Path(path), NATIVE)]
        refuse_taken_port(port)
        return asyncio.run(LocalGateway(port, public_url, state, settings, own).run())
    except (StartError, ServersFileError, SettingsError) as error:
        print(f"run: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def chosen_port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise StartError(f"PORT must be a number from 1 to 65535, not {text!r}")
    return int(text)


def refuse_taken_port(port: int) -> None:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except PermissionError:
        raise StartError(f"port {port} needs more rights than you have; choose another: PORT=8080") from None
    except OSError:
        raise StartError(
            f"port {port} is taken; stop what listens there, or choose another: PORT={port + 1} ./justw run"
        ) from None


def stored_secret(path: Path) -> str:
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    return path.read_text()


def auth_command(arguments: list[str], settings: dict[str, str]) -> int:
    return subprocess.run([BIN / "mcp-oauth-server", *arguments], env=auth_environment(settings)).returncode


def auth_environment(settings: dict[str, str]) -> dict[str, str]:
    return {**{name: os.environ[name] for name in PASSED_ON if name in os.environ}, **settings}


class LocalGateway:
    def __init__(
        self, port: int, public_url: str, state: Path, settings: dict[str, str], own: Sequence[Server]
    ) -> None:
        self.port = port
        self.public_url = public_url
        self.state = state
        self.settings = settings
        self.own = own
        self.console = Console(highlight=False)
        self.processes: list[Process] = []
        self.showing_logs = False

    async def run(self) -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        stopped = asyncio.create_task(stop.wait())
        work = asyncio.create_task(self._start_and_watch())
        try:
            await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            return 0
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            self.showing_logs = False
            self.console.print("Stopping ...")
            await asyncio.gather(*(process.stop() for process in self.processes))
            stopped.cancel()

    async def _start_and_watch(self) -> None:
        began = time.monotonic()
        services = local_services(self.settings, self.own)
        services.append(edge(services, self.port, self.public_url))
        self.processes = [
            Process(service, self.state / "logs" / f"{service.name}.log", self._show) for service in services
        ]
        password, *states = await asyncio.gather(
            asyncio.to_thread(first_account, self.settings),
            *(self._start(process) for process in self.processes),
        )
        self._print_table(services, states, password)
        self.console.print(f"Ready after {time.monotonic() - began:.1f} s. Ctrl-C stops everything.\n")
        self.showing_logs = True
        await asyncio.gather(*(self._keep_alive(process) for process in self.processes))

    async def _start(self, process: Process) -> str:
        began = time.monotonic()
        name = process.service.name
        try:
            await process.start()
        except OSError as error:
            raise StartError(f"{name} could not be started: {error.strerror}") from None
        while time.monotonic() - began < READY_WITHIN:
            answer = await asyncio.to_thread(health, process.service)
            if answer is not None:
                self.console.print(f"  {name:<16} {answer}, {time.monotonic() - began:.1f} s", style="dim")
                return answer
            if not process.running:
                await asyncio.sleep(0.1)  # let its last words arrive
                raise StartError(f"{name} ended at start:\n" + "\n".join(process.last_lines))
            await asyncio.sleep(0.05)
        raise StartError(
            f"{name} did not answer within {READY_WITHIN:.0f} s:\n" + "\n".join(process.last_lines)
        )

    async def _keep_alive(self, process: Process) -> None:
        pause = 1.0
        while True:
            began = time.monotonic()
            status = await process.wait()
            pause = 1.0 if time.monotonic() - began > 60 else min(pause * 2, RESTART_PAUSE_CAP)
            self._show(
                process.service.name, f"ended with status {status}; starting it again in {pause:.0f} s"
            )
            await asyncio.sleep(pause)
            await process.stop()
            await process.start()

    def _show(self, name: str, line: str) -> None:
        if self.showing_logs:
            self.console.print(f"[dim]{name:<14} |[/dim] ", end="")
            self.console.out(line)

    def _print_table(
        self, services: list[Service], states: Sequence[str | None], password: str | None
    ) -> None:
        table = Table(title="MCP OAuth Gateway")
        table.add_column("server")
        table.add_column("URL: paste this into your MCP client", overflow="fold")
        table.add_column("state")
        for service, state in zip(services, states, strict=True):
            if service.served:
                table.add_row(service.name, f"{self.public_url}/{service.name}/mcp", state)
        self.console.print(table)
        if password is not None:
            self.console.print("First sign-in: account [bold]admin[/bold], password ", end="")
            self.console.out(password, style="bold")
            self.console.print("It is stored only as a hash, and shown this once. ", end="")
        else:
            self.console.print("Sign in with the local account [bold]admin[/bold]. ", end="")
        self.console.print("Another password: ./justw auth users password admin")
        self.console.print(f"Your clients and their access: {self.public_url}/account")


def first_account(settings: dict[str, str]) -> str | None:
    """Make `admin` if there is no account yet; its password, or None when there was one already."""
    environment = auth_environment(settings)
    program = str(BIN / "mcp-oauth-server")
    listed = subprocess.run([program, "users", "list"], env=environment, capture_output=True, text=True)
    if listed.returncode:
        raise StartError(f"the accounts cannot be read: {listed.stderr.strip()}")
    if listed.stdout.strip():
        return None
    password = secrets.token_urlsafe(12)
    added = subprocess.run(
        [program, "users", "add", "admin", "--password-stdin"],
        env=environment,
        input=password,
        capture_output=True,
        text=True,
    )
    if added.returncode:
        raise StartError(f"the account admin could not be made: {added.stderr.strip()}")
    return password


def health(service: Service) -> str | None:
    """`healthy`, the reason why not, or None while nothing answers."""
    path = "/.well-known/oauth-authorization-server" if service.name == "traefik" else "/health"
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=2)
    try:
        connection.request("GET", path, headers={"Host": f"localhost:{service.port}"})
        answer = connection.getresponse()
        if answer.status == 200:
            return "healthy"
        if answer.status == 503 and service.name != "traefik":
            return answer.read(500).decode(errors="replace")
        return None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
