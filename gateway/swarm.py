"""The gateway as a stack of Docker Swarm, made from docker-compose.yml: what Swarm says in other words.

`docker-stack.yml` is that file with its settings still open; `just check` compares it with this. `up --swarm`
has them filled in by Compose, as `up` does, and hands the result to `docker stack deploy`.
"""

from __future__ import annotations

import copy
import hashlib
import re
import sys
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
COMPOSE, STACK = ROOT / "docker-compose.yml", ROOT / "docker-stack.yml"
HEADER = "# Made from docker-compose.yml by gateway/swarm.py: change that, then run ./justw sync.\n"
PORT = 3000
"""Where every server listens."""

Json = dict[str, Any]

_SAID_OTHERWISE = ("build", "depends_on", "mem_limit", "pids_limit", "restart", "security_opt")
"""What `stack deploy` refuses, or (security_opt) passes over: see docs/scale.md for no-new-privileges."""
_ALONE = ("redis", "echo-redis", "traefik")
"""Never two at once: one append-only file, ports of the host."""
_SHARED = "_replica_secret"
_DRAIN = 12
"""Seconds that a replica which is replaced goes on serving. The edge asks for the tasks every second, and
each replica how it is every five."""
_GRACE = 50
"""Seconds until it is killed: the drain, the proxy's half a minute for calls under way, and for the end."""
_PATIENCE = "30s"
"""What a health check may take; those that hang are found by the edge, within some seconds."""
_WORDS = {
    "com.docker.compose.service": "gateway.server",
    "com.docker.compose.project": "com.docker.stack.namespace",
    "--providers.docker.": "--providers.swarm.",
}
"""Traefik's Swarm provider in place of its Docker provider."""


def stack(compose: Json) -> Json:
    """The stack with its settings open, as Compose reads it."""
    services = {name: copy.deepcopy(service) for name, service in compose["services"].items()}
    shared = [name for name, service in services.items() if _keeps_sessions(service)]
    configs: dict[str, str] = {}
    for name, service in services.items():
        _configure(name, service)
        if name in shared:
            service["environment"]["MCP_REPLICAS"] = f"tasks.{name}:{PORT}"
            service["environment"]["MCP_REPLICA_SECRET_FILE"] = f"/run/secrets/{name}{_SHARED}"
            service["secrets"] = [*service.get("secrets", []), f"{name}{_SHARED}"]
        _mount(service, configs)
        _deploy(name, service)
    secrets = {f"{name}{_SHARED}": _secret(f"{name}{_SHARED}") for name in shared}
    return {
        "name": compose["name"],
        "services": services,
        "networks": {
            name: {"driver": "overlay", **(network or {})} for name, network in compose["networks"].items()
        },
        "volumes": compose["volumes"],
        "configs": {name: {"file": file} for name, file in configs.items()},
        "secrets": {**compose["secrets"], **secrets},
    }


def _keeps_sessions(service: Json) -> bool:
    """Whether sessions live in its processes: the proxy's, and the stateful server's in memory."""
    built = str(service.get("build"))
    return "mcp-streamablehttp-proxy/" in built or "server-stateful/" in built


def _secret(name: str) -> Json:
    return {"file": f"${{SECRETS_FOLDER:-./secrets}}/{name}"}


def _configure(name: str, service: Json) -> None:
    if name == "traefik":
        service["command"] = [
            *(_said_to_swarm(option) for option in service["command"]),
            "--providers.swarm.refreshseconds=1",  # it asks again and again, instead of hearing of changes
            "--serverstransport.forwardingtimeouts.dialtimeout=2s",  # where a task was nobody refuses
        ]
        service["ports"] = [
            {"target": target, "published": f"${{{setting}:-{target}}}", "mode": "host"}
            for target, setting in ((80, "HTTP_PORT"), (443, "HTTPS_PORT"))
        ]
    elif name == "engine":
        service["environment"]["SWARM"] = "true"
    elif name == "echo-stateful":
        # A file is one replica's.
        service["environment"]["MCP_ECHO_STATE_URL"] = "${ECHO_STATE_URL:-memory:}"


def _said_to_swarm(option: str) -> str:
    for word, other in _WORDS.items():
        option = option.replace(word, other)
    return option


def _mount(service: Json, configs: dict[str, str]) -> None:
    """Files of this repository become configs, which every machine gets."""
    mounts = service.pop("volumes", [])
    files = [mount.split(":") for mount in mounts if mount.startswith("./")]
    configs |= {_config_name(source): source for source, *_ in files}
    kept: list[Any] = [mount for mount in mounts if not mount.startswith("./")]
    kept += [{"type": "tmpfs", "target": place} for place in service.pop("tmpfs", [])]
    if kept:
        service["volumes"] = kept
    if files:
        service["configs"] = [
            {"source": _config_name(source), "target": target, "mode": 0o444} for source, target, *_ in files
        ]


def _config_name(file: str) -> str:
    return re.sub(r"\W", "_", Path(file).name)


def _deploy(name: str, service: Json) -> None:
    """What Swarm wants to know of a service, in its own place."""
    limits = {"memory": service.get("mem_limit"), "pids": service.get("pids_limit")}
    labels = service.pop("labels", {})
    deploy: Json = {
        "replicas": 1,
        "endpoint_mode": "dnsrr",  # every replica has an address of its own, also in the DNS
        "labels": labels,
        "restart_policy": {"condition": "any", "delay": "1s"},
        "update_config": {
            "order": "stop-first" if name in _ALONE else "start-first",
            "parallelism": 1,
            "failure_action": "rollback",
            "monitor": "10s",
        },
        "resources": {"limits": {key: value for key, value in limits.items() if value is not None}},
        **service.get("deploy", {}),
    }
    if labels.get("traefik.enable"):
        labels["gateway.server"] = name
        labels[f"traefik.http.services.{name}.loadbalancer.server.port"] = str(PORT)
        setting = "ECHO" if name == "echo-stateful" else re.sub(r"\W", "_", name).upper()
        deploy["replicas"] = f"${{{setting}_REPLICAS:-1}}"
        service["environment"]["MCP_DRAIN"] = str(_DRAIN)
        service["stop_grace_period"] = f"{_GRACE}s"
        # What reached no replica goes to the next.
        labels[f"traefik.http.routers.{name}.middlewares"] += ",server-again@file"
    elif name == "auth":
        deploy["replicas"] = "${AUTH_REPLICAS:-1}"  # and auth-2
    if name in (*_ALONE, "engine"):
        deploy["placement"] = {"constraints": ["node.role == manager"]}
    # Swarm replaces what is not healthy: a check that is slow on a busy machine must not count as that.
    service["healthcheck"] = {**service.get("healthcheck", {}), "timeout": _PATIENCE}
    for said in _SAID_OTHERWISE:
        service.pop(said, None)
    service["deploy"] = deploy


def deployed(resolved: Json) -> Json:
    """What `docker stack deploy` takes, from what Compose made of docker-stack.yml and the settings.

    The engine knows no empty secret, so those that are not given are left out with the settings that name
    them. It changes no config of a name that it has, so a name says what is in it.
    """
    given = {name: secret for name, secret in resolved["secrets"].items() if _content(secret).strip()}
    unknown = {f"/run/secrets/{name}" for name in resolved["secrets"] if name not in given}
    for config in resolved["configs"].values():
        config["name"] += f"_{hashlib.sha256(_content(config)).hexdigest()[:12]}"
    return {
        "version": "3.9",
        "services": {name: _plain(service, unknown) for name, service in resolved["services"].items()},
        "networks": {
            name: {key: value for key, value in network.items() if key != "ipam"}
            for name, network in resolved["networks"].items()
        },
        "volumes": {name: {} for name in resolved["volumes"]},
        "configs": resolved["configs"],
        "secrets": given,
    }


def _content(source: Json) -> bytes:
    return Path(source["file"]).read_bytes()


def _plain(service: Json, unknown: set[str]) -> Json:
    plain = {name: value for name, value in service.items() if value is not None and name != "profiles"}
    environment = service.get("environment") or {}
    plain["environment"] = {
        name: value for name, value in environment.items() if value is not None and value not in unknown
    }
    plain["secrets"] = [one for one in service.get("secrets", []) if one["target"] not in unknown]
    plain["ports"] = [{**port, "published": int(port["published"])} for port in service.get("ports", [])]
    plain["configs"] = [{**one, "mode": int(one["mode"], 8)} for one in service.get("configs", [])]
    return plain


def replica_secrets() -> list[str]:
    """Names of the secrets that replicas share, one for each service that needs one."""
    return [name for name in stack(YAML(typ="safe").load(COMPOSE))["secrets"] if name.endswith(_SHARED)]


def text() -> str:
    writer = YAML()
    writer.width = 1000
    writer.representer.ignore_aliases = lambda _: True
    target = StringIO()
    writer.dump(stack(YAML(typ="safe").load(COMPOSE)), target)
    return HEADER + target.getvalue()


def main() -> int:
    wanted = text()
    if sys.argv[1:] == ["sync"]:
        STACK.write_text(wanted)
    elif not STACK.exists() or STACK.read_text() != wanted:
        print("docker-stack.yml is not what docker-compose.yml says; run ./justw sync", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
