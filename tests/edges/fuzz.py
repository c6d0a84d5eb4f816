"""Requests of every shape at every edge, in front of servers that take everything.

What it looks for: a request without a token at a server, a token of one server at another, and what a server
must never see. Where the spelling leaves no doubt, every edge must also do what `public.py` says.
`./justw fuzz-gate 100000` runs it for long; `python -m tests.edges.fuzz N SEED` repeats a run.
"""

from __future__ import annotations

import asyncio
import random
import re
import ssl
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from mcp_oauth_dynamicclient.public import Place

from tests.edges.conftest import EDGES, Edge, running

AT_ONCE = 8
PATIENCE = 60.0
METHODS = (
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "PATCH",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "QUERY",
    "get",
    "X",
)
PATHS = (
    "/mcp",
    "/mcp",
    "/mcp",
    "/mcp/",
    "/mcp/a",
    "/sub/mcp",
    "/mcp/health",
    "/mcp/token",
    "/mcp/.well-known/x",
    "/mcp/A/.well-known/x",
    "/mcp/A/.well-known/openid-configuration",
    "/.well-known/x",
    "/health",
    "/token",
    "/",
    "",
    "/health/",
    "/healthz",
    "/token/mcp",
    "/authorize",
    "/verify",
    "/metrics",
    "/live",
    "/other",
    "/MCP",
    "/internal/identity/keys",
    "/.well-known/oauth-protected-resource/mcp",
    "/static/mcp",
    "/.verify",
)
TRICKS = (
    "/..",
    "/.",
    "//",
    "/%2e%2e",
    "/%2E",
    "%2f",
    "%5c",
    "\\",
    ";x",
    "/;/",
    "%00",
    "%25",
    "%252e",
    "%0d%0a",
    "?",
    "?x=/.well-known/",
    "#",
    "#/health",
    "/../health",
    "/health/..",
    "/.well-known/..",
    "/./",
    "%6d",
    "\t",
    "\x80",
)
HEADERS = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA",
    "Connection: Upgrade\r\nUpgrade: anything",
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA",
    "Connection: X-User-Id, X-Gateway-Identity",
    "Connection: Authorization",
    "X-User-Id: evil",
    "X_User_Id: evil",
    "X.Gateway.Identity: evil",
    "X-Gateway-Identity: evil",
    "X-Client-Id: evil",
    "Cookie: session=secret",
    "Origin: https://claude.ai",
    "Origin: https://evil.example",
    "Origin: null",
    "Access-Control-Request-Method: POST",
    "Access-Control-Request-Method: ",
    "Access-Control-Request-Method: a b",
    "X-Forwarded-Uri: /health",
    "X-Forwarded-Method: OPTIONS",
    "X-Forwarded-Host: auth.example.com",
    "X-Original-URL: /health",
    "X-Rewrite-URL: /health",
    "X-HTTP-Method-Override: OPTIONS",
    "Accept: text/html",
    "Forwarded: host=auth.example.com",
    "Transfer-Encoding: identity",
    "TE: trailers",
    "Expect: nothing",
)
CLEAN = re.compile(r"[A-Za-z0-9/_.-]*")
IDENTITY = {"x-user-id", "x-user-name", "x-client-id", "x-gateway-identity"}
ODD = ("Origin: ", "Transfer", "Expect", "Connection: Auth", "Access-Control")
Fault = Callable[[str], None]
Headers = list[tuple[str, str]]
PUBLIC = (Place.OWN, Place.METADATA, Place.TOKEN, Place.HEALTH, Place.CARD, Place.BARE)


@dataclass
class Shot:
    """One request. `opens` is the server that its token is for; "" without a usable one."""

    number: int
    method: str
    target: str
    host: str
    opens: str
    lines: list[str]
    body: str

    def request(self) -> bytes:
        head = [f"{self.method} {self.target} HTTP/1.1", f"Host: {self.host}", f"X-Shot: {self.number}"]
        head += [*self.lines, f"Content-Length: {len(self.body)}", "Connection: close"]
        return ("\r\n".join(head) + "\r\n\r\n" + self.body).encode("latin-1")

    @property
    def plain(self) -> bool:
        """Whether nothing about it may be read in two ways, so that every edge has to agree."""
        path = self.target
        tricky = "//" in path or "/./" in path or ".." in path or path.endswith("/.")
        return bool(path) and bool(CLEAN.fullmatch(path)) and not tricky and self.method in METHODS[:6]


@dataclass
class Run:
    edge: Edge
    seed: int
    tokens: dict[str, str] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    context: ssl.SSLContext = field(default_factory=lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    async def shoot(self, count: int) -> None:
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        for server in self.edge.servers:
            self.tokens[server] = await self.edge.token(resource=self.edge.url(server))
        for recorder in self.edge.servers.values():
            recorder.go_on.set()
        rng = random.Random(f"{self.edge.name}-{self.seed}")
        shots = [self._shot(number, rng) for number in range(count)]
        waiting = iter(shots)

        async def gun() -> None:
            for shot in waiting:
                answered.append((shot, await self._answer(shot)))

        answered: list[tuple[Shot, str]] = []
        await asyncio.gather(*(gun() for _ in range(AT_ONCE)))
        assert (await self.edge.ask("GET", f"{self.edge.issuer}/health")).status_code == 200
        arrived = self._arrivals()
        for shot, status in answered:
            self.statuses[status] += 1
            self._judge(shot, status, arrived.pop(str(shot.number), []))
        self.faults += [f"a request that nobody sent arrived: {stray}" for stray in arrived.values()]

    def _arrivals(self) -> dict[str, list[tuple[str, Headers]]]:
        """By the number of the shot: which servers it was at, and with which headers."""
        found: dict[str, list[tuple[str, Headers]]] = {}
        for name, server in self.edge.servers.items():
            for arrival in server.arrivals:
                found.setdefault(dict(arrival.headers).get("x-shot", ""), []).append((name, arrival.headers))
        return found

    def _shot(self, number: int, rng: random.Random) -> Shot:
        server = rng.choice(list(self.edge.servers))
        url = urlsplit(self.edge.url(server))
        path = rng.choice(PATHS)
        for _ in range(rng.choice((0, 0, 0, 0, 1, 1, 2))):
            at = rng.randrange(len(path) + 1)
            path = path[:at] + rng.choice(TRICKS) + path[at:]
        target = url.path.removesuffix("/mcp") + path
        if rng.random() < 0.05:
            target = rng.choice((f"{url.scheme}://{url.netloc}{target}", "*", url.netloc, f"//evil{target}"))
        issuer = urlsplit(self.edge.issuer).netloc
        others = (issuer, "echo.example.com", "nothing.example.com", "evil.example", url.netloc.upper(), "")
        host = url.netloc if rng.random() < 0.85 else rng.choice(others)
        lines = rng.sample(HEADERS, rng.choice((0, 0, 1, 1, 2, 4)))
        opens, kind = "", rng.random()
        if kind < 0.5:
            opens = server if kind < 0.35 else rng.choice(list(self.edge.servers))
            lines.append(f"Authorization: Bearer {self.tokens[opens]}")
        elif kind < 0.6:
            lines.append(
                rng.choice(("Authorization: Bearer x", "Authorization: Basic YTpi", "Authorization: "))
            )
        method = rng.choice(("POST", "GET")) if rng.random() < 0.5 else rng.choice(METHODS)
        return Shot(number, method, target, host, opens, lines, rng.choice(("", "{}")))

    async def _answer(self, shot: Shot) -> str:
        """The status that an edge gives while it has the authorization server: on a machine that is too busy
        for a health check in two seconds, it has not, and says 503 for a moment."""
        for _ in range(5):
            status = await self._fire(shot)
            if status != "503":
                break
            async with asyncio.timeout(120):
                while (await self.edge.ask("GET", f"{self.edge.issuer}/health")).status_code != 200:
                    await asyncio.sleep(0.1)
        return status

    async def _fire(self, shot: Shot) -> str:
        """The status of the answer; "" where the edge hangs up without one.

        A host without a certificate is asked for in a connection to another: else TLS would be all that
        such a request meets.
        """
        known = [urlsplit(url).netloc for url in (self.edge.issuer, *map(self.edge.url, self.edge.servers))]
        name = shot.host if shot.host in known else known[1]
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", self.edge.port, ssl=self.context if self.edge.tls else None,
                    server_hostname=name if self.edge.tls else None,
                )  # fmt: skip
                try:
                    writer.write(shot.request())
                    line = await reader.readline()
                finally:
                    writer.close()
        except TimeoutError:
            return "silence"
        except (ConnectionError, ssl.SSLError):
            return ""
        parts = line.decode("latin-1").split(" ")
        return parts[1] if len(parts) > 1 else ""

    def _judge(self, shot: Shot, status: str, arrived: list[tuple[str, Headers]]) -> None:
        def fault(what: str) -> None:
            self.faults.append(f"{self.edge.name}: {what} ({status}): {shot.request()!r}"[:1500])

        if status in ("", "101", "500", "502", "503", "504", "silence"):
            fault("not an answer")
        for server, headers in arrived:
            if server != shot.opens:
                fault(f"reached {server}")
            names = [name for name, _ in headers]
            if {"cookie", "authorization", "origin"} & set(names):
                fault("a server saw credentials or an origin")
            # The Gateway API can remove sixteen names from a request, which are not all spellings with a dot.
            alike = "_" if self.edge.name == "envoy" else "_."
            if any(
                re.sub(f"[{alike}]", "-", name) in IDENTITY and "evil" in value for name, value in headers
            ):
                fault("a claimed identity passed")
            if ("x-user-id", "local:ada") not in headers or "x-gateway-identity" not in names:
                fault("a server was not told who it is")
        if shot.plain:
            self._compare(shot, status, bool(arrived), fault)

    def _compare(self, shot: Shot, status: str, arrived: bool, fault: Fault) -> None:
        """What the table says about an address, every edge does."""
        address = self.edge.gateway.ctx.resources.read(shot.host, shot.target)
        if address.place in PUBLIC and (arrived or status == "401"):
            fault(f"{address.place.name} is answered by the authorization server")
        if self.edge.name == "envoy" and any("\r\nUpgrade: " in line for line in shot.lines):
            return  # it says 403 to every upgrade that it was not told to allow
        odd = any(line.startswith(ODD) and line != "Origin: https://claude.ai" for line in shot.lines)
        served = address.server in self.edge.servers
        untaken = "Accept: text/html" in shot.lines and shot.method == "POST" and not address.below
        if address.place is Place.ENDPOINT and served and not odd and untaken:
            if arrived or status != "406":
                fault("an answer that the client will not take is refused before there is a challenge")
        elif address.place is Place.ENDPOINT and served and not odd:
            if arrived != bool(shot.opens and address.resource == self.edge.url(shot.opens)):
                fault("a token opens its server, and nothing else does")
            if not arrived and status != "401":
                fault("without a token there is a challenge")


async def fuzz(name: str, directory: Path, count: int, seed: int) -> Run:
    async with running(name, directory) as edge:
        run = Run(edge, seed)
        await run.shoot(count)
        return run


def main() -> int:
    count, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6)
    failed = False
    for name in EDGES:
        with tempfile.TemporaryDirectory() as directory:
            run = asyncio.run(fuzz(name, Path(directory), count // len(EDGES), seed))
        reached = {server.name: server.reached for server in run.edge.servers.values()}
        print(
            f"{name}: seed {seed}, {run.statuses.total()} requests, {len(run.faults)} faults, "
            f"reached {reached}, {dict(sorted(run.statuses.items()))}",
            *run.faults[:20],
            sep="\n",
            flush=True,
        )
        failed = failed or bool(run.faults)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
