"""The stack for Swarm: the same gateway as docker-compose.yml, in words that `docker stack deploy` takes, and
what Traefik may know of the engine there."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any, ClassVar

import pytest
from ruamel.yaml import YAML

from common.draining import NOTICE
from gateway import deploy_swarm, engine_filter, environment, swarm
from tests.conftest import ROOT

COMPOSE = Path(sys.executable).parent / "docker-compose"
REFUSED = {"build", "depends_on", "mem_limit", "pids_limit", "restart", "security_opt", "profiles", "labels"}
GRACE = 30.0
"""Seconds that the proxy gives calls under way."""
Json = dict[str, Any]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Json:
    """With the defaults, and without the secrets that somebody else makes."""
    folder = tmp_path_factory.mktemp("secrets")
    for name in (*(name.lower() for name in environment.MADE), *swarm.replica_secrets()):
        (folder / name).write_text(name)
    for name in environment.GIVEN:
        (folder / name.lower()).write_text("")
    settings = folder / "env"
    values = {
        "PUBLIC_URL": "http://localhost:8080",
        "SECRETS_FOLDER": str(folder),
        "COMPOSE_PROFILES": "memory",
        "TIME_REPLICAS": "3",
    }
    settings.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    done = subprocess.run(
        [COMPOSE, "--file", swarm.STACK, "--env-file", settings, "config", "--format", "json"],
        cwd=ROOT, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return swarm.deployed(json.loads(done.stdout))


def test_the_file_is_what_docker_compose_yml_says() -> None:
    assert swarm.STACK.read_text() == swarm.text()


def test_it_is_the_same_gateway(deployed: Json) -> None:
    compose = YAML(typ="safe").load(swarm.COMPOSE)["services"]
    wanted = {name for name, one in compose.items() if one.get("profiles", ["memory"]) == ["memory"]}
    assert set(deployed["services"]) == wanted
    for name, service in deployed["services"].items():
        assert service["image"]
        assert set(service["networks"]) == set(compose[name]["networks"])
        assert service.get("cap_drop") == ["ALL"]
        assert service["read_only"]


def test_it_says_nothing_that_the_engine_refuses(deployed: Json) -> None:
    for service in deployed["services"].values():
        assert not REFUSED & set(service)
        assert service["deploy"]["resources"]["limits"]["memory"]
        assert all(type(port["published"]) is int for port in service["ports"])
        assert None not in service["environment"].values()
    # The engine knows no empty secret.
    assert "github_client_secret" not in deployed["secrets"]
    assert "GITHUB_CLIENT_SECRET_FILE" not in deployed["services"]["auth"]["environment"]


def test_replicas_of_a_server_share_a_secret_that_nobody_else_has(deployed: Json) -> None:
    shared = {name: [one["source"] for one in s["secrets"]] for name, s in deployed["services"].items()}
    for name in ("time", "memory", "echo-stateful"):
        secret = f"{name}_replica_secret"
        assert [other for other, secrets in shared.items() if secret in secrets] == [name]
        assert deployed["services"][name]["environment"]["MCP_REPLICAS"] == f"tasks.{name}:3000"
        assert "gateway_secret" not in shared[name]
    assert deployed["services"]["time"]["deploy"]["replicas"] == 3


def test_what_must_never_run_twice_is_stopped_before_the_next_is_started(deployed: Json) -> None:
    orders = {n: s["deploy"]["update_config"]["order"] for n, s in deployed["services"].items()}
    assert {name for name, order in orders.items() if order == "stop-first"} == {"redis", "traefik"}


def test_a_replica_that_is_replaced_serves_on_until_the_edge_has_left_it_out(deployed: Json) -> None:
    for name in ("time", "memory", "echo-stateful", "echo-stateless", "fetch"):
        service = deployed["services"][name]
        drain, grace = service["environment"]["MCP_DRAIN"], service["stop_grace_period"]
        labels = service["deploy"]["labels"]
        interval = labels[f"traefik.http.services.{name}.loadbalancer.healthcheck.interval"]
        assert float(drain) > NOTICE + float(interval.removesuffix("s"))
        assert float(grace.removesuffix("s")) >= float(drain) + GRACE
        assert "server-again@file" in labels[f"traefik.http.routers.{name}.middlewares"]


# what Traefik may know of the engine

OURS, THEIRS, NODE = "a" * 25, "b" * 25, "c" * 25
LABELS = {"com.docker.stack.namespace": "gw", "traefik.enable": "true", "private": "word"}
SPEC = {
    "Name": "gw_time",
    "Labels": LABELS,
    "Mode": {},
    "TaskTemplate": {"ContainerSpec": {"Env": ["S=secret"]}},
}
TASK = {
    "ID": "t",
    "ServiceID": OURS,
    "Slot": 1,
    "Status": {"State": "running"},
    "Spec": {"Env": ["S=secret"]},
}


class Manager(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        kind = self.path.partition("?")[0]
        known = {"/services": [{"ID": OURS, "Spec": SPEC}], "/tasks": [TASK], "/networks": []}
        body = json.dumps(known.get(kind, {})).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[int]:
    """The filter in front of a manager; the port that Traefik would ask."""
    path = str(tmp_path / "engine.sock")
    Manager.asked = []
    with ThreadingUnixStreamServer(path, Manager) as manager:
        threading.Thread(target=manager.serve_forever, daemon=True).start()
        kind = type("Handler", (engine_filter.Handler,), {"engine": engine_filter.Swarm(path, "gw")})
        with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield server.server_address[1]
            server.shutdown()
        manager.shutdown()


def ask(port: int, target: str) -> tuple[int, str]:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    head, _, body = answer.decode().partition("\r\n\r\n")
    return int(head.split()[1]), body


def tasks_of(service: str) -> str:
    return f'/v1.44/tasks?filters={{"service":{{"{service}":true}},"desired-state":{{"running":true}}}}'


def test_traefik_learns_where_the_tasks_of_an_exposed_service_are_and_no_more(edge: int) -> None:
    status, body = ask(edge, "/v1.44/services")
    assert status == 200
    assert json.loads(body)[0]["Spec"]["Name"] == "gw_time"
    assert "secret" not in body
    assert "private" not in body
    status, body = ask(edge, tasks_of(OURS))
    assert status == 200
    assert json.loads(body)[0]["ServiceID"] == OURS
    assert "secret" not in body
    assert ask(edge, f"/v1.44/nodes/{NODE}") == (200, json.dumps({"ID": NODE, "Status": {}}))


@pytest.mark.parametrize(
    "target",
    [
        tasks_of(THEIRS),
        "/v1.44/secrets",
        "/v1.44/configs",
        "/v1.44/swarm",
        f"/v1.44/services/{OURS}",
        "/v1.44/containers/json",
        f"/v1.44/nodes/{NODE}/../../secrets",
    ],
)
def test_everything_else_is_not_for_traefik(edge: int, target: str) -> None:
    assert ask(edge, target)[0] in (403, 404)
    assert not any("secrets" in asked or "configs" in asked or THEIRS in asked for asked in Manager.asked)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?filters=",
        "?filters=[]",
        "?filters=5",
        "?filters={",
        '?filters={"service":5}',
        '?filters={"service":{}}',
        '?filters={"service":["a","b"]}',
        "?filters=" + "[" * 5000,
        "?filters=%FF%00",
    ],
)
def test_filters_that_traefik_never_writes_are_refused_and_nothing_is_asked(edge: int, query: str) -> None:
    status, body = ask(edge, f"/v1.44/tasks{query}")
    assert (status, json.loads(body)["message"]) == (400, "filters must name one service")
    assert Manager.asked == []


@pytest.mark.parametrize(
    ("seen", "missing"),
    [
        # An update that was asked for shows only after a moment, and so does a start that fails.
        (["ready", "updating", "updating", "ready", "starting"], []),
        (["ready", "updating", "rollback_started"], ["g_auth"]),
        (["starting"] * 2000, ["g_auth"]),
    ],
)
def test_up_waits_until_all_is_steady(
    monkeypatch: pytest.MonkeyPatch, seen: list[str], missing: list[str]
) -> None:
    clock = 0.0

    def sleep(seconds: float) -> None:
        nonlocal clock
        clock += seconds

    states = iter(seen)
    monkeypatch.setattr("gateway.deploy_swarm.time.monotonic", lambda: clock)
    monkeypatch.setattr("gateway.deploy_swarm.time.sleep", sleep)
    monkeypatch.setattr(deploy_swarm, "_services", lambda _: {"g_auth": next(states, "ready")})
    assert deploy_swarm.wait("g") == missing
    assert next(states, "") in ("", "starting")
