"""A person's own servers under compose: services of docker-compose.override.yml, which Compose reads too.

What else the file holds stays as it is, comments included.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from .deploy import DeployError
from .environment import FOLDER_MODE, SECRET_MODE, save
from .own_servers import NAME, RESERVED
from .state import ROOT

BASE = ROOT / "docker-compose.yml"
FILE = ROOT / "docker-compose.override.yml"
OWN = "gateway.own"
"""The label of what `add` wrote."""
ADDRESS = "${BASE_DOMAIN:+${PUBLIC_SCHEME:-https}://%s.}${BASE_DOMAIN:-${PUBLIC_URL:-}/%s}/mcp"  # both shapes


def add(name: str, entry: dict[str, Any], folder: Path) -> None:
    """Write a server into the file. Its entry goes into the folder of secrets,
    a file that its container gets: its variables may be some.

    Raises DeployError for a name that is taken, or a file that cannot be read.
    """
    override = read()
    services = override.setdefault("services", {}) or {}
    base = YAML(typ="safe").load(BASE)
    if not NAME.fullmatch(name):
        raise DeployError(f"{name!r} is no name: lower-case letters, digits and hyphens, as in my-server")
    if name in RESERVED or name in base["services"] or name in services:
        raise DeployError(f"the name {name} is taken; choose another")
    services[name] = service(base, name)
    override["services"] = services
    files = override.setdefault("secrets", {}) or {}
    files[secret(name)] = {"file": f"${{SECRETS_FOLDER:-./secrets}}/{secret(name)}"}
    override["secrets"] = files
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    save(folder / secret(name), json.dumps({"mcpServers": {name: entry}}, indent=2) + "\n", SECRET_MODE)
    write(override)


def secret(name: str) -> str:
    return f"server-{name}"


def service(base: dict[str, Any], name: str) -> dict[str, Any]:
    """A service as docker-compose.yml has those of its own that the proxy runs."""
    template = dict(base["x-stdio-server"])
    health = f"traefik.http.services.{name}.loadbalancer.healthcheck"
    return {
        **template,
        "labels": {
            OWN: "true",
            "traefik.enable": "true",
            f"traefik.http.routers.{name}.middlewares": "server@file",
            f"{health}.path": "/health",
            f"{health}.hostname": "127.0.0.1",
            f"{health}.interval": "5s",
        },
        "environment": {**template["environment"], "MCP_PUBLIC_URL": ADDRESS % (name, name)},
        "secrets": [secret(name)],
        "command": ["--config", f"/run/secrets/{secret(name)}", "--only", name],
    }


def refuse_unknown(name: str) -> None:
    """Raises DeployError unless `add` wrote the service."""
    services = read().get("services") or {}
    if OWN not in (services.get(name) or {}).get("labels", {}):
        own = [known for known, service in services.items() if OWN in (service or {}).get("labels", {})]
        raise DeployError(f"no server {name} was added" + (f"; there are: {', '.join(own)}" if own else ""))


def remove(name: str, folder: Path) -> None:
    override = read()
    override["services"].pop(name)
    (override.get("secrets") or {}).pop(secret(name), None)
    (folder / secret(name)).unlink(missing_ok=True)
    for section in ("services", "secrets"):
        if not override.get(section):
            override.pop(section, None)
    if override:
        write(override)
    else:
        FILE.unlink()


def read() -> Any:
    if not FILE.exists():
        return {}
    try:
        return YAML().load(FILE) or {}
    except YAMLError as error:
        raise DeployError(f"{FILE}: {str(error).splitlines()[0]}") from error


def write(override: Any) -> None:
    text = io.StringIO()
    yaml = YAML()
    yaml.width = 4096
    yaml.dump(override, text)
    save(FILE, text.getvalue())
