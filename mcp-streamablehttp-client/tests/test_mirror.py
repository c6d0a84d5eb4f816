import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_streamablehttp_client.mirror import InvalidAnnotation, Mirror, annotations, encode


@given(st.text())
def test_any_text_survives_as_a_header(text: str) -> None:
    header = encode(text)
    assert all(" " <= character <= "~" for character in header)
    assert header == header.strip(" ")
    if header == text:
        assert not (text.startswith("=?base64?") and text.endswith("?="))
    else:
        encoded = header.removeprefix("=?base64?").removesuffix("?=")
        assert base64.b64decode(encoded).decode("utf-8", "surrogatepass") == text


def test_a_value_that_looks_encoded_is_encoded() -> None:
    assert encode("=?base64?QQ==?=") != "=?base64?QQ==?="


@pytest.mark.parametrize(
    "member",
    [
        {"type": "string", "x-mcp-header": ""},
        {"type": "string", "x-mcp-header": "a b"},
        {"type": "string", "x-mcp-header": "a:b"},
        {"type": "string", "x-mcp-header": "ä"},
        {"type": "string", "x-mcp-header": "a\n"},
        {"type": "string", "x-mcp-header": 1},
        {"type": "number", "x-mcp-header": "A"},
        {"type": "object", "x-mcp-header": "A"},
        {"type": ["string", "null"], "x-mcp-header": "A"},
        {"anyOf": [{"type": "string", "x-mcp-header": "A"}]},
        {"type": "array", "items": {"type": "string", "x-mcp-header": "A"}},
    ],
)
def test_invalid_annotations_are_told(member: Any) -> None:
    with pytest.raises(InvalidAnnotation):
        annotations({"type": "object", "properties": {"p": member}})


def test_header_names_are_unique_without_regard_to_case() -> None:
    one, two = ({"type": "string", "x-mcp-header": name} for name in ("Region", "REGION"))
    with pytest.raises(InvalidAnnotation):
        annotations({"properties": {"a": one, "b": {"type": "object", "properties": {"c": two}}}})


def test_a_property_may_be_called_like_a_keyword() -> None:
    inner = {"type": "string", "x-mcp-header": "P"}
    assert annotations({"properties": {"properties": inner}}) == {("properties",): "P"}
    assert annotations({"properties": {"x": {"default": {"x-mcp-header": "no"}}}}) == {}


@pytest.mark.parametrize(
    ("method", "params", "name"),
    [
        ("tools/call", {"name": "t"}, "t"),
        ("prompts/get", {"name": "p"}, "p"),
        ("resources/read", {"uri": "file:///x"}, "file:///x"),
        ("tasks/get", {"taskId": "7"}, "7"),
        ("tools/list", {"name": "ignored"}, None),
    ],
)
def test_the_name_of_what_is_asked_for(method: str, params: Any, name: str | None) -> None:
    headers = dict(Mirror().headers(method, params))
    assert headers.get("Mcp-Name") == name
    assert headers["Mcp-Method"] == method
