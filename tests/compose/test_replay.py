"""How one server's container once spoke as anybody to the others: replayed from every container."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest

from tests.compose.stack import SHAPES, Stack
from tests.compose.tokens import access_token
from tests.messages import INITIALIZE

pytestmark = [
    pytest.mark.compose,
    pytest.mark.timeout(1200),
    pytest.mark.parametrize("stack", SHAPES[:1], indirect=True, scope="session"),
]
SERVERS = ("echo-stateful", "echo-stateless", "fetch", "time")
NOT_AMONG_THE_SERVERS = ("auth", "auth-2")

SAY = """
import http.client, json, socket
def ask(host, port, method, path, headers, body):
    try:
        connection = http.client.HTTPConnection(host, port, timeout=60)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return [answer.status, answer.read().decode("latin-1")]
    except socket.gaierror:
        return ["no such name", ""]
    except OSError as error:
        return [type(error).__name__, ""]
print(json.dumps([ask(*request) for request in {requests!r}]))
"""
Request = tuple[str, int, str, str, dict[str, str], str]


def say(stack: Stack, service: str, *requests: Request) -> list[tuple[int | str, str]]:
    """What requests from inside a service's container are answered."""
    return [
        (status, text) for status, text in json.loads(stack.python(service, SAY.format(requests=requests)))
    ]


def call(stack: Stack, server: str, **headers: str) -> Request:
    usual = {
        "Host": urlsplit(stack.server(server)).netloc,
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "X-User-Id": "local:admin",
        "X-User-Name": "admin",
    }
    return (server, 3000, "POST", "/mcp", {**usual, **headers}, json.dumps(INITIALIZE))


@pytest.mark.parametrize("container", [*SERVERS, *NOT_AMONG_THE_SERVERS])
def test_isolation_nobody_speaks_for_somebody_to_another_server(stack: Stack, container: str) -> None:
    forged = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJsb2NhbDphZG1pbiJ9."
    requests = [
        *(call(stack, server) for server in SERVERS),
        *(call(stack, server, **{"X-Gateway-Identity": forged}) for server in SERVERS),
        *(call(stack, server, **{"X_Gateway_Identity": forged}) for server in SERVERS),
    ]
    answers = say(stack, container, *requests)
    expected = "no such name" if container in NOT_AMONG_THE_SERVERS else 403
    assert {status for status, _ in answers} == {expected}
    assert not any("serverInfo" in text for _, text in answers)


def test_isolation_a_statement_made_for_one_server_opens_no_other(stack: Stack) -> None:
    statement = access_token(stack, stack.server("time"), what="statement")
    stolen = {"X-Gateway-Identity": statement}
    answers = dict(
        zip(SERVERS, say(stack, "time", *(call(stack, server, **stolen) for server in SERVERS)), strict=True)
    )
    assert answers.pop("time")[0] == 200  # so the statement itself is sound
    assert {status for status, _ in answers.values()} == {403}


@pytest.mark.parametrize("container", SERVERS)
def test_isolation_a_server_reaches_neither_the_edges_api_nor_the_gates_question(
    stack: Stack, container: str
) -> None:
    nothing: dict[str, str] = {}
    asked: list[Request] = [
        ("traefik", 8090, "GET", "/api/http/routers", nothing, ""),
        ("traefik", 8090, "GET", "/api/rawdata", {"X-Edge-Secret": "guess"}, ""),
        ("traefik", 8090, "GET", "/verify", nothing, ""),
        ("traefik", 8090, "GET", "/internal/identity/../../metrics", nothing, ""),
        ("traefik", 8083, "GET", "/verify", nothing, ""),
        ("traefik", 8090, "POST", "/register", {"Content-Type": "application/json"}, "{}"),
    ]
    answers = say(stack, container, *asked)
    assert {status for status, _ in answers} <= {404, 400, "ConnectionRefusedError"}
    assert answers[4][0] == "ConnectionRefusedError"
    (keys,) = say(stack, container, ("traefik", 8090, "GET", "/internal/identity/keys", nothing, ""))
    assert keys[0] == 200
    assert '"d"' not in keys[1]
