"""`just run [FILE ...] [-- COMMAND ...]`: the whole gateway on this machine, without Docker.

Servers of your own get an address beside the built-in ones: those of files as MCP clients write them, the one
whose command is given after --, and those that `just add` keeps.

State lives in `.gateway/` (`GATEWAY_STATE` names another folder): the secret, the authorization server's
database, and a log file for each service. A second start finds keys, clients and tokens again.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from mcp_oauth_dynamicclient.errors import SettingsError

from . import deploy, local_settings, own_servers, tunnel
from .local_gateway import LocalGateway
from .process import StartError
from .services import BIN, NATIVE
from .state import ROOT, State
from .supervisor import AGAIN, supervise

PROBLEMS = (StartError, own_servers.ServersFileError, SettingsError, tunnel.TunnelError)
DETACHED = "GATEWAY_DETACHED"
"""Set in the environment of a run that leaves its terminal once it is ready."""
READY = "Ready after"


@dataclass(frozen=True)
class Options:
    port: int
    files: tuple[Path, ...] = ()
    through: tunnel.Tunnel | None = None


def main() -> int:
    state = State.of(os.environ)
    arguments = sys.argv[1:]
    if arguments[:1] == ["--auth"]:
        return told(lambda: auth_command(state, arguments[1:]))
    before, separator, command = split(arguments)
    if separator and not command:
        own_servers.complain("the command is missing after --")
        return 2
    try:
        return int(run_command.main(before, "run", standalone_mode=False, obj=(state, command)) or 0)
    except click.UsageError as error:
        own_servers.complain(f"{error.format_message()} See ./justw run --help")
        return 2


def split(arguments: Sequence[str]) -> tuple[list[str], bool, list[str]]:
    """What is before and after the first --."""
    words = list(arguments)
    if "--" not in words:
        return words, False, []
    at = words.index("--")
    return words[:at], True, words[at + 1 :]


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]}, epilog="PORT=9000 takes another port."
)
@click.option(
    "--detach", is_flag=True, help="Return once it is ready; `status`, `logs` and `stop` are for then."
)
@click.option("--tunnel", "way", type=click.Choice(list(tunnel.TUNNELS)), help="Get a public https address.")
@click.option("--name", help="What the server after -- is called; else by its command.")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]... [-- COMMAND...]")
@click.pass_obj
def run_command(
    given: tuple[State, list[str]], detach: bool, way: str | None, name: str | None, files: tuple[Path, ...]
) -> int:
    """Start the whole gateway on this machine, with servers of your own: from FILEs as any MCP client writes
    them, and the one that COMMAND starts."""
    state, command = given
    if detach:
        return told(start_detached)

    def start() -> int:
        options = prepare(state, os.environ, files, command, name, way)
        try:
            return supervise(lambda end: work(state, options, end), outlives_starter=DETACHED in os.environ)
        finally:
            state.unlock()

    status = told(start)
    if status == AGAIN:
        if DETACHED in os.environ:  # whoever started it has stopped reading
            write_to_the_log(state)
        os.execv(sys.executable, [sys.executable, "-m", "gateway.run", *sys.argv[1:]])  # noqa: S606
    return status


def told(action: Callable[[], int]) -> int:
    """What `action` returns as a status; a problem is one sentence on stderr, and 2."""
    try:
        return action()
    except PROBLEMS as error:
        own_servers.complain(str(error))
        return 2
    except KeyboardInterrupt:
        return 130


def prepare(
    state: State,
    environment: Mapping[str, str],
    files: Sequence[Path],
    command: Sequence[str],
    name: str | None,
    way: str | None,
) -> Options:
    """Everything that can be seen to be wrong before something starts. Raises one of PROBLEMS."""
    port = chosen_port(environment.get("PORT", "8080"))
    for decided in local_settings.DECIDED:
        if environment.get(decided):
            own_servers.complain(f"{decided} is left aside: a local run has an edge of its own")
    through = tunnel.TUNNELS[way] if way else None
    if through is not None:
        tunnel.service(through, port, dict(environment))
        if environment.get("PUBLIC_URL") or environment.get("BASE_DOMAIN"):
            raise StartError("--tunnel brings an address of its own: unset PUBLIC_URL and BASE_DOMAIN")
    state.make()
    if not state.lock():
        raise StartError(already(state))
    address = "https://tunnel.example" if through else environment.get("PUBLIC_URL")
    if not address and not environment.get("BASE_DOMAIN"):
        address = f"http://localhost:{port}"
    local_settings.checked(local_settings.of_auth(environment, address or None, state.folder, state.secret()))
    chosen = [caller(environment) / path for path in files]
    state.these_servers.unlink(missing_ok=True)
    if command:
        chosen.append(state.these_servers)
        keep_command(state, environment, command, name)
    elif name:
        raise StartError("--name is for a command after --")
    kept = [state.kept_servers] if state.kept_servers.exists() else []
    own_servers.find([*chosen, *kept], NATIVE)
    refuse_taken_port(port)
    return Options(port, tuple(chosen), through)


def already(state: State) -> str:
    running = state.running()
    where = f" (process {running.pid}, {running.url})" if running else ""
    return f"the gateway of this folder runs already{where}; ./justw stop ends it"


def caller(environment: Mapping[str, str]) -> Path:
    """The folder in which the person typed the command."""
    return Path(environment.get("GATEWAY_CALLER") or Path.cwd())


def keep_command(
    state: State, environment: Mapping[str, str], command: Sequence[str], name: str | None
) -> None:
    folder = caller(environment)
    if name is not None:
        own_servers.refuse_name(name, NATIVE)
    refuse_missing(command[0], folder, environment)
    named = name or own_servers.name_of(command, (*NATIVE, *own_servers.kept(state.kept_servers)))
    entry = {"command": command[0], "args": list(command[1:]), "cwd": str(folder)}
    own_servers.keep(state.these_servers, {named: entry})


def refuse_missing(program: str, folder: Path, environment: Mapping[str, str]) -> None:
    found = folder / program if "/" in program else shutil.which(program, path=environment.get("PATH"))
    if found is None or not os.access(found, os.X_OK):
        raise StartError(f"{program} is not installed, or not executable")


def chosen_port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise StartError(f"PORT must be a number from 1 to 65535, not {text!r}")
    return int(text)


def refuse_taken_port(port: int) -> None:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except PermissionError as error:
        raise StartError(f"port {port} needs more rights than you have; choose another: PORT=8080") from error
    except OSError as error:
        raise StartError(
            f"port {port} is taken; stop what listens there, or choose another: PORT={port + 1} ./justw run"
        ) from error


def work(state: State, options: Options, end: int) -> int:
    """The gateway, until a signal, or the end of the pipe `end` because its supervisor is gone."""
    return told(lambda: asyncio.run(until_stopped(state, options, end)))


async def until_stopped(state: State, options: Options, end: int) -> int:
    stop = asyncio.Event()
    again = False

    def start_again() -> None:
        nonlocal again
        again = True
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, start_again)

    def supervisor_is_gone() -> None:
        loop.remove_reader(end)
        stop.set()

    loop.add_reader(end, supervisor_is_gone)
    gateway = LocalGateway(state, os.environ, port=options.port, files=options.files, through=options.through)
    running = asyncio.create_task(gateway.run())
    waiting = [asyncio.create_task(stop.wait()), running]
    if DETACHED in os.environ:
        waiting.append(asyncio.create_task(leave_the_terminal(gateway)))
        waiting[-1].add_done_callback(waiting.remove)
    await asyncio.wait([waiting[0], running], return_when=asyncio.FIRST_COMPLETED)
    running.cancel()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    if not running.cancelled() and (problem := running.exception()) is not None:
        raise problem
    return AGAIN if again else 0


async def leave_the_terminal(gateway: LocalGateway) -> None:
    await gateway.ready.wait()
    write_to_the_log(gateway.state)


def write_to_the_log(state: State) -> None:
    sys.stdout.flush()
    log = os.open(state.logs / "gateway.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.close(log)


def start_detached() -> int:
    """Returns once it is ready, or has failed; until then what it says is shown here."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.run", *arguments_without_detach()],
        cwd=ROOT,
        env={**os.environ, DETACHED: "1", "COLUMNS": str(shutil.get_terminal_size().columns)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith(READY):
                print(line.split(" Ctrl-C")[0], "./justw status, logs and stop are for now.")
                return 0
            print(line, end="", flush=True)
    except BaseException:
        process.terminate()
        raise
    return process.wait()


def arguments_without_detach() -> list[str]:
    before, separator, command = split(sys.argv[1:])
    return [argument for argument in before if argument != "--detach"] + (
        ["--", *command] if separator else []
    )


def auth_command(state: State, arguments: list[str]) -> int:
    """Manage the authorization server of the local run, or of what `up` started, where that is set up and no
    local run is under way."""
    env_file = Path(os.environ.get("ENV_FILE", ROOT / ".env"))
    if env_file.exists() and not state.locked():
        terminal = () if sys.stdin.isatty() and sys.stdout.isatty() else ("-T",)
        return deploy.compose(env_file, "exec", *terminal, "auth", "mcp-oauth-server", *arguments)
    port = chosen_port(os.environ.get("PORT", "8080"))
    running = state.running()
    address = running.url if running else os.environ.get("PUBLIC_URL") or f"http://localhost:{port}"
    if os.environ.get("BASE_DOMAIN") and not os.environ.get("PUBLIC_URL"):
        address = ""
    state.make()
    settings = local_settings.of_auth(os.environ, address or None, state.folder, state.secret())
    environment = {**local_settings.machine(os.environ), **settings}
    return subprocess.run([BIN / "mcp-oauth-server", *arguments], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
