"""Command lines of every kind: an exit status, a sentence, and no traceback, whatever is typed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp.server import MCPServer
from mcp_streamablehttp_client.cli import NAME, commands
from mcp_streamablehttp_client.errors import ClientError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .support import JsonRpc, serving
from .test_transport import Script, opened


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = MCPServer("fuzzed")

    @server.tool()
    def order(sizes: list[int], note: str = "", options: dict[str, bool] | None = None) -> str:
        return json.dumps([sizes, note, options])

    @server.resource("note://{name}")
    def note(name: str) -> str:
        return name

    @server.prompt()
    def greet(name: str) -> str:
        return f"Greet {name}"

    with serving(lambda _: server.streamable_http_app()) as origin:
        yield f"{origin}/mcp"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


text = st.text(max_size=12) | st.sampled_from(
    ["", "-", "--", "@", "=", ":=", "{}", "[", "NaN", "1e999", "\x00"]
)
keys = st.sampled_from(["sizes", "note", "options", "name", ""]) | text
values = text | st.sampled_from(
    ["5", "[1]", "true", "null", '{"a": true}', "@/nowhere", "[" * 5000, "9" * 5000, '"\\ud800"', "\udcff"]
)
arguments = st.tuples(keys, st.sampled_from(["=", ":=", ""]), values).map("".join) | text
names = st.sampled_from(["order", "greet", "note://x", "prompt:greet"]) | text
talking = st.tuples(
    st.sampled_from(["call", "read", "prompt", "complete", "raw", "tools", "resources", "prompts", "doctor"]),
    st.lists(names, max_size=1),
    st.lists(arguments, max_size=3),
    st.lists(
        st.sampled_from(["--json", "--unchecked", "--timeout=5", "--protocol=2025-11-25", "--help"]),
        max_size=2,
        unique=True,
    ),
).map(lambda parts: (parts[0], [*parts[1], *parts[2], *parts[3]]))
anything = st.lists(text | st.sampled_from(["status", "logout", "client", "show", "completion", "uninstall"]))


def typed(words: list[str], place: Path, stdin: bytes = b"") -> tuple[int, str, str]:
    """What a command line ends with; raises what a person would see as `unexpected`."""
    environment = {"CREDENTIAL_STORAGE_PATH": str(place), "HOME": str(place), "BROWSER": "true"}
    done = CliRunner(env=environment).invoke(commands, words, input=stdin, prog_name=NAME)
    if isinstance(done.exception, ClientError):
        return 1, done.stdout, f"{NAME}: {done.exception}"
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(line=talking, stdin=st.binary(max_size=20))
def test_a_command_at_a_server(line: tuple[str, list[str]], stdin: bytes, url: str, place: Path) -> None:
    command, rest = line
    status, printed, said = typed([command, url, *rest], place, stdin)
    assert status in (0, 1, 2)
    if status == 2:
        assert printed == ""
        assert "Error: " in said
    elif status == 0 and "--help" not in rest and ("--json" in rest or command == "raw"):
        json.loads(printed)
    elif status == 1 and command != "doctor" and not printed:
        assert said.strip()


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(words=anything)
def test_a_command_line_of_any_words(words: list[str], place: Path) -> None:
    if words[:1] and words[0].startswith(("http://", "https://")):
        return
    status, _, _ = typed(words, place)
    assert status in (0, 1, 2)


MEMBERS = (
    "tools name inputSchema properties required type $ref anyOf items description "
    "content text data mimeType isError structuredContent resource resources uri "
    "resourceTemplates uriTemplate contents blob prompts arguments messages role "
    "completion values total hasMore"
)
members = st.sampled_from(MEMBERS.split())
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text
odd = st.recursive(
    leaves | st.sampled_from(["text", "image", "resource", "resource_link", "#/properties/a", "order", "t"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(members, inner, max_size=4),
    max_leaves=25,
)
results = st.fixed_dictionaries(
    {},
    optional={
        "tools": st.lists(st.fixed_dictionaries({"name": st.just("t")}, optional={"inputSchema": odd}) | odd)
        | odd,
        "content": odd,
        "isError": odd,
        "structuredContent": odd,
        "resources": odd,
        "resourceTemplates": odd,
        "contents": odd,
        "prompts": odd,
        "messages": odd,
        "completion": odd,
    },
)


class Odd(Script):
    """A server whose every result is the same nonsense."""

    def __init__(self) -> None:
        super().__init__(self.answer)
        self.result: JsonRpc = {}

    async def answer(self, request: Request, message: JsonRpc) -> Response:
        if message is None:
            return Response(status_code=405)
        if message["method"] == "initialize":
            return opened(message, session=None)
        if "id" not in message:
            return Response(status_code=202)
        return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": self.result})


@pytest.fixture(scope="module")
def odd_server() -> Iterator[tuple[Odd, str]]:
    server = Odd()
    with serving(lambda _: server) as origin:
        yield server, f"{origin}/mcp"


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    result=results,
    words=st.sampled_from(
        (
            *(["tools"], ["call", "t"], ["call", "t", "a=1", "--unchecked"], ["read", "x:y"], ["resources"]),
            *(["prompts"], ["prompt", "p"], ["complete", "prompt:p", "a=b"], ["raw", "tools/list"]),
        )
    ),
    as_json=st.booleans(),
)
def test_a_server_that_answers_nonsense(
    result: JsonRpc, words: list[str], as_json: bool, odd_server: tuple[Odd, str], place: Path
) -> None:
    server, url = odd_server
    server.result = result
    command, *rest = words
    as_json = as_json and command != "raw"
    line = [command, url, *rest, "--protocol=2025-11-25", *(["--json"] if as_json else [])]
    status, printed, said = typed(line, place)
    assert status in (0, 1)
    if printed and (as_json or command == "raw"):
        json.loads(printed)
    assert "\x1b" not in printed + said
