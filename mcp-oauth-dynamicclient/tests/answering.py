"""A network for httpx that connects nowhere and answers all the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import h11
import httpcore
import httpx

Answer = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]


class Answering(httpcore.AsyncNetworkBackend):
    """A network that connects nowhere: each connection is answered by a function, which is given the request
    with the address that was connected to in its URL and the name that TLS was asked for."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.AsyncNetworkStream:
        return Answered(self._answer, f"{host}:{port}" if port != 443 else host)


class Answered(httpcore.AsyncNetworkStream):
    def __init__(self, answer: Answer, address: str) -> None:
        self._answer = answer
        self._address = address
        self._name: str | None = None
        self._server = h11.Connection(h11.SERVER)
        self._out = b""

    async def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        self._name = server_hostname
        return self

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._server.receive_data(buffer)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if not self._out and self._server.our_state is h11.IDLE:
            self._out = await self._respond()
        found, self._out = self._out[:max_bytes], self._out[max_bytes:]
        return found

    async def aclose(self) -> None:
        """Nothing was opened."""

    async def _respond(self) -> bytes:
        asked = self._server.next_event()
        assert isinstance(asked, h11.Request)
        url = f"https://{self._address}{asked.target.decode()}"
        headers = [(name.decode(), value.decode()) for name, value in asked.headers]
        request = httpx.Request(
            asked.method.decode(), url, headers=headers, extensions={"sni_hostname": self._name}
        )
        answer = self._answer(request)
        answer = answer if isinstance(answer, httpx.Response) else await answer
        body = b"".join([chunk async for chunk in answer.stream])  # type: ignore[union-attr]  # as it was given
        kept = [pair for pair in answer.headers.raw if pair[0].lower() != b"content-length"]
        head = h11.Response(
            status_code=answer.status_code, headers=[*kept, (b"content-length", str(len(body)).encode())]
        )
        parts = (self._server.send(part) for part in (head, h11.Data(body), h11.EndOfMessage()))
        return b"".join(part or b"" for part in parts)
