"""Whether each object is what its kind's schema says: which members it has, and what they hold.

Built-in kinds: the schemas of Kubernetes itself, which kubernetes-validate carries (strict: no unknown
member). Traefik's kinds and those of the Gateway API: the models that @kubernetes-models (npm) makes from the
Go types of both projects, whose TypeScript types say which members there are and whose validators say what
they may hold. What a schema cannot say is not checked: rules in CEL, and whether a name that is referred to
exists.
"""

from __future__ import annotations

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

from kubernetes_validate import ValidationError, validate

from .kubernetes import TOOLS, Json
from .node import NODE, installed

SCHEMAS = "1.36"
MODELS = ("@kubernetes-models/traefik", "2.0.0", "@kubernetes-models/gateway-api@2.0.0", "typescript@5.9.3")
KINDS = {
    "traefik.io/v1alpha1": "@kubernetes-models/traefik",
    "gateway.networking.k8s.io/v1": "@kubernetes-models/gateway-api",
}


def faults(found: dict[str, list[Json]]) -> list[str]:
    """A line for each thing that a schema refuses in these objects, by the name of what they are part of; an
    object that several have is told once."""
    wrong = []
    custom: dict[str, Json] = {}
    # Most objects are the same in every rendering, and reading a schema anew for each takes most of the time.
    seen: set[str] = set()
    for name, objects in found.items():
        for one in objects:
            text = json.dumps(one, sort_keys=True)
            if text in seen:
                continue
            seen.add(text)
            title = f"{name}: {one['kind']} {one['metadata'].get('name')}"
            if one["apiVersion"] in KINDS:
                custom[title] = one
                continue
            try:
                validate(one, SCHEMAS, strict=True)
            except ValidationError as error:
                wrong.append(f"{title}: {error.message}")
    return wrong + custom_faults(custom)


def custom_faults(objects: dict[str, Json]) -> list[str]:
    """The same for objects of kinds that are not built in. SystemExit where the check itself fails."""
    models = installed(*MODELS).parent.parent  # node_modules
    folder = TOOLS / "models"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "node_modules"
    if not link.is_symlink() or link.readlink() != models:
        link.unlink(missing_ok=True)
        link.symlink_to(models)
    titles = list(objects)
    lines, program = [], ["const wrong: string[] = [];"]
    for kind, version in sorted({(one["kind"], one["apiVersion"]) for one in objects.values()}):
        lines.append(f'import {{ {kind}, type I{kind} }} from "{KINDS[version]}/{version}/{kind}";')
    for number, title in enumerate(titles):
        kind, text = objects[title]["kind"], json.dumps(_of_the_standard_channel(objects[title]))
        program.append(f"const o{number}: I{kind} = {text};")
        check = f"try {{ new {kind}(o{number}).validate(); }} catch (e) {{ wrong.push(`{number} ${{e}}`); }}"
        program.append(check)
    program.append("console.log(JSON.stringify(wrong));")
    source = folder / "check.mts"
    source.write_text("\n".join(lines + program) + "\n")
    return _types(source, models, titles, len(lines) + 2) + _values(source, titles)


def _types(source: Path, models: Path, titles: list[str], first: int) -> list[str]:
    options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022"]
    compiler = models / "typescript" / "bin" / "tsc"
    done = subprocess.run(
        [NODE, compiler, *options, "--lib", "es2022,dom", source.name],
        cwd=source.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    wrong = []
    for line in done.stdout.splitlines():
        place, _, sentence = line.partition("): ")
        if place.startswith(f"{source.name}("):
            number = (int(place.partition("(")[2].partition(",")[0]) - first) // 2
            title = titles[number] if 0 <= number < len(titles) else "the check itself"
            wrong.append(f"{title}: {sentence}")
    if done.returncode and not wrong:
        raise SystemExit(f"the TypeScript compiler ended with status {done.returncode}: {done.stdout}")
    return wrong


def _values(source: Path, titles: list[str]) -> list[str]:
    done = subprocess.run(
        [NODE, "--no-warnings", source.name],
        cwd=source.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"the models could not be asked: {done.stderr.strip()[-500:]}")
    said = [line.partition(" ") for line in json.loads(done.stdout)]
    return [f"{titles[int(number)]}: {sentence}" for number, _, sentence in said]


def _of_the_standard_channel(one: Json) -> Json:
    """The same object without the word ExternalAuth. The models have the filter itself, but their list of the
    types of filters is the standard channel's, and that one is experimental."""
    said = copy.deepcopy(one)
    rules: list[dict[str, Any]] = said.get("spec", {}).get("rules", [])
    for rule in rules:
        for filtered in rule.get("filters", []):
            if filtered.get("type") == "ExternalAuth" and "externalAuth" in filtered:
                filtered["type"] = "CORS"
    return said
