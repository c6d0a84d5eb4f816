"""What a container can do to the rest: nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.compose.stack import Stack

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1200)]
SERVERS = ("echo-stateful", "echo-stateless", "fetch", "time")
SERVICES = (*SERVERS, "auth", "redis", "traefik")
NET_BIND_SERVICE = 1 << 10

CONNECT = """
import socket
for target in {targets!r}:
    try:
        socket.create_connection(target, timeout=2).close()
        print("connected")
    except socket.gaierror:
        print("no such name")
    except OSError:
        print("no connection")
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


def proc_status(process: Path) -> dict[str, str]:
    lines = (process / "status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_reaches_neither_redis_nor_auth(stack: Stack, server: str) -> None:
    assert connect(stack, server, ("traefik", 80)) == ["connected"]  # so the attempt itself is sound
    assert connect(stack, server, ("redis", 6379), ("auth", 8000)) == ["no such name"] * 2
    hidden = [(ip, 6379) for ip in addresses(stack, "redis")] + [
        (ip, 8000) for ip in addresses(stack, "auth")
    ]
    assert len(hidden) == 3
    assert connect(stack, server, *hidden) == ["no connection"] * 3


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
    for process in running:
        status = proc_status(process)
        # Traefik reads the engine's socket, which is root's; all it may do besides is listen on port 80.
        assert (status["Uid"].split()[0] == "0") == (service == "traefik")
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
        mount["Destination"]: mount["RW"] for mount in json.loads(stack.inspect(service, "{{json .Mounts}}"))
    }
    assert mounts == {
        "traefik": {"/var/run/docker.sock": False, "/etc/traefik/dynamic.yml": False, "/acme": True},
        "redis": {"/data": True},
    }.get(service, {})


def test_no_password_is_on_a_command_line(stack: Stack) -> None:
    secrets = [
        line.partition("=")[2]
        for line in stack.env_file.read_text().splitlines()
        if line.startswith(("GATEWAY_SECRET=", "REDIS_PASSWORD="))
    ]
    assert len(secrets) == 2
    for service in SERVICES:
        for process in processes(stack, service):
            arguments = (process / "cmdline").read_text()
            assert not any(secret in arguments for secret in secrets), service


def test_health_checks_start_nothing(stack: Stack) -> None:
    check = json.loads(stack.inspect("time", "{{json .Config.Healthcheck.Test}}"))
    assert check[0] == "CMD"
    for _ in range(3):
        stack.compose("exec", "-T", "time", *check[1:])
    commands = [(process / "cmdline").read_text().replace("\0", " ") for process in processes(stack, "time")]
    assert any("mcp-streamablehttp-proxy" in command for command in commands)
    assert not any("/servers/bin/" in command for command in commands), commands
