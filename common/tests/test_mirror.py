"""What is learned about a server's tools."""

from __future__ import annotations

from typing import Any

from common.mirror import Mirror

Json = dict[str, Any]

REGION = {"type": "string", "x-mcp-header": "Region"}


def tool(name: str, member: Json) -> Json:
    return {"name": name, "inputSchema": {"type": "object", "properties": {"region": member}}}


def test_a_listed_tool_has_its_arguments_mirrored() -> None:
    mirror = Mirror()
    assert mirror.learn({"tools": [tool("t", REGION)]}) == []
    headers = dict(mirror.headers("tools/call", {"name": "t", "arguments": {"region": "eu"}}))
    assert headers == {"Mcp-Method": "tools/call", "Mcp-Name": "t", "Mcp-Param-Region": "eu"}
    assert "Mcp-Param-Region" not in dict(
        mirror.headers("prompts/get", {"name": "t", "arguments": {"region": "eu"}})
    )


def test_an_invalid_tool_is_dropped_with_its_reason_and_the_others_stay() -> None:
    result = {"tools": [tool("bad", REGION | {"type": "number"}), tool("good", REGION), "odd"]}
    assert [name for name, _ in Mirror().learn(result)] == ["bad"]
    assert result["tools"] == [tool("good", REGION), "odd"]


def test_an_annotation_in_documentation_drops_nothing() -> None:
    """Only schema positions count, as in the SDK."""
    documented = tool("t", {"type": "string", "x-docs": {"x-mcp-header": "Example"}})
    assert Mirror().learn({"tools": [documented]}) == []
