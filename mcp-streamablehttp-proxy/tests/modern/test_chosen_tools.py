"""Which tools clients see and call, and under which names: in each cell of client era and server era."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mcp_streamablehttp_proxy._common.settings import SettingsError
from mcp_streamablehttp_proxy.config import read_servers
from mcp_streamablehttp_proxy.settings import Server, Tools

from ..support import Start
from .support import Commands, Front

ASKING = "test_input_required_result_elicitation"
CHOICE = {
    "handshake": Tools(
        allow=("test_simple*", "test_error*", ASKING),
        deny=("*_code",),
        rename={"test_simple_text": "say", ASKING: "ask"},
        prefix="hs_",
    ),
    "modern": Tools(
        allow=("echo", "params", "greet"), deny=("greet",), rename={"params": "say"}, prefix="hs_"
    ),
}
SHOWN = {"handshake": {"hs_say", "hs_ask", "hs_test_error_handling"}, "modern": {"hs_say", "hs_echo"}}
UNKNOWN = {
    "handshake": (
        "test_simple_text",
        "hs_test_simple_text",
        "say",
        "hs_test_error_code",
        "test_error_handling",
    ),
    "modern": ("params", "hs_params", "say", "hs_greet", "echo"),
}
"""Names of the server's own, names without the prefix, and what is not allowed."""


@pytest.mark.parametrize("server", ["handshake", "modern"])
async def test_a_modern_client(front: Front, server: str) -> None:
    client = await front(server, tools=CHOICE[server])
    listed = (await client.ask("tools/list"))["result"]["tools"]
    assert {tool["name"] for tool in listed} == SHOWN[server]
    assert all("inputSchema" in tool for tool in listed)
    answer = await client.call("hs_say")
    assert answer["result"]["content"], answer
    for name in UNKNOWN[server]:
        response = await client.post(client.request("tools/call", name=name, arguments={}))
        assert response.status_code == 400
        assert response.json()["error"] == {"code": -32602, "message": f"Unknown tool: {name}"}


@pytest.mark.parametrize("isolation", ["session", "shared"])
@pytest.mark.parametrize("server", ["handshake", "modern"])
async def test_a_session(start: Start, commands: Commands, server: str, isolation: str) -> None:
    proxy = await start(command=commands[server], tools=CHOICE[server], isolation=isolation)
    client = await proxy.opened()
    listing = {"jsonrpc": "2.0", "id": "list", "method": "tools/list"}
    answer = (await client.post(listing)).json()
    assert answer["id"] == "list"
    assert {tool["name"] for tool in answer["result"]["tools"]} == SHOWN[server]
    assert await client.call("hs_say")
    for name in UNKNOWN[server]:
        refused = (await client.post(client.tool(name))).json()
        assert refused["error"] == {"code": -32602, "message": f"Unknown tool: {name}"}


async def test_a_renamed_tool_that_asks_is_answered_by_a_retry_under_its_new_name(front: Front) -> None:
    client = (await front("handshake", tools=CHOICE["handshake"])).able(elicitation={})
    first = await client.call("hs_ask")
    answers = {"user_name": {"action": "accept", "content": {"name": "Ada"}}}
    state = first["result"]["requestState"]
    done = await client.ask(
        "tools/call", name="hs_ask", arguments={}, inputResponses=answers, requestState=state
    )
    assert done["result"]["content"][0]["text"] == "Hello, Ada!"


@pytest.mark.parametrize(
    ("tools", "own", "shown"),
    [
        (Tools(), "x", "x"),
        (Tools(prefix="p_"), "x", "p_x"),
        (Tools(prefix="p_"), "p_x", "p_p_x"),
        (Tools(rename={"a": "b"}), "a", "b"),
        (Tools(rename={"a": "b"}), "b", None),
        (Tools(rename={"a": "b", "b": "a"}), "b", "a"),
        (Tools(allow=()), "x", None),
        (Tools(allow=("r*",), deny=("*x",)), "rx", None),
        (Tools(allow=("R*",)), "rx", None),
    ],
)
def test_names_there_and_back(tools: Tools, own: str, shown: str | None) -> None:
    assert tools.shown_name(own) == shown
    if shown is not None:
        assert tools.own_name(shown) == own


def test_a_choice_is_read_from_the_file(tmp_path: Path) -> None:
    def read(tools: object) -> Server:
        file = tmp_path / "mcp.json"
        file.write_text(json.dumps({"mcpServers": {"x": {"command": "x", "tools": tools}}}))
        return read_servers(file, {}).servers[0]

    assert read(["a", "b*"]).tools == Tools(allow=("a", "b*"))
    assert read({"deny": ["a"], "prefix": "x_"}).tools == Tools(deny=("a",), prefix="x_")
    bad: tuple[object, ...] = (
        "a",
        {"alow": []},
        {"allow": "a"},
        {"deny": [1]},
        {"rename": {"a": 1}},
        {"prefix": 1},
    )
    for wrong in bad:
        with pytest.raises(SettingsError, match="server x: tools"):
            read(wrong)
    with pytest.raises(SettingsError, match="renamed to the same name"):
        read({"rename": {"a": "c", "b": "c"}})
