"""`just add`, `remove`, `stop`, `restart`, `status`, `logs`: of the local run, else of what `up` started.

The local run is meant while it runs, and where nothing was ever set up for a server (there is no .env).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from mcp_oauth_dynamicclient.errors import SettingsError
from mcp_streamablehttp_client._common.hop import Verdict
from mcp_streamablehttp_client.terminal import one_line, say
from rich.console import Console
from rich.table import Table

from . import compose_servers, deploy, doctor_compose, doctor_local, environment, own_servers
from .health import edge_health, own_health
from .local_gateway import READY_WITHIN
from .process import StartError
from .run import caller, refuse_missing, split
from .services import NATIVE
from .state import ROOT, Running, State

WITHIN = READY_WITHIN + 15
"""Seconds for a change to be seen: what a service has to start, and to end."""
LINES = 100
"""Of each log, at first."""


class ManageError(Exception):
    """Nothing was changed; the message says why in a sentence."""


PROBLEMS = (ManageError, own_servers.ServersFileError, deploy.DeployError, StartError, SettingsError)


class Place:
    """Which gateway is meant."""

    def __init__(self, state: State, env_file: Path) -> None:
        self.state = state
        self.env_file = env_file
        self.running = state.running()
        self.local = state.locked() or not env_file.exists()


def main() -> int:
    action, arguments = (sys.argv[1] if len(sys.argv) > 1 else "--help"), sys.argv[2:]
    before, separator, command = split(arguments)
    place = Place(State.of(os.environ), Path(os.environ.get("ENV_FILE", ROOT / ".env")))
    try:
        return int(
            commands.main([action, *before], "justw", standalone_mode=False, obj=(place, separator, command))
            or 0
        )
    except click.UsageError as error:
        print(f"{action}: {error.format_message()} See ./justw {action} --help", file=sys.stderr)
    except PROBLEMS as error:
        print(f"{action}: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Change and look at a gateway that runs."""


@commands.command()
@click.argument("name")
@click.argument("url", required=False, metavar="[URL | -- COMMAND...]")
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="A variable for the server.")
@click.option("--header", multiple=True, metavar="NAME:VALUE", help="A header for the server at URL.")
@click.pass_obj
def add(
    given: tuple[Place, bool, list[str]],
    name: str,
    url: str | None,
    env: tuple[str, ...],
    header: tuple[str, ...],
) -> int:
    """Give a server of your own an address: the stdio server that COMMAND starts, or the one at URL."""
    place, separator, command = given
    if bool(command) == (url is not None) or separator != bool(command):
        raise ManageError("say either a URL, or a command after --")
    entry: dict[str, Any]
    if url is not None:
        entry = remote_entry(url, header)
    else:
        entry = {"command": command[0], "args": command[1:]}
        if env:
            entry["env"] = dict(pair(text, "=") for text in env)
    return (add_locally if place.local else add_under_compose)(place, name, entry)


def remote_entry(url: str, headers: tuple[str, ...]) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ManageError(f"{url} is no address; say http:// or https://, or a command after --")
    entry: dict[str, Any] = {"type": "http", "url": url}
    if headers:
        entry["headers"] = dict(pair(text, ":") for text in headers)
    return entry


def pair(text: str, separator: str) -> tuple[str, str]:
    name, found, value = text.partition(separator)
    if not found or not name:
        raise ManageError(f"write NAME{separator}VALUE, not {text!r}")
    return name, value.strip() if separator == ":" else value


def add_locally(place: Place, name: str, entry: dict[str, Any]) -> int:
    others = own_servers.kept(place.state.kept_servers)
    of_this_run = place.running.services if place.running else {}
    own_servers.refuse_name(name, {*NATIVE, *others, *of_this_run})
    if "command" in entry:
        folder = caller(os.environ)
        refuse_missing(entry["command"], folder, os.environ)
        entry["cwd"] = str(folder)
    place.state.make()
    own_servers.keep(place.state.kept_servers, {**others, name: entry})
    try:
        problem = own_servers.find([place.state.kept_servers], NATIVE).problems.get(name)
    except own_servers.ServersFileError as error:
        problem = str(error)
    if problem:
        own_servers.keep(place.state.kept_servers, others)
        raise ManageError(problem)
    if place.running is None:
        print(f"{name} is kept; ./justw run starts it with the others.")
        return 0
    running = seen(place, lambda now: name in now.services or name in now.problems, f"{name} to start")
    if name in running.problems:
        raise ManageError(running.problems[name])
    url = running.services[name].url
    return told(name, url, asyncio.run(doctor_local.try_server(place.state, running, os.environ, name)))


def add_under_compose(place: Place, name: str, entry: dict[str, Any]) -> int:
    settings = deploy.known_settings(place.env_file)
    compose_servers.add(name, entry, environment.folder(place.env_file, ROOT))
    failed = deploy.compose(place.env_file, "up", "--detach", "--no-deps", "--wait", name)
    if failed:
        raise ManageError(f"{name} is in {compose_servers.FILE.name}, and not healthy; ./justw logs {name}")
    url = deploy.server_url(settings, name)
    return told(name, url, asyncio.run(doctor_compose.try_server(place.env_file, name)))


def told(name: str, url: str, verdict: Verdict) -> int:
    """How a call of the new server went. It stays, for somebody to mend what it lacks."""
    say(f"{name}  {url}  {one_line(verdict.what)}")
    if verdict.state != "wrong":
        return 0
    if verdict.said:
        say(f"it says: {one_line(verdict.said)}", err=True)
    say(f"{one_line(verdict.cure)}; ./justw remove {name} takes it away", err=True)
    return 1


@commands.command()
@click.argument("name")
@click.pass_obj
def remove(given: tuple[Place, bool, list[str]], name: str) -> int:
    """End a server of your own, and take its address away."""
    place = given[0]
    if not place.local:
        compose_servers.refuse_unknown(name)
        deploy.compose_output(place.env_file, "rm", "--stop", "--force", "--volumes", name)
        compose_servers.remove(name, environment.folder(place.env_file, ROOT))
    else:
        others = own_servers.kept(place.state.kept_servers)
        if name not in others:
            kept = f"; there are: {', '.join(others)}" if others else ""
            raise ManageError(f"no server {name} was added{kept}")
        del others[name]
        own_servers.keep(place.state.kept_servers, others)
        if place.running is not None:
            seen(place, lambda now: name not in now.services, f"{name} to end")
    print(f"{name} is gone.")
    return 0


@commands.command()
@click.argument("names", nargs=-1)
@click.pass_obj
def stop(given: tuple[Place, bool, list[str]], names: tuple[str, ...]) -> int:
    """End the gateway, and everything that it started."""
    place = given[0]
    if not place.local:
        return deploy.compose(place.env_file, "stop", *names)
    if names:
        raise ManageError("a local run ends as a whole; `remove NAME` ends one server of your own")
    ask_to_end(place, signal.SIGTERM)
    print("Stopped.")
    return 0


@commands.command()
@click.argument("names", nargs=-1)
@click.pass_obj
def restart(given: tuple[Place, bool, list[str]], names: tuple[str, ...]) -> int:
    """End the gateway and start it as it was, or only the services NAMES."""
    place = given[0]
    if not place.local:
        return deploy.compose(place.env_file, "restart", *names)
    running = known_running(place)
    if not names:
        before = {service.pid for service in running.services.values()}
        os.kill(running.pid, signal.SIGUSR1)
        started = seen(
            place,
            lambda now: now.ready and not before & {service.pid for service in now.services.values()},
            "the gateway to start",
        )
        print(f"Started again: {started.url}")
    for name in names:
        service = running.services.get(name)
        if service is None:
            raise ManageError(f"no service {name}; there are: {', '.join(sorted(running.services))}")
        os.kill(service.pid, signal.SIGTERM)
        after = seen(place, lambda now: is_new(now, name, service.pid), f"{name} to start")  # noqa: B023
        print(f"{name}  {after.services[name].url}  {state_of(after, name)}")
    return 0


def is_new(running: Running, name: str, old: int) -> bool:
    service = running.services.get(name)
    return service is not None and service.pid != old and state_of(running, name) != "does not answer"


@commands.command()
@click.pass_obj
def status(given: tuple[Place, bool, list[str]]) -> int:
    """Which services there are, where, and how they are."""
    place = given[0]
    if not place.local:
        return deploy.status(place.env_file)
    running = known_running(place)
    table = Table(title=f"MCP OAuth Gateway, process {running.pid}")
    for heading in ("service", "URL: paste a server's into your MCP client", "state"):
        table.add_column(heading, overflow="fold")
    for name, service in sorted(running.services.items()):
        url = service.url or (running.url if name == "auth" else "")
        table.add_row(name, url, state_of(running, name))
    for name, problem in running.problems.items():
        table.add_row(name, "", problem)
    Console(highlight=False).print(table)
    return 0


@commands.command()
@click.argument("names", nargs=-1)
@click.option("--follow/--no-follow", default=True, help="Go on until Ctrl-C (the default).")
@click.pass_obj
def logs(given: tuple[Place, bool, list[str]], names: tuple[str, ...], follow: bool) -> int:
    """What the services say, all or those NAMED."""
    place = given[0]
    if not place.local:
        options = ("--follow",) if follow else ()
        return deploy.compose(place.env_file, "logs", *options, f"--tail={LINES}", *names)
    files = {path.stem: path for path in sorted(place.state.logs.glob("*.log"))}
    unknown = [name for name in names if name not in files]
    if unknown or not files:
        there = f"; there are: {', '.join(files)}" if files else ""
        raise ManageError(f"no log{f' of {unknown[0]}' if unknown else ''} in {place.state.logs}{there}")
    readers = {name: LogReader(path) for name, path in files.items() if not names or name in names}
    console = Console(highlight=False, soft_wrap=True)
    while True:
        for name, reader in readers.items():
            for line in reader.new_lines():
                console.print(f"[dim]{name:<14} |[/dim] ", end="")
                console.out(line)
        if not follow or not place.state.locked():
            return 0
        time.sleep(0.3)


class LogReader:
    """The last lines of a log, then what is added; a file that took its place is read from its start."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")
        self._inode = os.fstat(self._file.fileno()).st_ino
        self._last: deque[bytes] | None = deque(maxlen=LINES)

    def new_lines(self) -> Iterator[str]:
        lines = deque(self._file, maxlen=LINES if self._last is not None else None)
        self._last = None
        if lines and not lines[-1].endswith(b"\n"):
            self._file.seek(-len(lines.pop()), os.SEEK_CUR)  # the rest of the line comes later
        yield from (line.decode(errors="replace").rstrip() for line in lines)
        if self._path.exists() and self._path.stat().st_ino != self._inode:
            self._file.close()
            self.__init__(self._path)  # type: ignore[misc]  # begins anew


def known_running(place: Place) -> Running:
    if place.running is None:
        raise ManageError("no gateway runs here; ./justw run starts one")
    return place.running


def ask_to_end(place: Place, number: signal.Signals) -> None:
    os.kill(known_running(place).pid, number)
    deadline = time.monotonic() + WITHIN
    while place.state.locked():
        if time.monotonic() > deadline:
            raise ManageError(f"it has not ended within {WITHIN:.0f} s")
        time.sleep(0.1)


def seen(place: Place, condition: Callable[[Running], bool], what: str) -> Running:
    """What the run says, once the condition holds. Raises ManageError."""
    deadline = time.monotonic() + WITHIN
    while time.monotonic() < deadline:
        running = place.state.running()
        if running is not None and condition(running):
            return running
        time.sleep(0.1)
    running = place.state.running()
    if running is None:
        raise ManageError("the gateway ended; ./justw run starts it")
    raise ManageError(running.problems.get("file") or f"waited {WITHIN:.0f} s for {what}; see ./justw logs")


def state_of(running: Running, name: str) -> str:
    service = running.services[name]
    if name == "tunnel":
        return "running"
    if name == "traefik":
        return edge_health(running.port, running.url) or "does not answer"
    return own_health(service.port) or "does not answer"


if __name__ == "__main__":
    sys.exit(main())
