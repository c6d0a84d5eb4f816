"""What a gateway can suffer from: how it is noticed, the rule, and the cure. The doctor says these, and the
page on troubles lists them (`TROUBLES`)."""

from __future__ import annotations

from dataclasses import asdict, replace

from mcp_oauth_dynamicclient._common.hop import Verdict as Finding
from mcp_oauth_dynamicclient.troubles import TROUBLES as OF_AUTH
from mcp_oauth_dynamicclient.troubles import Trouble
from mcp_streamablehttp_client._common.hop import Verdict

RETRY = "connect the client anew; it signs in and gets a token of today"


def as_typed_here(cure: str) -> str:
    """The authorization server's commands, as they are typed in this folder."""
    return cure.replace("mcp-oauth-server ", "./justw auth ")


def as_here(verdict: Finding) -> Verdict:
    """What the authorization server says of itself."""
    return Verdict(**{**asdict(verdict), "cure": as_typed_here(verdict.cure)})


TROUBLES: dict[str, Trouble] = {
    "not running": Trouble(
        "process",
        "every address refuses the connection",
        "the gateway runs as long as its processes do",
        "./justw run starts it",
    ),
    "not up": Trouble(
        "process",
        "every address refuses the connection",
        "the gateway runs as long as its containers do",
        "./justw up starts it",
    ),
    "no container": Trouble(
        "process",
        "404 or 503 at its address",
        "every service that .env asks for has a container",
        "./justw up starts it; ./justw logs {name} says why it did not",
    ),
    "auth is away": Trouble(
        "authorization server",
        "503 at every address",
        "without the authorization server nobody passes the gate",
        "./justw logs auth says why; ./justw restart auth auth-2",
    ),
    "starting": Trouble(
        "process",
        "addresses answer 404 or 503 for the first seconds",
        "the gateway serves once every health check was answered",
        "wait until `./justw status` shows it healthy; ./justw logs says what it waits for",
        "warning",
    ),
    "process ended": Trouble(
        "process",
        "503, or no answer, for some seconds or for good",
        "every process of the gateway runs; one that ended is started again after a pause",
        "./justw logs {name} says why it ended; ./justw restart starts all anew",
    ),
    "process was started again": Trouble(
        "process",
        "requests failed for some seconds",
        "every process of the gateway runs without end",
        "./justw logs {name} says why it ended; memory (dmesg) and limits are the usual reasons",
        "warning",
    ),
    "process is stopped": Trouble(
        "process",
        "requests hang, then 503 or 504",
        "a process that was sent SIGSTOP answers nobody",
        "kill -CONT {pid} lets it go on; ./justw restart ends it and starts all anew",
    ),
    "container is paused": Trouble(
        "process",
        "requests hang, then 503 or 504",
        "a container that is paused answers nobody",
        "docker unpause {container}",
    ),
    "container is unwell": Trouble(
        "process",
        "503, or no answer",
        "every container's health check succeeds",
        "./justw logs {name} says why; ./justw restart {name}",
    ),
    "settings changed": Trouble(
        "process",
        "a change of .env or of a file has no effect",
        "a container runs with what it was started with",
        "./justw up starts it with what is set now",
        "warning",
    ),
    "engine": Trouble(
        "process",
        "no command of docker answers",
        "the containers are the Docker engine's",
        "start the engine (systemctl start docker), and let this user ask it (the group docker)",
    ),
    "process hangs": Trouble(
        "process",
        "requests hang, then 503 or 504",
        "GET /health is answered within seconds",
        "./justw restart starts all anew; ./justw logs {name} says what it did last",
    ),
    "port": Trouble(
        "port",
        "connection refused at the gateway's own port",
        "RFC 9293 §3.5",
        "./justw restart; is the port taken by another program, choose another: PORT=9000 ./justw run, or "
        "HTTP_PORT in .env",
    ),
    "edge": Trouble(
        "edge",
        "404 or 502 at every address",
        "the edge leads /.well-known/oauth-authorization-server to the authorization server",
        "./justw logs traefik says which rule it could not read; ./justw restart",
    ),
    "PUBLIC_URL": Trouble(
        "url",
        "clients cannot connect, or the sign-in page does not open",
        "RFC 8414 §3.3: the issuer is the address that clients reach it at",
        "set PUBLIC_URL to the address that clients use, and start again; this run's own is {local}",
    ),
    "no certificate": Trouble(
        "tls",
        "browsers and clients refuse the certificate as self-signed",
        "the certificate authority certifies a name that leads here, once it reached this edge at port 443",
        "let {host} lead to this machine, and its ports 80 and 443 be reached from the internet; "
        "./justw logs traefik says what the authority answered",
    ),
    "https to an http port": Trouble(
        "tls",
        "clients say wrong version number, or SSL record layer failure",
        "RFC 9110 §4.2.2: an https address needs TLS at its port",
        "use {plain} (PUBLIC_URL={plain}), or put TLS in front (docs: tunnel, server)",
    ),
    "disk": Trouble(
        "disk",
        "sign-ins fail with 503, logs stop",
        "the store and the logs need room",
        "make room in the file system of {folder}",
    ),
    "folder": Trouble(
        "disk",
        "sign-ins fail with 503",
        "the store's folder and file are writable by whoever runs the gateway",
        "give {folder} to the user who runs the gateway (chown), and start it again",
    ),
    "store is locked": Trouble(
        "store",
        "sign-ins and tokens are answered 503; calls go on for a while",
        "SQLite: one writer at a time; a lock is held for milliseconds",
        "end what holds the database {file} open: {holders}",
    ),
    "no pass": Trouble(
        "token",
        "nothing by itself: the doctor cannot look further",
        "a token is for an address of the gateway that makes it, and needs its store",
        "./justw up, if .env was changed since; else ./justw logs auth",
    ),
    "clock": Trouble(
        "clock",
        "fresh tokens are refused as expired, or codes are",
        "RFC 9110 §6.6.1; tokens count in seconds (RFC 7519 §4.1.4)",
        "let both machines follow a time server (NTP): timedatectl set-ntp true",
    ),
    "server missing": Trouble(
        "server",
        "the server's address answers 404, 502 or 503, or its tools do not appear",
        "the program that the entry names is installed where the gateway looks (PATH)",
        "install it, or correct the entry's command; ./justw logs {name}",
    ),
    "server exits": Trouble(
        "server",
        "connecting works, and the first call fails",
        "a stdio server runs until its input ends",
        "run its command by hand and read what it says: {command}; ./justw logs {name}",
    ),
    "server": Trouble(
        "server",
        "connecting works, and the first call fails",
        "MCP, Lifecycle: initialize and tools/list are answered",
        "./justw logs {name} says why",
    ),
    "audience open": Trouble(
        "audience",
        "nothing: that is the danger",
        "RFC 8707 §2: a token opens one server",
        "report it: this must never be",
    ),
    "token expired": Trouble(
        "token",
        "a client is refused with 401 until it renews its token",
        "RFC 6750 §3.1; clients renew with the refresh token on 401",
        f"{RETRY}, if it does not do so by itself; check its machine's clock",
        "warning",
    ),
    "token unknown": Trouble(
        "token",
        "a client is refused with 401 for ever",
        "RFC 6750 §3.1: a token is signed with a key of this gateway's",
        f"{RETRY}; if many are refused, the database was wiped or GATEWAY_SECRET changed: restore them",
        "warning",
    ),
    "token forged": Trouble(
        "token",
        "a client is refused with 401 for ever",
        "RFC 6750 §3.1: the signature is checked at every request",
        "somebody changed or invented a token; if it was a client of yours, connect it anew",
        "warning",
    ),
    "token revoked": Trouble(
        "token",
        "a client is refused with 401 until it signs in again",
        "RFC 7009: a revoked token is refused at the next request",
        RETRY,
        "warning",
    ),
    "wrong audience": Trouble(
        "audience",
        "a client is refused with 401 at one server, and not at another",
        "RFC 8707 §2: a token opens the one server it was issued for",
        "let the client sign in at this server too; it must send `resource` with the server's address",
        "warning",
    ),
    "cookie lost": Trouble(
        "cookie",
        "the sign-in ends with: Your browser did not send our cookie",
        "the browser that approved is the one that signs in",
        "allow cookies for the gateway's host, use one address of it throughout (localhost is not "
        "127.0.0.1), and no browser inside an app; then start again",
        "warning",
    ),
}
TROUBLES |= {key: replace(known, cure=as_typed_here(known.cure)) for key, known in OF_AUTH.items()}


def trouble(key: str, what: str, said: str = "", **found: object) -> Verdict:
    """The verdict; `found` is what its cure speaks of."""
    return as_here(TROUBLES[key].found(what, said, **found))
