"""A Docker engine for the tests: the one that answers, else one of our own that ends with the tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".gateway" / "cache" / "docker"
"""Images and build layers of an engine of our own."""
START_WITHIN = 180.0
STOP_WITHIN = 90.0


class NoEngineError(Exception):
    """No Docker engine can be had; the message says what to install."""


@dataclass(frozen=True)
class Engine:
    host: str
    """As in DOCKER_HOST."""

    @property
    def environment(self) -> dict[str, str]:
        """For `docker` and `docker compose`, with none of this machine's settings of the gateway."""
        kept = ("PATH", "HOME", "LANG", "TMPDIR")
        return {"DOCKER_HOST": self.host, **{name: os.environ[name] for name in kept if name in os.environ}}

    @property
    def socket(self) -> str:
        return (
            self.host.removeprefix("unix://") if self.host.startswith("unix://") else "/var/run/docker.sock"
        )

    def docker(self, *arguments: str, timeout: float = 180, stdin: str = "") -> str:
        done = subprocess.run(
            ["docker", *arguments],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
        return done.stdout.strip()

    def answers(self) -> bool:
        try:
            return bool(self.docker("version", "--format", "{{.Server.Version}}", timeout=10))
        except (AssertionError, subprocess.TimeoutExpired):
            return False

    def has_image(self, name: str) -> bool:
        return bool(self.docker("image", "ls", "--quiet", name))


@contextmanager
def docker_engine(state: Path) -> Iterator[Engine]:
    """`state` keeps images and build layers of an engine of our own from one run to the next."""
    if not shutil.which("docker"):
        raise NoEngineError("docker is not installed: apt-get install docker.io iptables")
    given = Engine(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    if given.answers():
        yield given
        return
    if not shutil.which("dockerd"):
        raise NoEngineError(f"no Docker engine answers at {given.host}, and dockerd is not installed")
    with own_engine(state) as engine:
        yield engine


@contextmanager
def own_engine(state: Path) -> Iterator[Engine]:
    with tempfile.TemporaryDirectory(prefix="gateway-docker-", ignore_cleanup_errors=True) as place:
        engine = Engine(f"unix://{place}/docker.sock")
        with _dockerd(engine, state, Path(place)):
            yield engine


@contextmanager
def _dockerd(engine: Engine, state: Path, place: Path) -> Iterator[None]:
    state.mkdir(parents=True, exist_ok=True)
    command = [
        "setpriv", "--pdeathsig", "TERM", "--",
        "dockerd",
        f"--host={engine.host}",
        f"--data-root={state / 'data'}",
        f"--exec-root={place / 'exec'}",
        f"--pidfile={state / 'dockerd.pid'}",
        "--default-address-pool=base=10.213.0.0/16,size=24",
        "--log-level=warn",
    ]  # fmt: skip
    log = state / "dockerd.log"
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        deadline = time.monotonic() + START_WITHIN
        while not engine.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise NoEngineError(f"dockerd did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.2)
        yield
        engine.docker("image", "prune", "--force", "--filter", "until=72h", timeout=120)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
