"""`just up --swarm` and `just down --swarm`: the gateway as a stack of the engine's Swarm."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from pathlib import Path

from rich.console import Console

from . import environment, swarm
from .deploy import (
    READY_WITHIN,
    ROOT,
    DeployError,
    compose,
    compose_output,
    exposed,
    prepare,
    server_url,
)

REFRESH = 1.0
STEADY = 5.0
"""Seconds for which all is as it should be before it counts, as with Docker's own commands: an update that
was asked for does not show at once, and what starts may end."""


def up(env_file: Path, arguments: list[str]) -> int:
    """Build, deploy, and wait until every service has its replicas. `--no-build` takes images as they are,
    which Swarm of several machines needs: each pulls them from a registry."""
    console = Console(highlight=False, soft_wrap=True)
    settings = prepare(env_file, console)
    require_swarm()
    folder = environment.folder(env_file, ROOT)
    for name in swarm.replica_secrets():
        if not (folder / name).exists():
            environment.save(folder / name, secrets.token_hex(32), environment.SECRET_MODE)
            console.print(f"Wrote a new {name} to {folder / name}.")
    if "--no-build" not in arguments and (failed := compose(env_file, "build")):
        return failed
    resolved = json.loads(compose_output(env_file, "--file", str(swarm.STACK), "config", "--format", "json"))
    made = swarm.deployed(resolved)
    project = str(resolved["name"])
    # Images that were built here are in no registry.
    options = ("--prune", "--detach=true", "--resolve-image", "never", "--with-registry-auth")
    docker("stack", "deploy", *options, "--compose-file", "-", project, stdin=json.dumps(made))
    missing = wait(project)
    if missing:
        raise DeployError(f"without all replicas: {', '.join(missing)}; docker stack ps {project} says why")
    for name, service in sorted(made["services"].items()):
        if exposed(service["deploy"]):
            console.print(f"{name}: {server_url(settings, name)}, {service['deploy']['replicas']} of it")
    console.print(f"auth: {settings.issuer}")
    return 0


def down(env_file: Path) -> int:
    """Volumes, and so what is kept, stay."""
    resolved = json.loads(compose_output(env_file, "--file", str(swarm.STACK), "config", "--format", "json"))
    docker("stack", "rm", str(resolved["name"]))
    return 0


def wait(project: str) -> list[str]:
    """Wait until every service runs as deployed; the names of those that do not in time, or were rolled
    back."""
    began = steady = time.monotonic()
    while True:
        services = _services(project)
        rolled_back = [name for name, state in services.items() if state.startswith(("rollback", "paused"))]
        unready = [name for name, state in services.items() if state != "ready"]
        now = time.monotonic()
        if unready:
            steady = now
        if rolled_back or now > steady + STEADY or now > began + READY_WITHIN:
            return rolled_back or unready
        time.sleep(REFRESH)


def _services(project: str) -> dict[str, str]:
    """By name: `ready`, `starting`, or the state of an update that goes on or went wrong."""
    label = f"label=com.docker.stack.namespace={project}"
    listed = docker("service", "ls", "--filter", label, "--format", "{{.Name}} {{.Replicas}}")
    running = dict(line.split()[:2] for line in listed.splitlines())
    states = {}
    for service in json.loads(docker("service", "inspect", *running)):
        name = service["Spec"]["Name"]
        update = str((service.get("UpdateStatus") or {}).get("State", "completed"))
        there, _, wanted = running[name].partition("/")
        if update != "completed":
            states[name] = update
        else:
            states[name] = "ready" if there == wanted else "starting"
    return states


def require_swarm() -> None:
    if docker("info", "--format", "{{.Swarm.ControlAvailable}}").strip() != "true":
        raise DeployError("this engine is no manager of a Swarm; see `docker swarm init`")


def docker(*arguments: str, stdin: str = "") -> str:
    done = subprocess.run(["docker", *arguments], input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DeployError(f"docker {' '.join(arguments[:2])}: {done.stderr.strip()}")
    return done.stdout
