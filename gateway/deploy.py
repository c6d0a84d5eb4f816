"""`just up`, `down`, `logs`, `status`: the gateway on a server, with docker compose."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from mcp_oauth_dynamicclient.errors import SettingsError
from mcp_oauth_dynamicclient.settings import Settings, load_settings
from rich.console import Console
from rich.table import Table

from . import environment

ROOT = Path(__file__).resolve().parent.parent
READY_WITHIN = 180
"""Seconds for every service to be healthy, after the images are built."""


class DeployError(Exception):
    """Nothing was started; the message says why in a sentence."""


def main() -> int:
    action, arguments = (sys.argv[1] if len(sys.argv) > 1 else "help"), sys.argv[2:]
    env_file = Path(os.environ.get("ENV_FILE", ROOT / ".env"))
    try:
        match action:
            case "up":
                return up(env_file, arguments)
            case "down":
                return compose(env_file, "down", *arguments)
            case "logs":
                return compose(env_file, "logs", "--follow", "--tail=100", *arguments)
            case "status":
                return status(env_file)
    except DeployError as error:
        print(f"{action}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print("say one of: up, down, logs, status", file=sys.stderr)
    return 2


def up(env_file: Path, arguments: list[str]) -> int:
    console = Console(highlight=False)
    for name in environment.write_missing_secrets(env_file, ROOT / ".env.example"):
        console.print(f"Wrote a new {name} to {env_file}.")
    values = environment.read(env_file)
    settings = check(values)
    require_engine()
    wait = ("--wait", "--wait-timeout", str(READY_WITHIN))
    failed = compose(env_file, "up", "--build", "--detach", "--remove-orphans", *wait, *arguments)
    if failed:
        print("up: not every service is healthy; ./justw logs says why", file=sys.stderr)
        return failed
    console.print(table(env_file, settings))
    if settings.local_accounts:
        console.print("Add a local account: docker compose exec auth mcp-oauth-server users add NAME")
    if settings.github_client_id:
        console.print(f"The GitHub app's callback URL: {settings.issuer}/callback")
        if not settings.allowed_github_users and not settings.allowed_github_orgs:
            console.print("ALLOWED_GITHUB_USERS is empty: GitHub sign-in admits nobody.", style="yellow")
    return 0


def status(env_file: Path) -> int:
    settings = check(environment.read(env_file))
    require_engine()
    Console(highlight=False).print(table(env_file, settings))
    return 0


def check(values: Mapping[str, str]) -> Settings:
    """The authorization server's own rules, and what they cannot know. Raises DeployError."""
    store = f"redis://:{values.get('REDIS_PASSWORD', '')}@redis:6379/0"
    known = {name: values[name.upper()] for name in Settings.model_fields if values.get(name.upper())}
    try:
        settings = load_settings(**{**known, "store_url": store})
    except SettingsError as error:
        raise DeployError(str(error)) from None
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
        if service.get("labels", {}).get("traefik.enable") == "true":
            rows.add_row(name, server_url(settings, name), states.get(name, "not running"))
    return rows


def server_url(settings: Settings, name: str) -> str:
    if settings.base_domain:
        return f"{settings.scheme}://{name}.{settings.base_domain}/mcp"
    return f"{settings.public_url}/{name}/mcp"


def require_engine() -> None:
    try:
        found = subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise DeployError("docker is not installed; see https://docs.docker.com/engine/install/") from None
    except subprocess.TimeoutExpired:
        raise DeployError("the Docker engine does not answer") from None
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


def command(env_file: Path) -> list[str]:
    """The engine's own Compose when it has one, else the one in this workspace."""
    if not env_file.exists():
        raise DeployError(f"{env_file} does not exist; run ./justw up, or copy .env.example")
    plugin = ["docker", "compose"]
    try:
        has_plugin = subprocess.run([*plugin, "version"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        has_plugin = False
    program = plugin if has_plugin else [str(Path(sys.executable).parent / "docker-compose")]
    return [*program, "--file", str(ROOT / "docker-compose.yml"), "--env-file", str(env_file)]


if __name__ == "__main__":
    sys.exit(main())
