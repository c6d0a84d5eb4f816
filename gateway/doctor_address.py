"""What the doctor sees of public addresses: names, connections, certificates, whose metadata answers, and the
clock there."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
from cryptography.x509 import load_der_x509_certificate
from mcp_streamablehttp_client._common import hop_checks as check
from mcp_streamablehttp_client._common import hop_checks_oauth as oauth
from mcp_streamablehttp_client._common.hop import Verdict, wrong

from .doctor_ask import CONNECT_SECONDS, Asks, Client, said_of
from .doctor_troubles import trouble

MADE_BY_THE_EDGE = ("CN=mcp-oauth-gateway", "CN=TRAEFIK DEFAULT CERT")
"""Who issued the certificate that the edge shows for want of another: by traefik/dynamic.yml, or Traefik."""


async def check_public_address(issuer: str, local: str) -> AsyncIterator[Verdict]:
    """Name, connection and certificate of the issuer. `local` is where this gateway itself answers."""
    parts = urlsplit(issuer)
    host, port = parts.hostname or "", port_of(issuer)
    cure = f"the gateway itself answers at {local}"
    verdict = await check_name(host)
    if verdict.state == "wrong":
        yield trouble("PUBLIC_URL", f"{verdict.what}; {cure}", verdict.said, local=local)
        return
    yield verdict
    try:
        _, writer = await asyncio.wait_for(
            asyncio.open_connection(host, port, happy_eyeballs_delay=0.3), CONNECT_SECONDS
        )
        writer.close()
    except (OSError, TimeoutError) as problem:
        what = f"nobody answers at {issuer}; {cure}"
        yield trouble("PUBLIC_URL", what, str(problem) or "no answer in time", local=local)
        return
    yield check.check_connection(host, port)
    if parts.scheme != "https":
        return
    verdict = await check_certificate(host, host, port)
    plain = f"http://{parts.netloc}"
    # An edge may begin TLS at a plain port all the same, with a certificate that it made for itself.
    if verdict.state == "wrong" and ("plain http" in verdict.cure or await _speaks_http(plain)):
        what = f"{issuer} is https, and that port speaks plain http"
        verdict = trouble("https to an http port", what, verdict.said, plain=plain)
    yield verdict


def port_of(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


async def check_name(host: str) -> Verdict:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as problem:
        return check.check_names(host, (), problem.strerror or said_of(problem))
    return check.check_names(host, sorted({str(address[0]) for *_, address in found}))


async def check_certificate(name: str, host: str, port: int) -> Verdict:
    """The verdict on the certificate for a name that is served at a host and port: chain, name and end."""
    try:
        session = await _session(name, host, port, ssl.create_default_context())
    except (OSError, TimeoutError) as problem:
        return check.check_tls(name, problem=str(problem) or "no answer in time")
    ends = (session.getpeercert() or {}).get("notAfter")
    ends_at = ssl.cert_time_to_seconds(ends) if isinstance(ends, str) else None
    return check.check_tls(name, version=session.version() or "", ends_at=ends_at, now=time.time())


async def check_edges_certificate(name: str, host: str, port: int) -> Verdict:
    """The same of this machine's own edge, which gets its certificates itself."""
    verdict = await check_certificate(name, host, port)
    if verdict.state != "wrong":
        return verdict
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    try:
        shown = (await _session(name, host, port, anyone)).getpeercert(binary_form=True)
    except (OSError, TimeoutError):
        return verdict
    if shown is None or load_der_x509_certificate(shown).issuer.rfc4514_string() not in MADE_BY_THE_EDGE:
        return verdict
    return trouble("no certificate", f"the edge has no certificate for {name}", verdict.said, host=name)


async def _session(name: str, host: str, port: int, context: ssl.SSLContext) -> ssl.SSLObject:
    """Of a connection that is closed again. Raises OSError or TimeoutError."""
    _, writer = await asyncio.wait_for(
        asyncio.open_connection(host, port, ssl=context, server_hostname=name, happy_eyeballs_delay=0.3),
        CONNECT_SECONDS,
    )
    session: ssl.SSLObject = writer.get_extra_info("ssl_object")
    writer.close()
    return session


async def _speaks_http(origin: str) -> bool:
    """Whether the authorization server's metadata is had there without TLS."""
    try:
        async with Client() as client:
            reply = await client.ask("GET", f"{origin}/.well-known/oauth-authorization-server")
    except (httpx.HTTPError, TimeoutError):
        return False
    return reply.status == 200 and reply.document is not None


async def check_issuer(client: Asks, issuer: str, local: str) -> Verdict:
    where = f"{issuer}/.well-known/oauth-authorization-server"
    try:
        verdict = oauth.check_issuer(issuer, where, await client.ask("GET", where))
    except (httpx.HTTPError, TimeoutError) as problem:
        return wrong(
            "issuer", f"{where} does not answer", "RFC 8414 §3", "see the edge's log", said_of(problem)
        )
    if verdict.state == "wrong" and "503" not in verdict.what:
        return trouble("PUBLIC_URL", f"{issuer} is another's: {verdict.what}", verdict.said, local=local)
    return verdict


def check_clock(date: str | None) -> Verdict:
    """The verdict on the clock, by the Date header of an answer that just came."""
    verdict = check.check_clock(date, time.time(), whose="the gateway")
    return trouble("clock", verdict.what) if verdict.state == "wrong" else verdict
