"""nginx and Caddy, configured by the text of docs/other-edges.md, in front of a real authorization server."""

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
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from mcp_oauth_dynamicclient.app import create_app
from mcp_oauth_dynamicclient.records import Account, Grant, Identity
from mcp_oauth_dynamicclient.settings import load_settings
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.conftest import ROOT, free_port

PAGE = ROOT / "docs" / "other-edges.md"
ADA = Identity(provider="local", subject="ada", login="ada", name="Ada Lovelace")
TIME = "https://time.example.com/mcp"


def documented(language: str) -> str:
    """The one code block of that language in the page."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 1
    return str(blocks[0])


class Recorder:
    """A server behind the edge: answers with the headers it received; GET streams one event, then waits."""

    def __init__(self) -> None:
        self.reached = 0
        self.go_on = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached += 1
        streams = scope["method"] == "GET" and scope["path"] == "/mcp"
        kind = b"text/event-stream" if streams else b"application/json"
        headers = [(b"content-type", kind), (b"access-control-allow-origin", b"https://only.example")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if streams:
            await send({"type": "http.response.body", "body": b"data: first\n\n", "more_body": True})
            await self.go_on.wait()
            await send({"type": "http.response.body", "body": b"data: second\n\n"})
            return
        seen = [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]]
        body = json.dumps({"path": scope["path"], "headers": seen}).encode()
        await send({"type": "http.response.body", "body": body})


@dataclass
class Edge:
    """A running edge for *.example.com, its authorization server and the server `time` behind it."""

    name: str
    port: int
    gateway: Any
    server: Recorder
    http: httpx.AsyncClient
    _stops: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    def request(self, method: str, url: str, **options: Any) -> httpx.Request:
        """For a public URL, sent to the edge on loopback with the right name in TLS and in Host."""
        public = httpx.URL(url)
        target = public.copy_with(host="127.0.0.1", port=self.port)
        headers = [("Host", public.host), *httpx.Headers(options.pop("headers", {})).multi_items()]
        names = {"sni_hostname": public.host}
        return self.http.build_request(method, target, headers=headers, extensions=names, **options)

    async def ask(self, method: str, url: str, **options: Any) -> httpx.Response:
        return await self.http.send(self.request(method, url, **options))

    async def token(self, scope: str = "mcp", resource: str = TIME) -> str:
        ctx = self.gateway.ctx
        grant = Grant(
            grant_id=f"grant-{scope}",
            client_id="client_1",
            client_name="Client",
            identity=ADA,
            resource=resource,
            scope=scope,
            created_at=ctx.now(),
            last_used_at=ctx.now(),
        )
        await ctx.store.put("grant", grant.grant_id, grant.model_dump())
        issued, _ = await ctx.tokens.issue_access(grant, resource=resource, scope=scope)
        return str(issued)

    async def stop_authorization_server(self) -> None:
        await self._stops.pop()()


@pytest.fixture(params=["nginx", "caddy"])
async def edge(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Edge]:
    name = str(request.param)
    program = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed; CI must have it")
        pytest.skip(f"{name} is not installed")
    settings = load_settings(
        base_domain="example.com",
        gateway_secret="0123456789abcdef-test-secret-fedcba9876543210",
        local_accounts=True,
        store_url="sqlite:///:memory:",
        audit_log=str(tmp_path / "audit.log"),
    )
    gateway, server, port = create_app(settings), Recorder(), free_port()
    account = Account(name="ada", password_hash="x", created_at=gateway.ctx.now())
    await gateway.ctx.store.put("account", "ada", account.model_dump())
    stops: list[Callable[[], Awaitable[None]]] = []
    server_port, stop_server = await _serve(server)
    auth_port, stop_auth = await _serve(gateway)
    stops += [stop_server, stop_auth]
    ports = {":8000": f":{auth_port}", ":3000": f":{server_port}"}
    configure = {"nginx": _nginx, "caddy": _caddy}[name]
    log = (tmp_path / "edge.log").open("wb")
    process = subprocess.Popen(
        [program, *configure(tmp_path, port, ports)],
        cwd=tmp_path, stdout=log, stderr=log, env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
    )  # fmt: skip
    try:
        async with httpx.AsyncClient(verify=False, timeout=10) as http:
            edge = Edge(name, port, gateway, server, http, stops)
            await _until_ready(edge, process, tmp_path / "edge.log")
            yield edge
    finally:
        server.go_on.set()
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        log.close()
        for stop in stops:
            await stop()
        await gateway.aclose()


async def _until_ready(edge: Edge, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        if process.poll() is not None:
            break
        try:
            await edge.ask("GET", "https://auth.example.com/health")
        except httpx.TransportError:
            await asyncio.sleep(0.05)
        else:
            return
    pytest.fail(f"{edge.name} did not start:\n{log.read_text()}")


async def _serve(app: ASGIApp) -> tuple[int, Callable[[], Awaitable[None]]]:
    """Serve on a free loopback port; the port and how to stop."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, log_level="error", ws="none", lifespan="off", proxy_headers=False, timeout_graceful_shutdown=2
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
        assert not task.done()

    async def stop() -> None:
        server.should_exit = True
        await task

    return int(listener.getsockname()[1]), stop


def _nginx(directory: Path, port: int, ports: dict[str, str]) -> list[str]:
    """The arguments of nginx for the documented `http` contents; only ports and certificate files differ."""
    certificate, key = _certificate(directory)
    text = documented("nginx")
    changes = ports | {
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
        f"events {{ worker_connections 64; }}\n"
        f"http {{\naccess_log off;\n{folders}\n{text}}}\n"
    )
    return ["-p", str(directory), "-c", str(directory / "nginx.conf"), "-g", "daemon off;"]


def _caddy(directory: Path, port: int, ports: dict[str, str]) -> list[str]:
    """The arguments of Caddy for the documented file, under options that keep it on loopback and offline."""
    text = documented("caddyfile")
    for old, new in ports.items():
        assert old in text
        text = text.replace(old, new)
    options = (
        f"{{\n\tadmin off\n\tlocal_certs\n\tskip_install_trust\n\tauto_https disable_redirects\n"
        f"\tdefault_bind 127.0.0.1\n\thttps_port {port}\n\thttp_port {free_port()}\n"
        f"\tstorage file_system {directory / 'caddy'}\n}}\n"
    )
    (directory / "Caddyfile").write_text(options + text)
    return ["run", "--config", str(directory / "Caddyfile"), "--adapter", "caddyfile"]


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


async def raw(port: int, server_name: str, request: bytes) -> bytes:
    """Bytes over TLS, and everything that comes back until the edge closes."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=server_name
    )
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer
