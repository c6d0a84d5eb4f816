"""The gateway under docker compose, for tests: built, started as on a server, reached on loopback only."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from gateway import environment
from tests.compose.engine import Engine

ROOT = Path(__file__).resolve().parent.parent.parent
COMPOSE = Path(sys.executable).parent / "docker-compose"
START_WITHIN = 900.0
HEALTHY_WITHIN = 300.0
SHAPES = ("one host", "subdomains")


@dataclass(frozen=True)
class Stack:
    engine: Engine
    shape: str
    """One of SHAPES."""
    project: str
    env_file: Path
    issuer: str
    server_url: str
    """Where a server is, with `{name}` for its name."""
    port: int
    https_port: int
    password: str
    account: str = "admin"

    def server(self, name: str) -> str:
        return self.server_url.format(name=name)

    @property
    def secrets(self) -> dict[str, str]:
        return environment.read_secrets(environment.folder(self.env_file, ROOT))

    def write_secrets(self) -> None:
        """As `up` does it."""
        environment.prepare(self.env_file, self.env_file, environment.folder(self.env_file, ROOT))

    @property
    def environment(self) -> dict[str, str]:
        return {
            **self.engine.environment,
            "COMPOSE_PROJECT_NAME": self.project,
            "ENV_FILE": str(self.env_file),
            "COLUMNS": "200",
        }

    def compose(self, *arguments: str, stdin: str = "", timeout: float = 120) -> str:
        """Standard output of a `docker compose` command that must succeed."""
        done = subprocess.run(
            [COMPOSE, "--env-file", self.env_file, *arguments],
            cwd=ROOT, env=self.environment, input=stdin, capture_output=True, text=True, timeout=timeout,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"docker compose {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def deploy(
        self,
        *arguments: str,
        timeout: float = START_WITHIN,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> subprocess.CompletedProcess[str]:
        """`just up` and its neighbours, against this stack."""
        return subprocess.run(
            [sys.executable, "-m", "gateway.deploy", *arguments],
            cwd=ROOT, env={**self.environment, **variables}, capture_output=True, text=True, timeout=timeout,
            check=False,
        )  # fmt: skip

    def container(self, service: str) -> str:
        return self.compose("ps", "--all", "--quiet", service).strip()

    def inspect(self, service: str, template: str) -> str:
        return self.engine.docker("inspect", "--format", template, self.container(service))

    def python(self, service: str, program: str) -> str:
        """What a Python program prints inside a service's container."""
        return self.compose("exec", "-T", service, "python", "-c", program).strip()

    def kill(self, service: str) -> None:
        """SIGKILL to the container's first process, as the kernel would; returns once it runs anew."""
        template = "{{.State.Pid}}"
        before = int(self.inspect(service, template))
        os.kill(before, signal.SIGKILL)
        deadline = time.monotonic() + HEALTHY_WITHIN
        while int(self.inspect(service, template)) in (0, before):
            assert time.monotonic() < deadline, f"{service} did not come back"
            time.sleep(0.2)

    def wait_healthy(self) -> None:
        """Every service is up, none is still starting."""
        command = ("up", "--detach", "--no-build", "--wait", "--wait-timeout", str(int(HEALTHY_WITHIN)))
        deadline = time.monotonic() + HEALTHY_WITHIN
        while True:
            try:
                self.compose(*command, timeout=HEALTHY_WITHIN + 30)
            except AssertionError as problem:
                # Compose gives up at once on an unhealthy service, be it for the fault that is just over.
                if "is unhealthy" not in str(problem) or time.monotonic() > deadline:
                    raise
                time.sleep(2)
            else:
                return


def build_images(engine: Engine, images: Mapping[str, str], folder: Path, *services: str) -> None:
    """The gateway's own images, of all services or of these, tagged for the tests; layers of an earlier run
    are used again."""
    values = {**images, "IMAGE_TAG": "test", "PUBLIC_URL": "x"}
    path = folder / "build.env"
    _write(path, values)
    done = subprocess.run(
        [COMPOSE, "--env-file", path, "--profile", "*", "--parallel", "1", "build", *services],
        cwd=ROOT, env=engine.environment, capture_output=True, text=True, timeout=START_WITHIN, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]


@contextmanager
def start_compose(
    engine: Engine, images: Mapping[str, str], folder: Path, shape: str, **settings: str
) -> Iterator[Stack]:
    """`just up` with an .env that lacks only its secrets, then an account; all is removed afterwards."""
    with prepare(engine, images, folder, shape, **settings) as stack:
        up = stack.deploy("up", "--no-build")
        assert up.returncode == 0, (up.stdout + up.stderr)[-5000:] + stack.compose("logs", "--tail=30")
        stack.compose(
            "exec", "-T", "auth", "mcp-oauth-server", "users", "add", stack.account, "--password-stdin",
            stdin=stack.password,
        )  # fmt: skip
        yield stack


@contextmanager
def prepare(
    engine: Engine, images: Mapping[str, str], folder: Path, shape: str, **settings: str
) -> Iterator[Stack]:
    """An .env of its own, nothing started yet; whatever is started under it is removed afterwards."""
    port, https_port = free_port(), free_port()
    if shape == "subdomains":
        address = {"BASE_DOMAIN": f"gw.localhost:{port}"}
        issuer, server_url = f"http://auth.gw.localhost:{port}", f"http://{{name}}.gw.localhost:{port}/mcp"
    else:
        address = {"PUBLIC_URL": f"http://localhost:{port}"}
        issuer, server_url = f"http://localhost:{port}", f"http://localhost:{port}/{{name}}/mcp"
    project = f"gwtest-{secrets.token_hex(3)}"
    env_file = folder / f"{project}.env"
    values = {
        **images,
        **address,
        "IMAGE_TAG": "test",
        "LOCAL_ACCOUNTS": "true",
        "REGISTRATIONS_PER_HOUR": "1000000",
        "BIND_ADDRESS": "127.0.0.1",
        "HTTP_PORT": str(port),
        "HTTPS_PORT": str(https_port),
        "DOCKER_SOCKET": engine.socket,
        "SECRETS_FOLDER": str(folder / project),
        "PUBLIC_SCHEME": "https" if settings.get("ACME_EMAIL") else "http",
        **settings,
    }
    _write(env_file, values)
    password = secrets.token_urlsafe(12)
    stack = Stack(engine, shape, project, env_file, issuer, server_url, port, https_port, password)
    try:
        yield stack
    finally:
        stack.write_secrets()
        stack.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "0")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _write(path: Path, values: Mapping[str, str]) -> None:
    environment.save(path, "".join(f"{name}={value}\n" for name, value in values.items()))
