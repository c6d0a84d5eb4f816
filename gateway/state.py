"""Where a local run keeps what outlasts it, and says how it is: `.gateway/`, or GATEWAY_STATE."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Running:
    """What a local run says of itself, for the commands that are asked beside it."""

    pid: int
    """Of the supervisor: SIGTERM ends the run, and everything with it."""
    port: int
    url: str
    ready: bool = False
    services: Mapping[str, ServiceState] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    """Reason by name, for servers that are not served; by path, for files that cannot be read."""


@dataclass(frozen=True)
class ServiceState:
    pid: int
    port: int
    url: str = ""
    """Of an MCP server: what clients get."""
    own: bool = False
    """Whether it is one of the person's own servers."""
    ended: str = ""
    """How it ended last, and when, if it had to be started again."""


class State:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.rules = folder / "edge"
        self.kept_servers = folder / "servers.json"
        """The person's own servers that `add` made."""
        self.these_servers = folder / "this-run.json"
        """The server that `run -- COMMAND` names, for this run."""
        self.findings = folder / "findings.json"
        """What is wrong now, for the page at /."""
        self.walked = folder / "doctor.json"
        """What the last whole walk of the doctor found."""
        self._running = folder / "running.json"
        self._lock: int | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> State:
        return cls(Path(environment.get("GATEWAY_STATE") or ROOT / ".gateway").resolve())

    def make(self) -> None:
        """Make the folder for its owner alone. In a folder that was there before, the logs are: they say who
        signed in, and whatever servers say."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.logs.mkdir(exist_ok=True)
        self.logs.chmod(0o700)

    def secret(self) -> str:
        """The one that was made at the first start. Readable by its owner only."""
        path = self.folder / "secret"
        if not path.exists():
            write_private(path, secrets.token_hex(32))
        return path.read_text()

    def lock(self) -> bool:
        """Whether this process is the only one of this folder from now on. The kernel ends that with it."""
        self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            self._lock = None
            return False
        return True

    def locked(self) -> bool:
        """Whether a run is under way."""
        if not (self.folder / "lock").exists():
            return False
        probe = State(self.folder)
        if probe.lock():
            probe.unlock()
            return False
        return True

    def unlock(self) -> None:
        self._running.unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def say(self, running: Running) -> None:
        write_private(self._running, json.dumps(asdict(running)))

    def running(self) -> Running | None:
        """What the run that is under way says; None when there is none, or it has said nothing yet."""
        if not self.locked():
            return None
        try:
            said = json.loads(self._running.read_text())
        except (OSError, ValueError):
            return None
        services = {name: ServiceState(**service) for name, service in said.pop("services").items()}
        return Running(**said, services=services)


def write_private(path: Path, text: str) -> None:
    """Replace the file in one step, readable by its owner only."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
