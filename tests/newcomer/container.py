"""An empty Debian in which somebody has Python and a clone of this repository, and nothing else.

The Debian is the one that the compose tests build on (tests/compose/base_images.py), less Redis. It has this
machine's pip configuration and CA bundle, since there is no other way to the registries.
"""

from __future__ import annotations

import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.packages import ROOT
from tests.compose.engine import Engine
from tests.newcomer.terminal import PS1, Terminal

PERSON = "ada"
HOME = Path("/home") / PERSON
CLONE = HOME / "mcp-oauth-gateway"
OWN = Path(__file__).parent


@dataclass(frozen=True)
class Container:
    engine: Engine
    name: str

    def run(self, *command: str, timeout: float = 300) -> str:
        """As root."""
        return self.engine.docker("exec", self.name, *command, timeout=timeout)

    @contextmanager
    def terminal(self, folder: Path = CLONE, user: str = PERSON) -> Iterator[Terminal]:
        home = HOME if user == PERSON else Path("/root")
        path = f"{home}/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        variables = {"PS1": PS1, "HOME": str(home), "USER": user, "PATH": path, "TERM": "xterm"}
        given = [f"--env={name}={value}" for name, value in variables.items()]
        with Terminal(
            ["docker", "--host", self.engine.host, "exec", "--interactive", "--tty", f"--user={user}",
             f"--workdir={folder}", *given, self.name, "bash", "--norc", "--noprofile", "--noediting"]
        ) as terminal:  # fmt: skip
            yield terminal


@contextmanager
def empty_debian(engine: Engine, image: str) -> Iterator[Container]:
    container = Container(engine, f"newcomer-{uuid.uuid4().hex[:8]}")
    engine.docker("run", "--detach", "--init", f"--name={container.name}", image, "sleep", "infinity")
    try:
        container.run("dpkg", "--purge", "redis-server", "redis-tools")
        container.run("useradd", "--create-home", "--shell=/bin/bash", PERSON)
        with tempfile.TemporaryDirectory(prefix="newcomer-") as place:
            clone = Path(place, CLONE.name)
            subprocess.run(["git", "clone", "--quiet", "--depth=1", f"file://{ROOT}", clone], check=True)
            engine.docker("cp", str(clone), f"{container.name}:{HOME}", timeout=120)
        for source, program in {"sign_in.py": "sign-in", "helpers.py": "newcomer"}.items():
            engine.docker("cp", str(OWN / source), f"{container.name}:/usr/local/bin/{program}")
            container.run("chmod", "755", f"/usr/local/bin/{program}")
        container.run("chown", "--recursive", f"{PERSON}:", str(CLONE))
        yield container
    finally:
        engine.docker("rm", "--force", "--volumes", container.name)
