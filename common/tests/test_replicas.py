"""Three replicas of a small service on loopback, each asked by hand for what another owns."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn

from common.gateway_identity import GatewayIdentity
from common.identity_gate import IdentityGate
from common.public_url import PublicUrl
from common.replica_forwarding import Forwarder
from common.replica_set import ReplicaSet, ReplicaSettings, ranked
from common.replicas import HOP, HOP_LIFETIME, Replicas, speaks_modern
from common.serving import listen

from .conftest import Gateway

if TYPE_CHECKING:
    from starlette.types import ASGIApp

SECRET = b"0123456789abcdef0123456789abcdef"
MODERN = "2026-07-28"
Json = dict[str, Any]


class Service:
    """Opens a session at `initialize`, knows its own, and says what reached it."""

    def __init__(self) -> None:
        self.sessions: set[str] = set()
        self.arrived: list[Json] = []
        self.parts: asyncio.Queue[bytes] = asyncio.Queue()
        self.closed = asyncio.Event()
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        if scope["path"] == "/health":
            await answer(send, 200, {"status": "healthy"})
            return
        if headers.get("x-test") == "stream":
            await self._stream(receive, send)
            return
        body = b""
        while scope["method"] == "POST":
            message = await receive()
            body += message["body"]
            if not message["more_body"]:
                break
        session = headers.get("mcp-session-id")
        if session is not None and session not in self.sessions:
            await answer(send, 404, {"error": "no such session"})
            return
        told = []
        if b"initialize" in body:
            session = f"session-{len(self.sessions)}"
            self.sessions.add(session)
        if session is not None:
            told = [(b"mcp-session-id", session.encode())]
        if headers.get("x-test") == "slow":
            self.begun.set()
            await self.go_on.wait()
        arrival = {"headers": headers, "body": body.decode(), "query": scope["query_string"].decode()}
        self.arrived.append(arrival)
        await answer(send, 200, arrival, told)

    async def _stream(self, receive: Any, send: Any) -> None:
        """Each part of the body as an event when it has arrived, then one when the test says so."""
        kind = (b"content-type", b"text/event-stream")
        await send({"type": "http.response.start", "status": 200, "headers": [kind]})
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
            part = message.get("body", b"")
            self.parts.put_nowait(part)
            await send({"type": "http.response.body", "body": b"data: %b\n\n" % part, "more_body": True})
        gone = asyncio.ensure_future(receive())
        going_on = asyncio.ensure_future(self.go_on.wait())
        await asyncio.wait((gone, going_on), return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            self.closed.set()
        gone.cancel()
        going_on.cancel()
        await send({"type": "http.response.body", "body": b"data: end\n\n"})


async def answer(send: Any, status: int, body: Json, headers: Any = ()) -> None:
    head = [(b"content-type", b"application/json"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


def user(scope: Any) -> str | None:
    return dict(scope["headers"]).get(b"x-user-id", b"").decode() or None


@dataclass
class Replica:
    address: str
    service: Service
    replicas: ReplicaSet
    server: uvicorn.Server
    task: asyncio.Task[None]

    @property
    def url(self) -> str:
        return f"http://{self.address}/mcp"

    async def stop(self) -> None:
        self.server.should_exit = self.server.force_exit = True
        await self.task


@dataclass
class Fleet:
    all: list[Replica]
    client: httpx.AsyncClient
    named: list[str] = field(default_factory=list)
    """What the DNS has of them, as ports of 127.0.0.1."""

    async def open(self, at: Replica) -> str:
        response = await self.client.post(at.url, content=b'{"method":"initialize"}')
        return response.headers["mcp-session-id"]

    async def use(self, at: Replica, session: str, **headers: str) -> httpx.Response:
        return await self.client.post(at.url, content=b"{}", headers={"mcp-session-id": session, **headers})


Start = Callable[..., Awaitable[Fleet]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with contextlib.AsyncExitStack() as stack:

        async def run(inside: Callable[[ASGIApp], ASGIApp] = lambda app: app, **timing: float) -> Fleet:
            client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=60))
            sockets = [stack.enter_context(listen("127.0.0.1", 0)) for _ in range(3)]
            addresses = [f"127.0.0.1:{sock.getsockname()[1]}" for sock in sockets]
            fleet = Fleet([], client)
            names = tuple(("127.0.0.1", int(address.rpartition(":")[2])) for address in addresses)
            fleet.named = [str(port) for _, port in names]

            async def resolve(host: str, port: int) -> list[str]:
                return [host] if str(port) in fleet.named else []

            for address, sock in zip(addresses, sockets, strict=True):
                settings = ReplicaSettings(secret=SECRET, names=names, port=0, address=address)
                replicas = ReplicaSet(settings, resolve)
                service = Service()
                forwarder = Forwarder(**timing)
                app = Replicas(inside(service), replicas, user, 1_000_000, forwarder=forwarder)
                server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
                task = asyncio.create_task(server.serve([sock]))
                replica = Replica(address, service, replicas, server, task)
                stack.push_async_callback(replica.stop)
                stack.push_async_callback(forwarder.aclose)
                fleet.all.append(replica)
                while not server.started:
                    await asyncio.sleep(0.01)
            return fleet

        yield run


async def test_a_session_is_found_through_every_replica_with_the_id_its_client_knows(start: Start) -> None:
    fleet = await start()
    for owner in fleet.all:
        session = await fleet.open(owner)
        for at in fleet.all:
            response = await fleet.use(at, session)
            assert response.status_code == 200
            assert response.headers["mcp-session-id"] == session
            assert HOP.decode() not in response.headers
        assert len(owner.service.arrived) == 4


async def test_a_forwarded_request_arrives_as_it_came(start: Start) -> None:
    owner, other, _ = (fleet := await start()).all
    session = await fleet.open(owner)
    headers = {
        "mcp-session-id": session,
        "x-gateway-identity": "a.b.c",
        "x-user-id": "ada",
        "host": "time.test",
    }
    await fleet.client.post(f"{other.url}?a=%2F", content=b'{ "x" : 1.0 }', headers=headers)
    await fleet.client.post(f"{owner.url}?a=%2F", content=b'{ "x" : 1.0 }', headers=headers)
    _, forwarded, direct = owner.service.arrived
    del direct["headers"]["connection"]  # of one connection only, RFC 9110 section 7.6.1
    assert forwarded == direct
    assert direct["headers"]["host"] == "time.test"


async def test_the_body_and_the_event_stream_pass_unbuffered(start: Start) -> None:
    owner, other, _ = (fleet := await start()).all
    session = await fleet.open(owner)
    headers = {"mcp-session-id": session, "x-test": "stream"}
    reader, writer = await asyncio.open_connection("127.0.0.1", int(other.address.rpartition(":")[2]))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"POST /mcp HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n{head}\r\n".encode())
    for part in (b"one", b"two"):
        writer.write(b"3\r\n%b\r\n" % part)
        assert await owner.service.parts.get() == part
    writer.write(b"0\r\n\r\n")
    await reader.readuntil(b"data: two")
    owner.service.go_on.set()
    await reader.readuntil(b"data: end")
    writer.close()
    await writer.wait_closed()


async def test_a_client_that_leaves_is_gone_at_the_owner_too(start: Start) -> None:
    owner, other, _ = (fleet := await start()).all
    session = await fleet.open(owner)
    headers = {"mcp-session-id": session, "x-test": "stream"}
    async with fleet.client.stream("GET", other.url, headers=headers) as response:
        await anext(response.aiter_bytes())
    await owner.service.closed.wait()


async def test_an_owner_that_is_gone_means_404(start: Start) -> None:
    owner, other, third = (fleet := await start()).all
    session, kept = await fleet.open(owner), await fleet.open(third)
    await owner.stop()
    assert (await fleet.use(other, session)).status_code == 404
    assert (await fleet.use(other, kept)).status_code == 200


async def test_an_address_that_the_dns_no_longer_has_is_not_called(start: Start) -> None:
    owner, other, _ = (fleet := await start()).all
    session = await fleet.open(owner)
    fleet.named.remove(owner.address.rpartition(":")[2])
    other.replicas._asked = 0.0  # what it knows is old
    assert (await fleet.use(other, session)).status_code == 404
    assert len(owner.service.arrived) == 1


async def test_a_stranger_at_the_owners_address_answers_nobody(start: Start) -> None:
    owner, other, _ = (fleet := await start()).all
    session = await fleet.open(owner)
    await owner.stop()
    port = int(owner.address.rpartition(":")[2])

    async def answer_anything(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret")
        writer.close()

    async with await asyncio.start_server(answer_anything, "127.0.0.1", port):
        response = await fleet.use(other, session)
    assert response.status_code == 404
    assert "secret" not in response.text


@pytest.mark.parametrize("version", [MODERN, "2025-11-25"])
async def test_what_a_stranger_at_a_users_place_was_sent_arrives_whole_at_the_next(
    start: Start, version: str
) -> None:
    """As while the replicas get another secret: those that have it already are strangers to the others."""
    place, *others = (fleet := await start()).all
    members, seal = await place.replicas.members(), place.replicas.seal
    users = (f"user-{number}" for number in range(1000))
    name = next(user for user in users if ranked(members, user, seal)[0] == place.address)
    await place.stop()

    async def refuse_it(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    headers = {"x-user-id": name, "mcp-protocol-version": version}
    port = int(place.address.rpartition(":")[2])
    async with await asyncio.start_server(refuse_it, "127.0.0.1", port):
        for at in others:
            response = await fleet.client.post(at.url, content=b'{"whole": 1}', headers=headers)
            assert response.json()["body"] == '{"whole": 1}'
    assert sorted(len(at.service.arrived) for at in others) == [0, 2]


@pytest.mark.parametrize("answers", [False, True])
async def test_an_owner_that_hangs_is_no_owner_that_is_gone(start: Start, answers: bool) -> None:
    fleet = await start(look_after=0.2, well_within=3.0)
    owner, other, _ = fleet.all
    session = await fleet.open(owner)
    if answers:
        # It is well, and takes its time for this call, as long as that is.
        slow = asyncio.create_task(fleet.use(other, session, **{"x-test": "stream"}))
        done, _ = await asyncio.wait((slow,), timeout=1)
        assert not done
        owner.service.go_on.set()
        assert (await slow).status_code == 200
        return
    await owner.stop()
    with contextlib.closing(socket.create_server(("127.0.0.1", int(owner.address.rpartition(":")[2])))):
        assert (await fleet.use(other, session)).status_code == 504


@pytest.mark.parametrize("breaks", [False, True], ids=["refuses", "breaks"])
async def test_an_owner_that_takes_no_more_connections_finishes_a_long_call(
    start: Start, breaks: bool
) -> None:
    """As after its drain: the call under way is not taken for one that hangs. What waited to be accepted when
    it stopped to listen is broken off."""
    fleet = await start(look_after=0.2, well_within=3.0)
    owner, other, _ = fleet.all
    session = await fleet.open(owner)
    slow = asyncio.create_task(fleet.use(other, session, **{"x-test": "slow"}))
    await owner.service.begun.wait()
    owner.server.should_exit = True
    with contextlib.suppress(httpx.ConnectError):
        while True:
            with contextlib.suppress(httpx.ReadError, httpx.RemoteProtocolError):
                await fleet.client.get(f"http://{owner.address}/health", headers={"connection": "close"})
    broken = asyncio.Event()

    def break_off(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()
        broken.set()

    async with contextlib.AsyncExitStack() as until_done:
        if breaks:
            port = int(owner.address.rpartition(":")[2])
            await until_done.enter_async_context(await asyncio.start_server(break_off, "127.0.0.1", port))
            await broken.wait()
        done, _ = await asyncio.wait((slow,), timeout=1)
        assert not done
        owner.service.go_on.set()
        assert (await slow).status_code == 200


async def test_an_owner_that_ends_amid_a_call_is_told_and_the_call_not_repeated(start: Start) -> None:
    owner, other, _ = (fleet := await start()).all
    session = await fleet.open(owner)
    port = int(owner.address.rpartition(":")[2])
    await owner.stop()
    calls = 0

    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(die, "127.0.0.1", port):
        assert (await fleet.use(other, session)).status_code == 502
    assert calls == 1


async def test_what_belongs_to_a_user_is_at_one_place_and_moves_when_that_is_gone(start: Start) -> None:
    fleet = await start()

    async def served(name: str) -> list[Replica]:
        before = [len(replica.service.arrived) for replica in fleet.all]
        for at in fleet.all:
            if not at.task.done():
                response = await fleet.client.post(at.url, content=b"{}", headers={"x-user-id": name})
                assert response.status_code == 200
        after = [len(replica.service.arrived) for replica in fleet.all]
        return [replica for replica, old, new in zip(fleet.all, before, after, strict=True) if new > old]

    places = {name: await served(name) for name in (f"user-{number}" for number in range(12))}
    assert all(len(place) == 1 for place in places.values())
    gone = places["user-0"][0]
    await gone.stop()
    for name, place in places.items():
        now = await served(name)
        assert len(now) == 1
        assert now == place or place == [gone]


async def test_a_state_leads_back_to_the_replica_that_made_it(start: Start) -> None:
    owner, other, third = (fleet := await start()).all
    state = owner.replicas.seal.close(owner.address, "inner", "state")
    body = json.dumps({"params": {"requestState": state}})
    for at in fleet.all:
        headers = {"mcp-protocol-version": MODERN}
        assert (await fleet.client.post(at.url, content=body, headers=headers)).json()["body"] == body
    assert (len(owner.service.arrived), len(other.service.arrived), len(third.service.arrived)) == (3, 0, 0)


# attacks


async def listening() -> tuple[asyncio.Server, list[int], str]:
    """Somewhere that an attacker would like to be connected to."""
    connections: list[int] = []

    async def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        writer.close()

    server = await asyncio.start_server(note, "127.0.0.1", 0)
    return server, connections, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_an_id_that_no_replica_made_leads_nowhere(start: Start) -> None:
    fleet = await start()
    server, connections, address = await listening()
    async with server:
        forged = type(fleet.all[0].replicas.seal)(b"a secret of somebody else, as long").close
        for session in (forged(address, "x", "session"), address, f"{address} x", "session-0"):
            assert (await fleet.use(fleet.all[0], session)).status_code == 404
        state = json.dumps({"params": {"requestState": forged(address, "x", "state")}})
        headers = {"mcp-protocol-version": MODERN}
        assert (await fleet.client.post(fleet.all[0].url, content=state, headers=headers)).status_code == 200
    assert not connections


async def test_even_a_replicas_own_seal_leads_only_to_replicas(start: Start) -> None:
    fleet = await start()
    server, connections, address = await listening()
    async with server:
        session = fleet.all[0].replicas.seal.close(address, "x", "session")
        assert (await fleet.use(fleet.all[0], session)).status_code == 404
    assert not connections


def hop(fleet: Fleet, scope: Json, owner: Replica, when: float) -> str:
    from common.replicas import _vouched_for

    stamp = f"{when:.0f}.00"
    return f"{stamp}.{owner.replicas.seal.proof(stamp.encode(), *_vouched_for(scope, owner.address))}"


async def test_a_hop_is_a_replicas_for_this_request_and_now_or_refused(start: Start) -> None:
    owner, other, _ = (fleet := await start()).all
    session = await fleet.open(owner)

    def made(when: float, method: str = "POST", id_: str = session, **more: str) -> str:
        headers = [(b"mcp-session-id", id_.encode()), *((k.encode(), v.encode()) for k, v in more.items())]
        scope = {
            "method": method,
            "path": "/mcp",
            "raw_path": b"/mcp",
            "query_string": b"",
            "headers": headers,
        }
        return hop(fleet, scope, owner, when)

    now = time.time()
    name = HOP.decode()
    assert (await fleet.use(owner, session, **{name: made(now)})).status_code == 200
    for wrong in (
        "",
        "1.2.3",
        made(now)[:-1],
        made(now - 2 * HOP_LIFETIME),
        made(now + 2 * HOP_LIFETIME),
        made(now, "DELETE"),
        made(now, id_="other"),
        made(now, **{"x-user-id": "eve"}),
    ):
        assert (await fleet.use(owner, session, **{name: wrong})).status_code == 403
    # Made for the owner, it opens no other.
    assert (await fleet.use(other, session, **{name: made(now)})).status_code == 403


async def test_a_request_that_hopped_hops_no_more(start: Start) -> None:
    owner, other, _ = (fleet := await start()).all
    session = await fleet.open(owner)
    headers = [(b"mcp-session-id", session.encode())]
    scope = {"method": "POST", "path": "/mcp", "raw_path": b"/mcp", "query_string": b"", "headers": headers}
    hopped = hop(fleet, scope, other, time.time())
    assert (await fleet.use(other, session, **{HOP.decode(): hopped})).status_code == 404
    assert len(owner.service.arrived) == 1


async def test_the_owner_checks_the_statement_of_a_forwarded_request(start: Start, gateway: Gateway) -> None:
    own = PublicUrl.parse("https://echo.example.com/mcp")
    gateway.now = time.time()
    identity = GatewayIdentity("http://edge", ask=gateway.ask)
    fleet = await start(lambda app: IdentityGate(app, identity, own))
    owner, other, _ = fleet.all
    owner.service.sessions.add("session-0")
    session = owner.replicas.seal.close(owner.address, "session-0", "session")
    name = "x-gateway-identity"
    elsewhere = gateway.sign(aud="https://time.example.com/mcp")
    assert (await fleet.use(other, session)).status_code == 403
    assert (await fleet.use(other, session, **{name: elsewhere})).status_code == 403
    assert (await fleet.use(other, session, **{name: gateway.sign(), "x-user-id": "eve"})).status_code == 200
    # The statement's word counts, here as anywhere.
    assert [arrival["headers"]["x-user-id"] for arrival in owner.service.arrived] == ["local:ada"]


def test_the_era_is_the_headers_word() -> None:
    for version, modern in ((None, False), ("2025-11-25", False), (MODERN, True), ("2027-01-01", True)):
        headers = [] if version is None else [(b"mcp-protocol-version", version.encode())]
        assert speaks_modern({"headers": headers}) is modern
