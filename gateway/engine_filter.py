"""What Traefik may know of the Docker engine, and nothing else: this project's exposed containers, or, with
SWARM=true, this stack's exposed services.

Whoever can talk to the engine's socket owns the machine: it creates volumes and containers, and `inspect`
shows what a container was started with. Traefik faces the internet, so it gets this in place of the socket.
Few addresses are answered, to GET and HEAD alone. Nothing that was asked is passed on: each question to the
engine is one of this file's own, and of each answer only the members that Traefik routes by are kept.

Runs by itself with the standard library: python3 engine_filter.py [PORT].
"""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import sys
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SOCKET = "/var/run/docker.sock"
PROJECT, SERVICE, EXPOSED = "com.docker.compose.project", "com.docker.compose.service", "traefik.enable"
PATH = re.compile(
    r"(?:/v1\.[0-9]{1,3})?/(_ping|version|events|containers/json|containers/([0-9a-f]{64})/json)"
)
TOLD = re.compile(r"start|die|health_status.*")
TIMEOUT = 30.0
"""Seconds for an answer of the engine; events may be as far apart as they like."""
FAILED = (OSError, ValueError, LookupError, TypeError, RecursionError, http.client.HTTPException)
"""What comes of an engine that is away, or whose answers are not what they should be."""

STACK = "com.docker.stack.namespace"
SWARM_PATH = re.compile(r"(?:/v1\.[0-9]{1,3})?/(_ping|version|services|tasks|networks|nodes/([a-z0-9]{25}))")


class NotFoundError(Exception):
    """The engine does not know it, or Traefik need not."""


class MalformedError(Exception):
    """The question is none that Traefik asks."""


class Engine:
    def __init__(self, path: str, project: str) -> None:
        self._path = path
        self._labels = [f"{PROJECT}={project}", f"{EXPOSED}=true"]

    def version(self) -> dict[str, Any]:
        return _only(self._json("/version"), "Version", "ApiVersion", "MinAPIVersion", "Os", "Arch")

    def containers(self) -> list[dict[str, Any]]:
        listed = self._json(f"/containers/json?all=1&{self._filters()}")
        return [_only(one, "Id", "Names", "State", "Status") for one in listed]

    def container(self, identity: str) -> dict[str, Any]:
        """Raises NotFoundError also for containers of this machine that Traefik has no business with."""
        found = self._json(f"/containers/{identity}/json")
        labels = found["Config"].get("Labels") or {}
        if not all(f"{name}={labels.get(name)}" in self._labels for name in (PROJECT, EXPOSED)):
            raise NotFoundError
        state = found["State"]
        health = {"Health": _only(state["Health"], "Status")} if state.get("Health") else {}
        networks = found["NetworkSettings"]["Networks"]
        return {
            **_only(found, "Id", "Name", "Created"),
            "State": {**_only(state, "Status", "Running"), **health},
            "Config": {"Labels": {name: value for name, value in labels.items() if _routes(name)}},
            "HostConfig": _only(found["HostConfig"], "NetworkMode"),
            "NetworkSettings": {
                "Ports": found["NetworkSettings"].get("Ports"),
                "Networks": {
                    name: _only(network, "NetworkID", "IPAddress", "GlobalIPv6Address")
                    for name, network in networks.items()
                },
            },
        }

    def events(self) -> Iterator[dict[str, Any]]:
        """The events of exposed containers: started, died, healthy or not. Lasts until the engine ends it."""
        answer = self._ask(f"/events?{self._filters(type=['container'])}", timeout=None)
        for line in answer:
            event = json.loads(line)
            if TOLD.fullmatch(event.get("Action", "")):
                kept = _only(event, "Type", "Action", "status", "id", "time", "timeNano")
                yield {**kept, "Actor": _only(event["Actor"], "ID")}

    def _filters(self, **more: list[str]) -> str:
        return urllib.parse.urlencode({"filters": json.dumps({"label": self._labels, **more})})

    def _json(self, path: str) -> Any:
        return json.loads(self._ask(path).read())

    def _ask(self, path: str, timeout: float | None = TIMEOUT) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("engine", timeout=timeout)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(timeout)
        connection.sock.connect(self._path)
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        if answer.status == 404:
            raise NotFoundError
        if answer.status != 200:
            raise OSError(f"the engine answered {answer.status}")
        return answer


class Swarm(Engine):
    """Services, their running tasks, and networks: a manager's word."""

    def __init__(self, path: str, project: str) -> None:
        super().__init__(path, project)
        self._labels = [f"{STACK}={project}", f"{EXPOSED}=true"]

    def services(self) -> list[dict[str, Any]]:
        listed = self._json(f"/services?{self._filters()}")
        return [
            {
                "ID": one["ID"],
                "Spec": {
                    "Name": one["Spec"]["Name"],
                    "Labels": {key: value for key, value in one["Spec"]["Labels"].items() if _routes(key)},
                    **_only(one["Spec"], "EndpointSpec"),
                    "Mode": one["Spec"]["Mode"],
                },
                "Endpoint": _only(one.get("Endpoint", {}), "VirtualIPs"),
            }
            for one in listed
        ]

    def tasks(self, service: str) -> list[dict[str, Any]]:
        """The tasks of one exposed service: where each runs."""
        if service not in {one["ID"] for one in self.services()}:
            raise NotFoundError
        filters = {"service": [service], "desired-state": ["running"]}
        listed = self._json(f"/tasks?{urllib.parse.urlencode({'filters': json.dumps(filters)})}")
        return [
            {
                **_only(one, "ID", "ServiceID", "Slot", "NodeID", "DesiredState"),
                "Status": _only(one["Status"], "State"),
                "NetworksAttachments": [
                    {
                        "Network": {
                            "ID": attached["Network"]["ID"],
                            "Spec": _only(attached["Network"]["Spec"], "Name"),
                        },
                        **_only(attached, "Addresses"),
                    }
                    for attached in one.get("NetworksAttachments") or []
                ],
            }
            for one in listed
        ]

    def networks(self) -> list[dict[str, Any]]:
        filters = json.dumps({"label": self._labels[:1]})
        listed = self._json(f"/networks?{urllib.parse.urlencode({'filters': filters})}")
        return [_only(one, "Id", "Name", "Driver", "Scope") for one in listed]


def _only(value: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value[name] for name in names if name in value}


def _routes(label: str) -> bool:
    return label.startswith("traefik.") or label in (PROJECT, SERVICE, STACK, "gateway.server")


def _service_in(query: str) -> str:
    """The one service that Traefik's filters name, as `{"service": {"ID": true}}` or `["ID"]`.

    Raises MalformedError.
    """
    try:
        named = json.loads(urllib.parse.parse_qs(query)["filters"][0])["service"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise MalformedError from error
    services = list(named) if isinstance(named, dict | list) else []
    if len(services) != 1:
        raise MalformedError
    return str(services[0])


class Handler(BaseHTTPRequestHandler):
    """Every method but GET and HEAD is answered 501 by the base class."""

    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT
    engine: Engine

    def do_GET(self) -> None:
        place, _, query = self.path.partition("?")
        path = (SWARM_PATH if isinstance(self.engine, Swarm) else PATH).fullmatch(place)
        if path is None or "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            return self._answer(403, {"message": "not for Traefik"})
        try:
            match path[1]:
                case "_ping":
                    self._ping()
                case "version":
                    self._answer(200, self.engine.version())
                case "services" | "networks" | "tasks" if isinstance(self.engine, Swarm):
                    self._answer(200, self._swarm(self.engine, path[1], query))
                case _ if isinstance(self.engine, Swarm):
                    # Asked of each task's machine, for addresses that are not routed by.
                    self._answer(200, {"ID": path[2], "Status": {}})
                case "containers/json":
                    self._answer(200, self.engine.containers())
                case "events":
                    self._stream(self.engine.events())
                case _:
                    self._answer(200, self.engine.container(path[2]))
        except NotFoundError:
            self._answer(404, {"message": "no such container"})
        except MalformedError as error:
            self.log_error("%s: %r", self.path, error.__cause__)
            self._answer(400, {"message": "filters must name one service"})
        except FAILED as error:
            self.log_error("%s: %r", self.path, error)
            self._answer(502, {"message": "the engine does not answer"})

    def _swarm(self, swarm: Swarm, what: str, query: str) -> list[dict[str, Any]]:
        if what == "services":
            return swarm.services()
        if what == "networks":
            return swarm.networks()
        return swarm.tasks(_service_in(query))

    def do_HEAD(self) -> None:
        self.do_GET()

    def _ping(self) -> None:
        version = self.engine.version()
        self._answer(200, "OK", {"Api-Version": str(version["ApiVersion"]), "Ostype": "linux"})

    def _answer(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(content).encode()
        if status != 200:
            self.close_connection = True  # a body that was sent along is not read
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Type": "application/json"}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _stream(self, events: Iterator[dict[str, Any]]) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        try:
            for event in events:
                self.wfile.write(json.dumps(event).encode() + b"\n")
        except FAILED as error:
            self.log_error("the events ended: %r", error)  # Traefik asks again

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Only what is refused or fails is worth a line."""
        if code != 200:
            super().log_request(code, size)


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 2375
    kind = Swarm if os.environ.get("SWARM") == "true" else Engine
    Handler.engine = kind(SOCKET, os.environ["COMPOSE_PROJECT_NAME"])
    ThreadingHTTPServer(("", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
