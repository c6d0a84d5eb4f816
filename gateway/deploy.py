"""`just up`, `down`, `status`, `backup`, `restore`: the gateway on a server, with docker compose."""

from __future__ import annotations

import getpass
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mcp_oauth_dynamicclient.errors import SettingsError
from mcp_oauth_dynamicclient.settings import Settings, load_settings
from rich.console import Console
from rich.table import Table

from . import environment
from .addresses import server_url as server_url

ROOT = Path(__file__).resolve().parent.parent
READY_WITHIN = 900
"""Seconds for every service to be healthy, after the images are built; enough for a small, old machine."""
OUR_IMAGES = "mcp-oauth-gateway/"


class DeployError(Exception):
    """Nothing was started; the message says why in a sentence."""


def main() -> int:
    action, arguments = (sys.argv[1] if len(sys.argv) > 1 else "help"), sys.argv[2:]
    env_file = Path(os.environ.get("ENV_FILE", ROOT / ".env"))
    try:
        match action:
            case "up" if "--swarm" in arguments:
                from . import deploy_swarm

                return deploy_swarm.up(env_file, arguments)
            case "down" if "--swarm" in arguments:
                from . import deploy_swarm

                return deploy_swarm.down(env_file)
            case "up":
                return up(env_file, arguments)
            case "down":
                return compose(env_file, "down", *arguments)
            case "status":
                return status(env_file)
            case "backup":
                return backup(env_file, the_file(arguments))
            case "restore":
                return restore(env_file, the_file(arguments))
    except DeployError as error:
        print(f"{action}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print("say one of: up, down, status, backup FILE, restore FILE", file=sys.stderr)
    return 2


def up(env_file: Path, arguments: list[str]) -> int:
    """Build, start, and wait until every service is healthy. `--no-build` takes images as they are."""
    console = Console(highlight=False, soft_wrap=True)
    settings = prepare(env_file, console)
    wait = ("--wait", "--wait-timeout", str(READY_WITHIN))
    build = () if "--no-build" in arguments else ("--build",)
    failed = compose(env_file, "up", *build, "--detach", "--remove-orphans", *wait, *arguments)
    if failed:
        print("up: not every service is healthy; ./justw logs says why", file=sys.stderr)
        return failed
    console.print(table(env_file, settings), soft_wrap=False)
    if settings.local_accounts:
        console.print("Add a local account: docker compose exec auth mcp-oauth-server users add NAME")
    if settings.github_client_id:
        console.print(f"The GitHub app's callback URL: {settings.issuer}/callback")
        if not settings.allowed_github_users and not settings.allowed_github_orgs:
            console.print("ALLOWED_GITHUB_USERS is empty: GitHub sign-in admits nobody.", style="yellow")
    return 0


def known_settings(env_file: Path) -> Settings:
    """Raises DeployError."""
    folder = environment.folder(env_file, ROOT)
    settings = check({**environment.read(env_file), **environment.read_secrets(folder)})
    os.environ["PUBLIC_SCHEME"] = settings.scheme
    require_engine()
    return settings


def status(env_file: Path) -> int:
    settings = known_settings(env_file)
    Console(highlight=False).print(table(env_file, settings))
    return 0


def backup(env_file: Path, file: Path) -> int:
    """What the authorization server must not lose, encrypted, from the running gateway into a new file."""
    require_engine()
    if file.exists():
        raise DeployError(f"{file} exists; name a new file")
    passphrase = asked_passphrase(confirm=True)
    program = ("mcp-oauth-server", "backup", "--passphrase-stdin", "-")
    content = compose_input(env_file, passphrase, "exec", "-T", "auth", *program)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
        target.write(content)
    secret = environment.folder(env_file, ROOT) / "gateway_secret"
    print(
        f"Wrote {file} ({len(content)} bytes). Keep {secret} as well: the keys in it are sealed under that."
    )
    return 0


def restore(env_file: Path, file: Path) -> int:
    """Read a backup into the store while nobody can reach the gateway, and start it."""
    if not file.is_file():
        raise DeployError(f"{file} is not a file")
    content = file.read_bytes()
    console = Console(highlight=False, soft_wrap=True)
    prepare(env_file, console)
    passphrase = asked_passphrase(confirm=False)
    compose_output(env_file, "stop", "traefik")
    compose_output(env_file, "build", "auth")
    compose_output(env_file, "up", "--detach", "--wait", "redis")
    program = ("restore", "--passphrase-stdin", "-")
    run = ("run", "--rm", "-T", "--no-deps", "auth", *program)
    said = compose_input(env_file, passphrase + b"\n" + content, *run)
    console.print(said.decode().strip())
    return up(env_file, [])


def the_file(arguments: list[str]) -> Path:
    if len(arguments) != 1:
        raise DeployError("name one file")
    return Path(arguments[0]).absolute()


def asked_passphrase(*, confirm: bool) -> bytes:
    """BACKUP_PASSPHRASE, or what is typed."""
    if given := os.environ.get("BACKUP_PASSPHRASE"):
        return given.encode()
    typed = getpass.getpass("Passphrase: ")
    if confirm and getpass.getpass("Once more: ") != typed:
        raise DeployError("the two are not the same")
    return typed.encode()


def prepare(env_file: Path, console: Console) -> Settings:
    """Write what is missing, and check what is there. Raises DeployError."""
    folder = environment.folder(env_file, ROOT)
    changes = environment.prepare(env_file, ROOT / ".env.example", folder)
    for name in changes.made:
        console.print(f"Wrote a new {name} to {folder / name.lower()}.")
    for name in changes.moved:
        console.print(f"Moved {name} from {env_file} to {folder / name.lower()}.")
    settings = check({**environment.read(env_file), **environment.read_secrets(folder)})
    os.environ["PUBLIC_SCHEME"] = settings.scheme
    require_engine()
    check_addresses(settings, json.loads(compose_output(env_file, "config", "--format", "json")))
    return settings


def check_addresses(settings: Settings, configuration: Mapping[str, Any]) -> None:
    """Each server of ours states the address that it has. Raises DeployError."""
    for name, service in configuration["services"].items():
        ours = str(service.get("image", "")).startswith(OUR_IMAGES)
        stated = (service.get("environment") or {}).get("MCP_PUBLIC_URL")
        if ours and exposed(service) and stated != server_url(settings, name):
            raise DeployError(
                f"service {name}: MCP_PUBLIC_URL must be {server_url(settings, name)}, not {stated!r}"
            )


def exposed(service: Mapping[str, Any]) -> bool:
    return bool((service.get("labels") or {}).get("traefik.enable") == "true")


def check(values: Mapping[str, str]) -> Settings:
    """The authorization server's own rules, and what they cannot know. Raises DeployError."""
    store = "redis://redis:6379/0"
    known = {name: values[name.upper()] for name in Settings.model_fields if values.get(name.upper())}
    try:
        settings = load_settings(**{**known, "store_url": store})
    except SettingsError as error:
        raise DeployError(str(error)) from error
    host = urlsplit(settings.issuer).hostname or ""
    if not re.fullmatch(r"[A-Za-z0-9_-]{16,}", values.get("REDIS_PASSWORD", "")):
        raise DeployError('REDIS_PASSWORD must be at least 16 letters, digits, "-" or "_"')
    if values.get("ACME_EMAIL"):
        if not re.fullmatch(r"[^@\s]+@[^@\s]+", values["ACME_EMAIL"]):
            raise DeployError("ACME_EMAIL must be an e-mail address, or empty for plain http")
        if not settings.issuer.startswith("https://"):
            raise DeployError(f"ACME_EMAIL asks for https, but the address is {settings.issuer}; change one")
        if re.fullmatch(r"[\d.]+|.*:.*|localhost", host):
            raise DeployError(f"ACME_EMAIL needs a public domain name; Let's Encrypt does not certify {host}")
    for name, default in (("HTTP_PORT", "80"), ("HTTPS_PORT", "443")):
        port = values.get(name) or default
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise DeployError(f"{name} must be a number from 1 to 65535, not {port!r}")
    return settings


def table(env_file: Path, settings: Settings) -> Table:
    """Every exposed service, its public URL and how it is."""
    states = {}
    listing = compose_output(env_file, "ps", "--all", "--format", "json")
    for line in listing.splitlines():
        service = json.loads(line)
        states[service["Service"]] = service["Health"] or service["State"]
    configuration = json.loads(compose_output(env_file, "config", "--format", "json"))
    rows = Table(title="MCP OAuth Gateway")
    for heading in ("service", "URL: paste a server's into your MCP client", "state"):
        rows.add_column(heading, overflow="fold")
    rows.add_row("auth", settings.issuer, states.get("auth", "not running"))
    for name, service in sorted(configuration["services"].items()):
        if exposed(service):
            rows.add_row(name, server_url(settings, name), states.get(name, "not running"))
    return rows


def require_engine() -> None:
    try:
        found = subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise DeployError("docker is not installed; see https://docs.docker.com/engine/install/") from error
    except subprocess.TimeoutExpired as error:
        raise DeployError("the Docker engine does not answer") from error
    if found.returncode:
        raise DeployError(f"the Docker engine does not answer: {found.stderr.strip().splitlines()[-1]}")


def compose(env_file: Path, *arguments: str) -> int:
    return subprocess.run([*command(env_file), *arguments], cwd=ROOT, check=False).returncode


def compose_output(env_file: Path, *arguments: str) -> str:
    done = subprocess.run(
        [*command(env_file), *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise DeployError(f"docker compose {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def compose_input(env_file: Path, content: bytes, *arguments: str) -> bytes:
    """Standard output of a command that reads `content`."""
    done = subprocess.run(
        [*command(env_file), *arguments], cwd=ROOT, input=content, capture_output=True, check=False
    )
    if done.returncode:
        raise DeployError(done.stderr.decode(errors="replace").strip().splitlines()[-1])
    return done.stdout


def docker(*arguments: str, within: float = 60) -> str:
    """Standard output of a command of the engine's own. Raises DeployError."""
    done = docker_result(*arguments, within=within)
    if done.returncode:
        raise DeployError(f"docker {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def docker_result(*arguments: str, within: float) -> subprocess.CompletedProcess[str]:
    """Raises DeployError when it does not end within some seconds."""
    try:
        return subprocess.run(
            ["docker", *arguments], capture_output=True, text=True, timeout=within, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DeployError(f"docker {arguments[0]} did not end within {within:.0f} s") from error


def command(env_file: Path) -> list[str]:
    """The engine's own Compose when it has one, else the one in this workspace."""
    if not env_file.exists():
        raise DeployError(f"{env_file} does not exist; run ./justw up, or copy .env.example")
    plugin = ["docker", "compose"]
    try:
        has_plugin = subprocess.run([*plugin, "version"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        has_plugin = False
    program = plugin if has_plugin else [compose_of_this_workspace()]
    # Without --file Compose also reads docker-compose.override.yml, or what COMPOSE_FILE names.
    return [*program, "--project-directory", str(ROOT), "--env-file", str(env_file)]


def compose_of_this_workspace() -> str:
    """Installed when an engine first turns out to have no Compose of its own. Raises DeployError."""
    program = Path(sys.executable).parent / "docker-compose"
    if not program.exists():
        lock = ROOT / "gateway" / "compose.lock"
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--require-hashes",
            "--requirement",
            str(lock),
        ]
        if subprocess.run(pip, check=False).returncode:
            raise DeployError("docker has no compose; see https://docs.docker.com/compose/install/")
    return str(program)


if __name__ == "__main__":
    sys.exit(main())
