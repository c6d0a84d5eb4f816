"""What a container can do to the rest: nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.compose.stack import Stack

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1200)]
SERVERS = ("echo-stateful", "echo-stateless", "fetch", "time")
SERVICES = (*SERVERS, "auth", "auth-2", "redis", "traefik", "engine")
NET_BIND_SERVICE = 1 << 10

CONNECT = """
import concurrent.futures, socket
def attempt(target):
    try:
        socket.create_connection(target, timeout=2).close()
        return "connected"
    except socket.gaierror:
        return "no such name"
    except OSError:
        return "no connection"
with concurrent.futures.ThreadPoolExecutor() as pool:
    print(*pool.map(attempt, {targets!r}), sep="\\n")
"""


def connect(stack: Stack, service: str, *targets: tuple[str, int]) -> list[str]:
    """What becomes of TCP connections from inside a service's container."""
    return stack.python(service, CONNECT.format(targets=targets)).splitlines()


def addresses(stack: Stack, service: str) -> list[str]:
    networks = json.loads(stack.inspect(service, "{{json .NetworkSettings.Networks}}"))
    return [network["IPAddress"] for network in networks.values()]


def processes(stack: Stack, service: str) -> list[Path]:
    """/proc folders of everything that runs in a service's container."""
    listed = stack.engine.docker("top", stack.container(service), "-eo", "pid").splitlines()[1:]
    return [Path("/proc", pid.strip()) for pid in listed]


def still_there(path: Path) -> str | None:
    """What stands in a file of /proc, or None once its process, such as a health check's, has ended."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None


def proc_status(process: Path) -> dict[str, str]:
    lines = (still_there(process / "status") or "").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_reaches_neither_redis_nor_auth_nor_the_engine(stack: Stack, server: str) -> None:
    assert connect(stack, server, ("traefik", 80)) == ["connected"]  # so the attempt itself is sound
    ports = {"redis": 6379, "auth": 8000, "auth-2": 8000, "engine": 2375}
    assert connect(stack, server, *ports.items()) == ["no such name"] * 4
    hidden = [(ip, port) for service, port in ports.items() for ip in addresses(stack, service)]
    assert len(hidden) == 6
    assert connect(stack, server, *hidden) == ["no connection"] * 6


@pytest.mark.parametrize("service", [name for name in SERVICES if name not in ("engine", "traefik")])
def test_nobody_but_the_edge_reaches_what_tells_of_the_engine(stack: Stack, service: str) -> None:
    hidden = [(ip, 2375) for ip in addresses(stack, "engine")]
    if service == "redis":
        network = f"container:{stack.container('redis')}"
        found = stack.engine.docker(
            "run", "--rm", f"--network={network}", "--entrypoint=python3",
            stack.inspect("engine", "{{.Image}}"), "-c", CONNECT.format(targets=hidden),
        ).splitlines()  # fmt: skip
    else:
        found = connect(stack, service, *hidden)
    assert found == ["no connection"]


def test_auth_reaches_redis_which_asks_for_its_password(stack: Stack) -> None:
    program = (
        "import socket; s = socket.create_connection(('redis', 6379), timeout=2)\n"
        "s.sendall(b'KEYS *\\r\\n'); print(s.recv(100).decode())"
    )
    assert stack.python("auth", program).startswith("-NOAUTH")


def test_redis_goes_nowhere_and_is_published_nowhere(stack: Stack) -> None:
    networks = json.loads(stack.inspect("redis", "{{json .NetworkSettings.Networks}}"))
    (name,) = networks
    assert stack.engine.docker("network", "inspect", "--format", "{{.Internal}}", name) == "true"
    for service in SERVICES:
        published = json.loads(stack.inspect(service, "{{json .HostConfig.PortBindings}}"))
        assert sorted(published or {}) == (["443/tcp", "80/tcp"] if service == "traefik" else [])
        for bindings in (published or {}).values():
            assert [binding["HostIp"] for binding in bindings] == ["127.0.0.1"]


@pytest.mark.parametrize("service", SERVICES)
def test_processes_are_unprivileged(stack: Stack, service: str) -> None:
    running = processes(stack, service)
    assert running
    found = [status for process in running if (status := proc_status(process))]
    assert found
    for status in found:
        # The engine's socket is root's, and so are the certificates that Traefik of older versions has kept.
        assert (status["Uid"].split()[0] == "0") == (service in ("traefik", "engine"))
        assert int(status["CapBnd"], 16) == (NET_BIND_SERVICE if service == "traefik" else 0)
        assert status["NoNewPrivs"] == "1"


@pytest.mark.parametrize("service", SERVICES)
def test_containers_are_read_only_and_bounded(stack: Stack, service: str) -> None:
    host = json.loads(stack.inspect(service, "{{json .HostConfig}}"))
    assert host["ReadonlyRootfs"]
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0
    assert not host["Privileged"]
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    mounts = {
        mount["Destination"]: mount["RW"]
        for mount in json.loads(stack.inspect(service, "{{json .Mounts}}"))
        if not mount["Destination"].startswith("/run/secrets/")
    }
    assert mounts == {
        "traefik": {"/etc/traefik/dynamic.yml": False, "/acme": True},
        "engine": {"/var/run/docker.sock": False, "/engine_filter.py": False},
        "redis": {"/data": True},
        "echo-stateful": {"/state": True},
        "auth": {"/audit": True},
        "auth-2": {"/audit": True},
    }.get(service, {})


def test_no_secret_is_on_a_command_line_or_in_what_a_container_was_started_with(stack: Stack) -> None:
    secrets = [value for value in stack.secrets.values() if value]
    assert len(secrets) == 4
    for service in SERVICES:
        inspected = stack.engine.docker("inspect", stack.container(service))
        assert not any(secret in inspected for secret in secrets), service
        for process in processes(stack, service):
            arguments, environment = (still_there(process / name) for name in ("cmdline", "environ"))
            if not arguments or environment is None:
                continue
            assert not any(secret in arguments for secret in secrets), service
            told = [name for name, secret in stack.secrets.items() if secret and secret in environment]
            # The template of Traefik's rules reads nothing but its environment.
            assert told == (["EDGE_SECRET"] if service == "traefik" else []), service


def test_health_checks_start_nothing(stack: Stack) -> None:
    check = json.loads(stack.inspect("time", "{{json .Config.Healthcheck.Test}}"))
    assert check[0] == "CMD"
    before = set(processes(stack, "time"))
    assert before
    for _ in range(3):
        stack.compose("exec", "-T", "time", *check[1:])
    assert set(processes(stack, "time")) <= before
