"""`just pypi-build`, `pypi-test` and `sbom`: each package as its user gets it, from its wheel."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "mcp-oauth-dynamicclient",
    "mcp-streamablehttp-client",
    "mcp-streamablehttp-proxy",
    "mcp-fetch-streamablehttp-server",
    "mcp-echo-streamablehttp-server-stateless",
    "mcp-echo-streamablehttp-server-stateful",
)
ON_ANOTHER = {"mcp-echo-streamablehttp-server-stateful": ("mcp-echo-streamablehttp-server-stateless",)}
"""What a package needs from this checkout because it builds on it."""


def main() -> int:
    action, chosen = (*sys.argv[1:3], "all")[:2]
    if chosen != "all" and chosen not in PACKAGES:
        print(f"no package {chosen!r}; one of: all, {', '.join(PACKAGES)}", file=sys.stderr)
        return 2
    failed = []
    for name in PACKAGES if chosen == "all" else (chosen,):
        print(f"== {name}", flush=True)
        try:
            ACTIONS[action](name)
        except subprocess.CalledProcessError as error:
            print(
                f"{name}: exit status {error.returncode} from {' '.join(map(str, error.cmd))}",
                file=sys.stderr,
            )
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def build(name: str) -> None:
    """sdist and wheel into dist/, checked with twine."""
    target, module = ROOT / "dist", name.replace("-", "_")
    for old in target.glob(f"{module}-*"):
        old.unlink()
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", target, ROOT / name)
    run(sys.executable, "-m", "twine", "check", "--strict", *target.glob(f"{module}-*"))


def test(name: str) -> None:
    """Run a package's own tests in an environment that holds nothing but its wheel and its `test` extra."""
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as place:
        wheels = Path(place, "wheels")
        for needed in (*ON_ANOTHER.get(name, ()), name):
            run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", wheels, ROOT / needed)
        environment = Path(place, "venv")
        venv.create(environment, with_pip=True)
        python = environment / "bin" / "python"
        pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        wheel = next(wheels.glob(f"{name.replace('-', '_')}-*.whl"))
        run(*pip, "--find-links", wheels, f"{wheel}[test]")
        run(python, "-m", "pytest", "-q", "-c", ROOT / "pyproject.toml", ROOT / name / "tests")


def sbom(name: str) -> None:
    """What the package's lock brings at run time and into its image, as CycloneDX, in dist/sbom/NAME.json."""
    target = ROOT / "dist" / "sbom" / f"{name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    project, lock = ROOT / name / "pyproject.toml", ROOT / name / "requirements.lock"
    run(
        sys.executable, "-m", "cyclonedx_py", "requirements", "--output-reproducible", "--short-PURLs",
        "--pyproject", project, "--output-file", target, lock,
    )  # fmt: skip


def run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, cwd=ROOT)


ACTIONS = {"build": build, "test": test, "sbom": sbom}

if __name__ == "__main__":
    sys.exit(main())
