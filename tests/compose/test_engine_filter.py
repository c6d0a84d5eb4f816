"""What the edge can do to the machine through the Docker engine: nothing. Tried from its own network."""

from __future__ import annotations

import json

import pytest

from tests.compose.stack import SHAPES, Stack

pytestmark = [
    pytest.mark.compose,
    pytest.mark.timeout(1200),
    pytest.mark.parametrize("stack", SHAPES[:1], indirect=True, scope="session"),
]

CLIENT = """
import json, socket, sys
for request in json.load(sys.stdin):
    with socket.create_connection(("engine", 2375), timeout=5) as connection:
        connection.settimeout(2)
        connection.sendall(request.encode("latin-1"))
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
        except TimeoutError:
            pass
    print(json.dumps(answer.decode("latin-1")))
"""


def ask(stack: Stack, *requests: str) -> list[str]:
    """What the filter answers to raw requests from its own network, where Traefik is too."""
    done = stack.engine.docker(
        "run", "--rm", "--interactive", f"--network={stack.project}_engine", "--entrypoint=python3",
        stack.inspect("engine", "{{.Image}}"), "-c", CLIENT, stdin=json.dumps(requests),
    )  # fmt: skip
    return [json.loads(line) for line in done.splitlines()]


def get(path: str) -> str:
    return f"GET {path} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n"


def post(path: str, content: object = None, method: str = "POST") -> str:
    body = json.dumps(content)
    return (
        f"{method} {path} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )


def status(answer: str) -> int:
    return int(answer.split(" ", 2)[1])


def content(answer: str) -> str:
    return answer.partition("\r\n\r\n")[2]


def test_nothing_can_be_created_started_or_removed(stack: Stack) -> None:
    server = stack.container("time")
    container = {"Image": "x", "HostConfig": {"Binds": ["/:/host"], "Privileged": True}}
    attacks = [
        post("/v1.41/volumes/create", {"Name": "stolen"}),
        post("/volumes/create", {"Name": "stolen"}),
        post("/v1.41/containers/create?name=stolen", container),
        post(f"/v1.41/containers/{server}/exec", {"Cmd": ["id"], "AttachStdout": True}),
        post(f"/v1.41/containers/{server}/stop"),
        post(f"/v1.41/containers/{server}/json"),
        post("/v1.41/containers/json"),
        post("/v1.41/build?dockerfile=x"),
        post("/session"),
        post(f"/v1.41/containers/{server}", method="DELETE"),
        post("/v1.41/volumes/create", {"Name": "stolen"}, method="GET"),
        post("/v1.41/containers/json", method="PUT"),
        # A second request inside the first one's body.
        get("/version").replace("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n") + post("/volumes/create", {}),
        "GET /version HTTP/1.1\r\nHost: engine\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        + post("/volumes/create", {"Name": "stolen"}),
        get("/version").replace("Connection: close", "Connection: Upgrade\r\nUpgrade: tcp"),
        get("/version\r\nX-HTTP-Method-Override: POST"),
    ]
    answers = ask(stack, *attacks)
    assert [status(answer) for answer in answers[:14]] == [501] * 10 + [403, 501, 403, 403]
    assert "101" not in answers[14].splitlines()[0]
    assert not any("stolen" in answer for answer in answers)
    assert "stolen" not in stack.engine.docker("volume", "ls") + stack.engine.docker("ps", "--all")
    assert stack.inspect("time", "{{.State.Running}}") == "true"


def test_no_secret_and_no_other_container_can_be_inspected(stack: Stack) -> None:
    hidden = [stack.container(name) for name in ("auth", "auth-2", "redis", "traefik", "engine")]
    attacks = [
        *(get(f"/v1.41/containers/{name}/json") for name in hidden),
        *(
            get(f"/v1.41/containers/{hidden[0]}/{what}")
            for what in ("top", "logs", "archive?path=/", "export")
        ),
        get(f"/v1.41/containers/{hidden[0][:12]}/json"),
        get(f"/v1.41/containers/{stack.project}-auth-1/json"),
        get(f"/v1.41/containers/{stack.container('time')}/../{hidden[0]}/json"),
        get(f"/v1.41/containers/{stack.container('time')}/..%2f{hidden[0]}/json"),
        get(f"//containers/{hidden[0]}/json"),
        get(f"http://engine/containers/{hidden[0]}/json"),
        *(
            get(f"/v1.41/{what}")
            for what in ("secrets", "configs", "info", "images/json", "volumes", "networks")
        ),
        get("/v1.41/containers/json?all=1&filters={}/../../volumes"),
    ]
    answers = ask(stack, *attacks)
    listed = json.loads(content(answers.pop()))
    assert {status(answer) for answer in answers} == {403, 404}
    assert len(listed) == 4
    assert {one["Id"] for one in listed}.isdisjoint(hidden)
    secrets = [value for value in stack.secrets.values() if value]
    assert not any(secret in answer for answer in answers for secret in secrets)


def test_of_a_server_only_what_routing_needs_is_told(stack: Stack) -> None:
    (answer,) = ask(stack, get(f"/v1.41/containers/{stack.container('time')}/json?size=1"))
    told = json.loads(content(answer))
    assert told["Name"] == f"/{stack.project}-time-1"
    assert set(told) == {"Id", "Name", "Created", "State", "Config", "HostConfig", "NetworkSettings"}
    assert set(told["Config"]) == {"Labels"}
    assert set(told["HostConfig"]) == {"NetworkMode"}
    assert told["State"] == {"Status": "running", "Running": True, "Health": {"Status": "healthy"}}


def test_events_tell_of_exposed_servers_only_and_no_commands(stack: Stack) -> None:
    stack.python("time", "print('a command that an event would tell')")
    since = stack.inspect("time", "{{.State.StartedAt}}")
    (answer,) = ask(stack, get(f"/v1.41/events?since={since}&until=9999999999"))
    assert status(answer) == 200
    assert "print" not in answer
