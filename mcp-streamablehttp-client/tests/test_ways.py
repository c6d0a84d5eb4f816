"""The ways to a server: TLS, proxies, codings, cookies, and what is said about this client."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from mcp_streamablehttp_client.errors import ClientError, NotConnectedError
from mcp_streamablehttp_client.http1 import HttpClient, Target
from mcp_streamablehttp_client.http1.cookies import Cookies
from mcp_streamablehttp_client.trust import Trust
from starlette.requests import Request
from starlette.responses import Response

from .memory_host import bridged
from .oauth_server import OAuth
from .support import JsonRpc, Run, Serve
from .test_transport import Script, legacy, opened, result


async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    body = head.split(b"\r\n", 1)[0]
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    await writer.drain()
    writer.close()


@asynccontextmanager
async def server(context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    listener = await asyncio.start_server(hello, "127.0.0.1", 0, ssl=context)
    yield listener.sockets[0].getsockname()[1]
    listener.close()


async def get(url: str, trust: Trust | None = None) -> bytes:
    http = HttpClient(5, trust or Trust())
    try:
        body: bytes = await (await http.request("GET", Target(url), [])).read()
    finally:
        http.close()
    return body


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


async def test_an_authority_of_ones_own_is_trusted_by_option_only(
    authority: trustme.CA, tmp_path: Path
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with server(context) as port:
        with pytest.raises(NotConnectedError, match="not trusted"):
            await get(f"https://localhost:{port}/")
        assert await get(f"https://localhost:{port}/", Trust(tmp_path / "ca.pem")) == b"GET / HTTP/1.1"
        with pytest.raises(NotConnectedError, match="not trusted"):
            await get(f"https://127.0.0.1:{port}/", Trust(tmp_path / "ca.pem"))


async def test_a_client_certificate_is_shown(authority: trustme.CA, tmp_path: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    mine = authority.issue_cert("client")
    mine.private_key_and_cert_chain_pem.write_to_path(tmp_path / "mine.pem")
    async with server(context) as port:
        trust = Trust(tmp_path / "ca.pem", tmp_path / "mine.pem")
        assert await get(f"https://localhost:{port}/", trust) == b"GET / HTTP/1.1"
        with pytest.raises(ClientError):
            await get(f"https://localhost:{port}/", Trust(tmp_path / "ca.pem"))


async def test_a_file_that_is_no_certificate_ends_the_start(run: Run, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    finished = await run("https://localhost:1/mcp", "--ca-file", str(tmp_path / "ca.pem"))
    assert finished.status == 1
    assert str(tmp_path / "ca.pem") in finished.stderr


class SocksProxy:
    """RFC 1928 with RFC 1929, as much as a client meets; every name is this machine."""

    def __init__(self, login: bytes | None) -> None:
        self.login = login
        self.asked: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, count = await reader.readexactly(2)
        offered = await reader.readexactly(count)
        wanted = 0 if self.login is None else 2
        writer.write(bytes([5, wanted if wanted in offered else 0xFF]))
        if self.login is not None:
            name = await reader.readexactly((await reader.readexactly(2))[1])
            password = await reader.readexactly((await reader.readexactly(1))[0])
            good = name + b":" + password == self.login
            writer.write(bytes([1, 0 if good else 1]))
            if not good:
                writer.close()
                return
        *_, kind = await reader.readexactly(4)
        assert kind == 3, "the proxy looks names up, not this machine"
        host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        port = int.from_bytes(await reader.readexactly(2))
        self.asked.append(f"{host}:{port}")
        there_reads, there_writes = await asyncio.open_connection("127.0.0.1", port)
        writer.write(bytes([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]))
        there_writes.write(await reader.readuntil(b"\r\n\r\n"))
        writer.write(await there_reads.read())
        there_writes.close()
        writer.close()


@pytest.mark.parametrize("login", [None, b"me:p@ss"])
async def test_a_socks_proxy_is_gone_through(login: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = SocksProxy(login)
    listener = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    user = "me:p%40ss@" if login else ""
    address = f"socks5h://{user}127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    for name in ("no_proxy", "NO_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALL_PROXY", address)
    async with server() as port:
        assert await get(f"http://mcp.example:{port}/x") == b"GET /x HTTP/1.1"
        assert proxy.asked == [f"mcp.example:{port}"]
        if login:
            monkeypatch.setenv("ALL_PROXY", address.replace("ss@", "@"))
            with pytest.raises(NotConnectedError, match="proxy"):
                await get(f"http://mcp.example:{port}/x")
    listener.close()


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate), ("identity", bytes)],
)
async def test_coded_answers_are_read_and_other_codings_asked_not_to_be_sent(
    coding: str, pack: Callable[[bytes], bytes], serve: Serve
) -> None:
    async def handler(request: Request, message: JsonRpc) -> Response:
        if usual := await legacy(request, message):
            return usual
        plain = bytes(result(message, {"text": "ä" * 3_000_000}).body)
        return Response(pack(plain), headers={"Content-Encoding": coding}, media_type="application/json")

    script = Script(handler)
    async with bridged(serve(script) + "/mcp") as host:
        assert len((await host.ask(1, "x"))["result"]["text"]) == 3_000_000
    asked = {part.partition(";")[0].strip() for part in script.headers("x")["accept-encoding"].split(",")}
    assert asked == {"identity", "gzip", "deflate"}


async def test_a_coding_nobody_asked_for_is_said(serve: Serve) -> None:
    async def handler(request: Request, message: JsonRpc) -> Response:
        return await legacy(request, message) or Response(b"x", headers={"Content-Encoding": "br"})

    async with bridged(serve(Script(handler)) + "/mcp") as host:
        assert "content coding br" in (await host.ask(1, "x"))["error"]["message"]


async def test_an_answer_that_inflates_beyond_the_cap_is_refused(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcp_streamablehttp_client.http1.response import Response as Answer

    read = Answer.read
    monkeypatch.setattr(Answer, "read", lambda self, limit=1_000_000: read(self, limit))
    bomb = gzip.compress(b" " * 50_000_000)

    async def handler(request: Request, message: JsonRpc) -> Response:
        return await legacy(request, message) or Response(
            bomb, headers={"Content-Encoding": "gzip"}, media_type="application/json"
        )

    async with bridged(serve(Script(handler)) + "/mcp") as host:
        assert "longer than" in (await host.ask(1, "x"))["error"]["message"]


async def test_this_client_says_who_it_is(serve: Serve) -> None:
    async def handler(request: Request, message: JsonRpc) -> Response:
        return await legacy(request, message) or result(message, {})

    script = Script(handler)
    async with bridged(serve(script) + "/mcp"):
        pass
    for _, headers, _ in script.requests:
        assert headers["user-agent"].startswith("mcp-streamablehttp-client/")


async def test_a_load_balancers_cookie_is_sent_back(serve: Serve) -> None:
    async def handler(request: Request, message: JsonRpc) -> Response:
        if message and message.get("method") == "initialize":
            answer = opened(message)
            answer.set_cookie("lb", "node-2", path="/", httponly=True)
            return answer
        return await legacy(request, message) or result(message, {"cookie": request.headers.get("cookie")})

    async with bridged(serve(Script(handler)) + "/mcp") as host:
        assert (await host.ask(1, "x"))["result"] == {"cookie": "lb=node-2"}


def test_cookies_end_and_are_bounded() -> None:
    cookies = Cookies()
    cookies.take(["a=1; Path=/; Secure", "b=2", "c=" + "x" * 5000, "no cookie at all"])
    assert cookies.header() == [("Cookie", "a=1; b=2")]
    cookies.take(["a=; Max-Age=0", "b=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"])
    assert cookies.header() == []
    cookies.take([f"n{number}=1" for number in range(1000)])
    assert len(cookies.header()[0][1].split(";")) == 50


async def test_a_token_and_every_setting_may_come_from_the_environment(
    oauth: OAuth, run: Run, environment: dict[str, str], tmp_path: Path
) -> None:
    await run("login", oauth.url)
    (path,) = Path(environment["CREDENTIAL_STORAGE_PATH"]).glob("tokens-*.json")
    token = json.loads(path.read_text())["access_token"]
    elsewhere = {"CREDENTIAL_STORAGE_PATH": str(tmp_path / "elsewhere"), "MCP_SERVER_URL": oauth.url}
    finished = await run("tools", oauth.url, env=elsewhere | {"MCP_ACCESS_TOKEN": token})
    assert finished.status == 0
    assert "add a=integer" in finished.stdout
