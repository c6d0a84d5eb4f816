"""The commands for people: what they print and how they end."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from mcp.server import MCPServer
from mcp.server.mcpserver import Image
from mcp_streamablehttp_client.cli import NAME, commands
from mcp_streamablehttp_client.errors import ClientError
from mcp_types import (
    Completion,
    CompletionArgument,
    CompletionContext,
    PromptReference,
    ResourceTemplateReference,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .oauth_server import OAuth
from .support import COMMAND, Finished, Json, JsonRpc, Run, Serve, serving


@pytest.fixture
def here(environment: dict[str, str]) -> Run:
    """A command in this process: importing the SDK costs a second, `run` pays it each time."""

    async def start(*words: str, stdin: bytes = b"") -> Finished:
        def invoke() -> Finished:
            done = CliRunner(env=environment).invoke(commands, words, input=stdin, prog_name=NAME)
            problem = done.exception
            if isinstance(problem, ClientError):  # what main() does with it
                return Finished(1, done.stdout, f"{done.stderr}{NAME}: {problem}\n")
            if problem is not None and not isinstance(problem, SystemExit):
                raise problem
            return Finished(done.exit_code, done.stdout, done.stderr)

        return await asyncio.wait_for(asyncio.to_thread(invoke), 90)

    return start


PIXEL = b"\x89PNG\r\n\x1a\n not really, but nobody looks"


@pytest.fixture(scope="module")
def offers_url() -> Iterator[str]:
    """A server with everything there is to list, read and complete."""
    server = MCPServer("offers")

    @server.tool()
    def picture() -> Image:
        return Image(data=PIXEL, format="png")

    @server.tool()
    def order(sizes: list[int], note: str = "", options: dict[str, bool] | None = None) -> str:
        return json.dumps([sizes, note, options])

    @server.resource("note://today")
    def today() -> str:
        """What is on today."""
        return "Nothing."

    @server.resource("blob://{name}", mime_type="application/x-thing")
    def blob(name: str) -> bytes:
        return name.encode()

    @server.prompt()
    def greet(name: str, style: str = "short") -> str:
        """Greets somebody."""
        return f"Greet {name}, {style}"

    @server.completion()  # type: ignore[no-untyped-call, untyped-decorator]
    async def complete(
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        context: CompletionContext | None,
    ) -> Completion:
        known = ",".join((context.arguments or {}).values()) if context else ""
        values = [word for word in ("Ada", "Alan", f"Al-{known}") if word.startswith(argument.value)]
        return Completion(values=values)

    with serving(lambda _: server.streamable_http_app()) as origin:
        yield f"{origin}/mcp"


async def test_tools_are_listed_with_the_types_of_their_arguments(sdk_url: str, run: Run) -> None:
    finished = await run("tools", sdk_url)
    assert finished.status == 0
    assert "add a=integer b=integer\n    Add two numbers.\n" in finished.stdout


async def test_json_prints_what_the_server_sent(sdk_url: str, here: Run) -> None:
    tools = json.loads((await here("tools", sdk_url, "--json")).stdout)
    assert tools[0]["name"] == "add"


async def test_call_types_the_arguments_and_prints_the_text(sdk_url: str, here: Run) -> None:
    finished = await here("call", sdk_url, "add", "a=2", "b=40")
    assert (finished.status, finished.stdout) == (0, "42\n")


@pytest.mark.parametrize(
    ("words", "stdin"),
    [
        (('{"a": 1, "b": -3}',), b""),
        (("a:=1", "b:=-3"), b""),
        (("-",), b'{"a": 1, "b": -3}'),
        (("@FILE", "b=-3"), b""),
        (("a=@ONE", "b=-3"), b""),
    ],
)
async def test_the_ways_to_give_arguments(
    words: tuple[str, ...], stdin: bytes, sdk_url: str, here: Run, tmp_path: Path
) -> None:
    (tmp_path / "all.json").write_text('{"a": 1}')
    (tmp_path / "one").write_text("1")
    given = [w.replace("FILE", f"{tmp_path}/all.json").replace("ONE", f"{tmp_path}/one") for w in words]
    finished = await here("call", sdk_url, "add", *given, stdin=stdin)
    assert (finished.status, finished.stdout) == (0, "-2\n"), finished


async def test_lists_objects_and_text_are_read_by_the_schema(offers_url: str, here: Run) -> None:
    words = ("sizes=1", "sizes=2", "note=3", 'options={"x": true}')
    finished = await here("call", offers_url, "order", *words)
    assert json.loads(finished.stdout) == [[1, 2], "3", {"x": True}]


async def test_an_error_of_the_tool_is_exit_status_1(sdk_url: str, here: Run) -> None:
    finished = await here("call", sdk_url, "fail")
    assert finished.status == 1
    assert finished.stdout == ""
    assert "fail" in finished.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("nothing",), "it has: add, fail, greet, wait"),
        (("add", "a=1"), "needs b"),
        (("add", "a=1", "b=two"), "b must be of type integer"),
        (("add", "a=1", 'b:="two"'), "b: 'two' is not of type 'integer'"),
        (("add", "a"), "KEY=VALUE"),
        (("add", "@/nowhere"), "Cannot read /nowhere"),
        (("add", "{"), "not JSON"),
        (("add", "a=1", "a=2", "b=3"), "a is given twice"),
    ],
)
async def test_what_is_wrong_with_a_call_is_said_in_a_line(
    words: tuple[str, ...], text: str, sdk_url: str, here: Run
) -> None:
    finished = await here("call", sdk_url, *words)
    assert finished.status == 1
    assert text in finished.stderr
    assert finished.stderr.count("\n") == 1


async def test_unchecked_leaves_the_judgement_to_the_server(sdk_url: str, here: Run) -> None:
    finished = await here("call", sdk_url, "add", "a=1", "--unchecked")
    assert finished.status == 1
    assert "b" in finished.stderr
    assert "needs b" not in finished.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("ftp://x/mcp",),
        ("https://user:secret@host/mcp",),
        ("https://host/mcp#x",),
        ("tools",),
        ("https://host/mcp", "--header", "no colon"),
        ("https://host/mcp", "--header", "Content-Type: x"),
        ("https://host/mcp", "--header-file", "/nowhere"),
        ("https://host/mcp", "--timeout", "0"),
        ("https://host/mcp", "--callback-port", "70000"),
        ("https://host/mcp", "--client-metadata-url", "http://host/x"),
        ("https://host/mcp", "--client-secret", "s"),
        ("call", "https://host/mcp"),
        ("read", "https://host/mcp"),
        ("completion", "tcsh"),
    ],
)
async def test_wrong_options_end_with_status_2_before_anything_starts(
    words: tuple[str, ...], here: Run
) -> None:
    finished = await here(*words)
    assert finished.status == 2
    assert finished.stdout == ""
    assert "Error: " in finished.stderr


async def test_the_server_url_may_come_from_the_environment(sdk_url: str, run: Run) -> None:
    line = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25",'
    line += b'"capabilities":{},"clientInfo":{"name":"x","version":"1"}}}\n'
    finished = await run(env={"MCP_SERVER_URL": sdk_url}, stdin=line)
    assert json.loads(finished.stdout)["result"]["serverInfo"]["name"] == "fixture"


async def test_without_anything_the_help_is_shown(run: Run) -> None:
    finished = await run()
    assert "Commands:" in finished.stdout + finished.stderr


async def test_status_without_any_server(here: Run) -> None:
    assert (await here("status")).stdout == "Not signed in to any server.\n"


async def test_status_as_json_holds_no_secret(oauth: OAuth, here: Run, run: Run) -> None:
    assert (await run("login", oauth.url)).status == 0
    (facts,) = json.loads((await here("status", "--json")).stdout)
    assert (facts["url"], facts["issuer"], facts["signed_in"]) == (oauth.url, oauth.origin, True)
    assert facts == json.loads((await here("status", oauth.url, "--json")).stdout)
    assert not [secret for secret in oauth.secrets if secret in json.dumps(facts)]


async def test_resources_and_templates_are_listed_and_read(
    offers_url: str, here: Run, tmp_path: Path
) -> None:
    listed = (await here("resources", offers_url)).stdout
    assert "note://today" in listed
    assert "    What is on today.\n" in listed
    assert "blob://{name}" in listed
    assert (await here("read", offers_url, "note://today")).stdout == "Nothing.\n"
    assert "5 bytes; --save" in (await here("read", offers_url, "blob://hello")).stdout
    await here("read", offers_url, "blob://hello", "--save", str(tmp_path / "kept"))
    assert [path.read_bytes() for path in (tmp_path / "kept").iterdir()] == [b"hello"]


async def test_pictures_are_kept_in_new_files(offers_url: str, here: Run, tmp_path: Path) -> None:
    for number in (1, 2):
        finished = await here("call", offers_url, "picture", "--save", str(tmp_path))
        assert f"image-{number}.png" in finished.stdout
    assert (tmp_path / "image-2.png").read_bytes() == PIXEL


async def test_prompts_are_listed_and_filled_in(offers_url: str, here: Run) -> None:
    assert "greet name= [style=]\n    Greets somebody." in (await here("prompts", offers_url)).stdout
    finished = await here("prompt", offers_url, "greet", "name=Ada")
    assert finished.stdout == "user:\nGreet Ada, short\n"
    assert "needs name" in (await here("prompt", offers_url, "greet")).stderr
    assert "has: greet" in (await here("prompt", offers_url, "leave")).stderr


async def test_the_server_completes(offers_url: str, here: Run) -> None:
    finished = await here("complete", offers_url, "prompt:greet", "name=Al", "style=x")
    assert finished.stdout == "Alan\nAl-x\n"
    finished = await here("complete", offers_url, "blob://{name}", "name=Ad", "--json")
    assert json.loads(finished.stdout)["completion"]["values"] == ["Ada"]


async def test_raw_sends_anything_and_prints_the_answer(offers_url: str, here: Run) -> None:
    finished = await here("raw", offers_url, "tools/list")
    assert {tool["name"] for tool in json.loads(finished.stdout)["tools"]} == {"picture", "order"}
    finished = await here("raw", offers_url, "no/such", "x:=1")
    assert finished.status == 1
    assert json.loads(finished.stdout)["error"]["code"] == -32601


async def test_the_shell_keeps_one_conversation(offers_url: str, here: Run) -> None:
    lines = b"tools\ncall order sizes=1\nnonsense\ncall order\nread --help\n\nread note://today\nexit\n"
    finished = await here("shell", offers_url, stdin=lines)
    assert finished.status == 0, finished
    assert '[[1], "", null]' in finished.stdout
    assert "There is no command 'nonsense'" in finished.stderr
    assert "needs sizes" in finished.stderr
    assert "Nothing.\n" in finished.stdout


async def test_tab_completes_servers_tools_and_arguments(sdk_url: str, here: Run, run: Run) -> None:
    await here("tools", sdk_url)

    async def at(*words: str) -> list[str]:
        line = {"COMP_WORDS": " ".join((NAME, *words)), "COMP_CWORD": str(len(words))}
        variable = "_MCP_STREAMABLEHTTP_CLIENT_COMPLETE"
        finished = await run(env=line | {variable: "bash_complete"})
        return [word.split(",", 1)[1] for word in finished.stdout.split("\n") if word]

    assert await at("call", sdk_url, "a") == ["add"]
    assert await at("call", sdk_url, "add", "") == ["a=", "b="]
    assert "complete -o nosort -F" in (await here("completion", "bash")).stdout


async def test_an_answer_against_the_specification_is_shown_and_named(serve: Serve, here: Run) -> None:
    from .test_transport import Script, legacy, result

    async def handler(request: Request, message: JsonRpc) -> Response:
        if usual := await legacy(request, message):
            return usual
        return result(message, {"tools": [{"name": "odd", "inputSchema": "none"}]})

    finished = await here("tools", serve(Script(handler)) + "/mcp")
    assert finished.stdout == "odd\n"
    assert "does not follow the specification: tools.0.inputSchema" in finished.stderr


async def test_commands_speak_the_new_era_to_a_server_that_knows_no_other(serve: Serve, here: Run) -> None:
    from starlette.requests import Request
    from starlette.responses import JSONResponse

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        message = await request.json()
        if request.headers.get("mcp-protocol-version") != "2026-07-28":
            error = {"code": -32022, "message": "too old", "data": {"supported": ["2026-07-28"]}}
            answer: Json = {"jsonrpc": "2.0", "id": message.get("id"), "error": error}
            await JSONResponse(answer, 400)(scope, receive, send)
            return
        cached = {"ttlMs": 0, "cacheScope": "private"}
        results: dict[str, Json] = {
            "server/discover": {"supportedVersions": ["2026-07-28"], "capabilities": {}, **cached},
            "tools/list": {"tools": [{"name": "hi", "inputSchema": {"type": "object"}}], **cached},
            "tools/call": {"content": [{"type": "text", "text": request.headers.get("mcp-name")}]},
        }
        result = {"resultType": "complete", **results[message["method"]]}
        await JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": result})(scope, receive, send)

    finished = await here("call", serve(app) + "/mcp", "hi")
    assert (finished.status, finished.stdout, finished.stderr) == (0, "hi\n", "")


@pytest.mark.parametrize("protocol", ["2025-11-25", "2026-07-28"])
async def test_a_command_waits_for_the_sign_in(protocol: str, oauth: OAuth, run: Run) -> None:
    """Whereas a host is answered meanwhile, with a tool to sign in."""

    def slow(method: str, path: str) -> None:
        if path == "/token":
            time.sleep(1)

    oauth.fault = slow
    words = ("tools", oauth.url, "--protocol", protocol)
    finished = await run(*words, env={"MCP_FIRST_ANSWER": "0.1"})
    assert finished.status == 0, finished
    assert "add a=integer b=integer" in finished.stdout
    assert "sign_in" not in finished.stdout


async def test_unreachable_is_one_line(here: Run) -> None:
    finished = await here("tools", "http://127.0.0.1:9/mcp")
    assert finished.status == 1
    assert "Cannot connect to 127.0.0.1:9" in finished.stderr
    assert finished.stderr.count("\n") == 1


@pytest.mark.parametrize("modern", [False, True])
async def test_a_bridge_never_loads_what_only_commands_need(
    modern: bool, sdk_url: str, environment: dict[str, str]
) -> None:
    """Neither era's way; the relayed call shows that the bridge did its work meanwhile."""
    program = (
        "import atexit, sys\n"
        "heavy = ('mcp', 'mcp_types', 'pydantic', 'httpx', 'rich', 'jsonschema')\n"
        "atexit.register(lambda: sys.stderr.write('loaded: %s' % [n for n in heavy if n in sys.modules]))\n"
        "from mcp_streamablehttp_client.cli import main; main()\n"
    )
    client = {"name": "x", "version": "1"}
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": client,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}
    messages: list[Json] = (
        [
            {
                "id": 1,
                "method": "tools/call",
                "params": {"name": "add", "arguments": {"a": 1, "b": 2}, "_meta": meta},
            }
        ]
        if modern
        else [
            {"id": 0, "method": "initialize", "params": params},
            {"method": "notifications/initialized"},
            {"id": 1, "method": "tools/call", "params": {"name": "add", "arguments": {"a": 1, "b": 2}}},
        ]
    )
    text = "".join(json.dumps({"jsonrpc": "2.0", **message}) + "\n" for message in messages)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, sdk_url, stdin=-1, stdout=-1, stderr=-1, env=environment
    )
    async with asyncio.timeout(90):
        out, err = await process.communicate(text.encode())
    assert b'"3"' in out, (out, err)
    assert err.decode().endswith("loaded: []"), err


def terminal(*words: str, environment: dict[str, str], answers: list[tuple[str, str]]) -> tuple[int, str]:
    """A command on a real pty; each answer is typed when its question has appeared."""
    import pty

    ours, theirs = pty.openpty()
    pid = os.posix_spawn(
        COMMAND[0],
        [*COMMAND, *words],
        environment | {"TERM": "xterm-256color"},
        file_actions=[(os.POSIX_SPAWN_DUP2, theirs, fd) for fd in (0, 1, 2)],
    )
    os.close(theirs)
    seen = ""
    try:
        while True:
            try:
                seen += os.read(ours, 65536).decode()
            except OSError:  # EIO: the other side is closed
                break
            if answers and answers[0][0] in seen:
                os.write(ours, answers.pop(0)[1].encode() + b"\n")
    finally:
        os.close(ours)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen


async def test_the_servers_question_is_asked_in_the_terminal(
    sdk_url: str, environment: dict[str, str]
) -> None:
    words = ("call", sdk_url, "greet", "--protocol", "2025-11-25")
    status, seen = await asyncio.to_thread(
        terminal, *words, environment=environment, answers=[("Name", "Ada")]
    )
    assert status == 0, seen
    assert "The server asks: Who?" in seen
    assert "50%" in seen  # its progress
    assert "Hello Ada" in seen


async def test_a_question_of_the_new_era_is_asked_too(serve: Serve, environment: dict[str, str]) -> None:
    """SEP-2322: the result asks for input, the call is made again with it."""
    from .test_transport import Script, result

    schema = {
        "type": "object",
        "properties": {"age": {"type": "integer", "minimum": 1}, "nick": {"type": "string"}},
        "required": ["age"],
    }

    async def handler(request: Request, message: JsonRpc) -> Response:
        cached = {"ttlMs": 0, "cacheScope": "private", "resultType": "complete"}
        if message["method"] == "server/discover":
            return result(message, {"supportedVersions": ["2026-07-28"], "capabilities": {}, **cached})
        if message["method"] == "tools/list":
            return result(message, {"tools": [{"name": "t", "inputSchema": {"type": "object"}}], **cached})
        if answers := message["params"].get("inputResponses"):
            text = json.dumps(answers["q"])
            return result(message, {"content": [{"type": "text", "text": text}], "resultType": "complete"})
        params = {"mode": "form", "message": "How old?", "requestedSchema": schema}
        question = {"method": "elicitation/create", "params": params}
        return result(
            message, {"resultType": "input_required", "inputRequests": {"q": question}, "requestState": "s"}
        )

    words = ("call", serve(Script(handler)) + "/mcp", "t")
    answers = [("age", "0"), ("less than the minimum", "30"), ("nick", "")]
    status, seen = await asyncio.to_thread(terminal, *words, environment=environment, answers=answers)
    assert status == 0, seen
    assert '{"action": "accept", "content": {"age": 30}}' in seen


async def test_without_a_terminal_nothing_is_asked(sdk_url: str, here: Run) -> None:
    finished = await here("call", sdk_url, "greet")
    assert finished.status == 1
    assert "--protocol 2025-11-25 lets it" in finished.stderr
    finished = await here("call", sdk_url, "greet", "--protocol", "2025-11-25")
    assert finished.status == 1
    assert "licitation" in finished.stderr
