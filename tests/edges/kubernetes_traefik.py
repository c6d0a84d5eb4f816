"""The real Traefik as the chart starts it, told by the rendered objects which servers there are.

What stands in for the cluster's API answers with those objects and with endpoints on loopback, and knows
nothing else of Kubernetes: of its defaults, that a port is one of TCP. Addresses, ports and the paths of
files are this machine's; every other option is the chart's.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from pathlib import Path
from typing import Any

from starlette.types import Receive, Scope, Send

from gateway.kubernetes import NAMESPACE, OVERLAYS, objects
from gateway.services import BIN, Internal
from tests.conftest import ROOT, free_port

Json = dict[str, Any]
FILES = {
    "traefik-ingressroute": ROOT / "kubernetes" / "base" / "rendered.yaml",
    "traefik-httproute": OVERLAYS / "httproute" / "rendered.yaml",
}
"""By the name of the edge."""
KINDS = {
    "namespaces": "Namespace", "services": "Service", "secrets": "Secret", "configmaps": "ConfigMap",
    "endpointslices": "EndpointSlice", "ingressroutes": "IngressRoute", "ingressroutetcps": "IngressRouteTCP",
    "ingressrouteudps": "IngressRouteUDP", "middlewares": "Middleware", "middlewaretcps": "MiddlewareTCP",
    "serverstransports": "ServersTransport", "serverstransporttcps": "ServersTransportTCP",
    "tlsoptions": "TLSOption", "tlsstores": "TLSStore", "traefikservices": "TraefikService",
    "gatewayclasses": "GatewayClass", "gateways": "Gateway", "httproutes": "HTTPRoute",
    "grpcroutes": "GRPCRoute", "tlsroutes": "TLSRoute", "referencegrants": "ReferenceGrant",
    "backendtlspolicies": "BackendTLSPolicy",
}  # fmt: skip
_PATH = re.compile(r"/apis?/(?P<version>.+?)(?:/namespaces/[^/]+)?/(?P<plural>[a-z]+)")


class Api:
    """Lists and watches, as Traefik asks for them; nothing changes."""

    def __init__(self, there: list[Json]) -> None:
        self._there = there
        self.asked: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = _PATH.fullmatch(scope["path"])
        if scope["method"] != "GET" or found is None or found["plural"] not in KINDS:
            await _json(send, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404}, 404)
            return
        kind, version = KINDS[found["plural"]], found["version"]
        self.asked.add(kind)
        items = [one for one in self._there if (one["kind"], one["apiVersion"]) == (kind, version)]
        query = scope["query_string"]
        if b"watch=" not in query:
            said = {"kind": f"{kind}List", "apiVersion": version, "metadata": {"resourceVersion": "1"}}
            await _json(send, {**said, "items": items})
            return
        lines = []
        if b"sendInitialEvents=true" in query:
            ended = {"resourceVersion": "1", "annotations": {"k8s.io/initial-events-end": "true"}}
            lines = [{"type": "ADDED", "object": one} for one in items]
            mark = {"kind": kind, "apiVersion": version, "metadata": ended}
            lines.append({"type": "BOOKMARK", "object": mark})
        await _start(send, 200)
        body = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
        await send({"type": "http.response.body", "body": body, "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            await asyncio.sleep(0)


async def _start(send: Send, status: int) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _json(send: Send, said: Json, status: int = 200) -> None:
    await _start(send, status)
    await send({"type": "http.response.body", "body": json.dumps(said).encode()})


class Rendered:
    """What an overlay says of the edge and its servers."""

    def __init__(self, name: str) -> None:
        self.routed_by = "HTTPRoute" if name == "traefik-httproute" else "IngressRoute"
        self._all = objects(FILES[name].read_text())
        (deployment,) = [one for one in self._all if one["kind"] == "Deployment" and _name(one) == "traefik"]
        (self._container,) = deployment["spec"]["template"]["spec"]["containers"]

    def objects(
        self, ports: dict[str, int], https: int, http: int, certificate: Path, key: Path
    ) -> list[Json]:
        """What the API has: the rendered objects, those of `time` once for each server, and what a cluster
        adds of its own."""
        there = [
            one for one in self._all if one["kind"] in ("GatewayClass", "Gateway", "Middleware", "TLSStore")
        ]
        ours = [
            one for one in self._all if _name(one) == "time" and one["kind"] in ("Service", self.routed_by)
        ]
        for server in (name for name in ports if name != "auth"):
            for one in ours:
                text = json.dumps(one).replace('"time"', f'"{server}"').replace("time.ex", f"{server}.ex")
                there.append(json.loads(text))
            there.append(_endpoints(server, ports[server]))
        pem = {"tls.crt": certificate, "tls.key": key}
        data = {file: base64.b64encode(path.read_bytes()).decode() for file, path in pem.items()}
        secret = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "data": data}
        there.append({**secret, "metadata": {"name": "gateway-tls"}})
        there.append({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        text = json.dumps(there).replace('"port": 8443', f'"port": {https}')
        found: list[Json] = json.loads(text.replace('"port": 8000', f'"port": {http}'))
        for number, one in enumerate(found):
            own: Json = {"uid": f"uid-{number}", "resourceVersion": "1", "generation": 1}
            if one["kind"] not in ("Namespace", "GatewayClass"):
                own["namespace"] = NAMESPACE
            one["metadata"] |= own | {"creationTimestamp": "2026-01-01T00:00:00Z"}
            if one["kind"] == "Service":
                one["spec"]["ports"] = [{"protocol": "TCP", **port} for port in one["spec"]["ports"]]
        return found

    def traefik(
        self, https: int, http: int, internal: Internal, auth: int, api: int
    ) -> tuple[list[str], dict[str, str]]:
        """The command and the environment of Traefik."""
        verify = free_port()
        here = {
            "--entrypoints.web.address=": f"127.0.0.1:{http}",
            "--entrypoints.websecure.address=": f"127.0.0.1:{https}",
            "--entrypoints.verify.address=": f"127.0.0.1:{verify}",
            "--entrypoints.internal.address=": f"127.0.0.1:{internal.port}",
            "--entrypoints.ping.address=": f"127.0.0.1:{free_port()}",
            "--providers.file.filename=": str(ROOT / "traefik" / "dynamic.yml"),
        }
        options = []
        for option in self._container["args"]:
            changed = [start + value for start, value in here.items() if option.startswith(start)]
            options += changed or [option]
        options.append(f"--providers.kubernetescrd.endpoint=http://127.0.0.1:{api}")
        if self.routed_by == "HTTPRoute":
            options.append(f"--providers.kubernetesgateway.endpoint=http://127.0.0.1:{api}")
        said = {one["name"]: one["value"] for one in self._container["env"]}
        own = {
            "AUTH_URLS": f"http://127.0.0.1:{auth}",
            "VERIFY_URL": f"http://127.0.0.1:{verify}",
            "EDGE_SECRET": internal.secret,
        }
        return [str(BIN / "traefik"), *options], said | own


def _name(one: Json) -> str:
    return str(one["metadata"]["name"])


def _endpoints(server: str, port: int) -> Json:
    labels = {"kubernetes.io/service-name": server}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{server}-1", "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True, "serving": True}}],
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
    }
