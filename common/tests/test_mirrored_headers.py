"""Headers that repeat the body: both ends from one source, read as the SDK reads them."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.shared.inbound import find_invalid_x_mcp_header, mcp_param_headers, validate_mcp_param_headers
from mcp.shared.inbound import x_mcp_header_map as sdk_map

from common.mirrored_headers import (
    InvalidAnnotationError,
    Mirrored,
    MismatchError,
    check_arguments,
    check_method,
    check_name,
    decode,
    encode,
    mirrored_arguments,
    name_member,
    request_headers,
)

KEYWORDS = (
    "properties", "items", "anyOf", "$defs", "if", "not", "patternProperties", "default", "enum", "x-docs",
    "dependencies", "prefixItems",
)  # fmt: skip
LEAVES = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["string", "integer", "boolean", "number", "object", ["string", "null"]]),
        "x-mcp-header": st.sampled_from(["A", "a", "B", "Region-1", "", "a b", "ä", 7, None]),
    },
)
SCHEMAS = st.recursive(
    LEAVES | st.booleans() | st.none(),
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=3),
        st.builds(
            lambda leaf, members: leaf | {"properties": members} if isinstance(leaf, dict) else leaf,
            inner,
            st.dictionaries(st.sampled_from(["x", "y", "properties", "items"]), inner, max_size=3),
        ),
        st.builds(lambda members: {"anyOf": members}, st.lists(inner, max_size=2)),
    ),
    max_leaves=8,
)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(),
    st.lists(st.integers(), max_size=1), st.just(1.5), st.just(3.0),
)  # fmt: skip


def as_bytes(headers: list[tuple[str, str]]) -> dict[bytes, bytes]:
    return {name.lower().encode(): value.encode("latin-1") for name, value in headers}


@given(SCHEMAS)
def test_a_schema_is_read_as_the_sdk_reads_it(schema: Any) -> None:
    refused = find_invalid_x_mcp_header(schema)
    if refused is not None:
        with pytest.raises(InvalidAnnotationError):
            mirrored_arguments(schema)
    else:
        assert {one.path: one.name for one in mirrored_arguments(schema)} == sdk_map(schema)


@given(st.sampled_from(["string", "integer", "boolean"]), VALUES)
def test_what_is_sent_passes_our_check_and_the_sdks(type_: str, value: Any) -> None:
    schema = {"properties": {"v": {"type": type_, "x-mcp-header": "V"}}}
    mirrored = mirrored_arguments(schema)
    arguments = {"v": value}
    headers = request_headers("tools/call", {"name": "t", "arguments": arguments}, mirrored)
    check_arguments(arguments, as_bytes(headers), mirrored)
    assert validate_mcp_param_headers(schema, arguments, dict(headers)) is None


@given(st.sampled_from(["string", "integer", "boolean"]), VALUES)
def test_what_the_sdk_sends_passes_our_check(type_: str, value: Any) -> None:
    schema = {"properties": {"v": {"type": type_, "x-mcp-header": "V"}}}
    headers = mcp_param_headers(sdk_map(schema), {"v": value})
    check_arguments({"v": value}, as_bytes(list(headers.items())), mirrored_arguments(schema))


def test_a_fraction_for_an_integer_is_sent_so_that_the_server_can_judge_it() -> None:
    one = Mirrored("N", ("n",), "integer")
    headers = request_headers("tools/call", {"name": "t", "arguments": {"n": 1.5}}, (one,))
    assert headers[-1] == ("Mcp-Param-N", "1.5")


@pytest.mark.parametrize(
    "keyword", ["x-docs", "dependencies", "default", "examples", "enum", "const", "$ref"]
)
def test_an_annotation_outside_schema_positions_is_none(keyword: str) -> None:
    assert mirrored_arguments({"properties": {"p": {keyword: {"x-mcp-header": "no"}}}}) == ()


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
    with pytest.raises(InvalidAnnotationError):
        mirrored_arguments({"type": "object", "properties": {"p": member}})


def test_header_names_are_unique_without_regard_to_case() -> None:
    one, two = ({"type": "string", "x-mcp-header": name} for name in ("Region", "REGION"))
    with pytest.raises(InvalidAnnotationError):
        mirrored_arguments({"properties": {"a": one, "b": {"type": "object", "properties": {"c": two}}}})


def test_a_property_may_be_called_like_a_keyword() -> None:
    inner = {"type": "string", "x-mcp-header": "P"}
    assert mirrored_arguments({"properties": {"properties": inner}}) == (
        Mirrored("P", ("properties",), "string"),
    )


@given(st.text())
def test_any_text_survives_as_a_header(text: str) -> None:
    header = encode(text)
    assert all(" " <= character <= "~" for character in header)
    assert header == header.strip(" ")
    if header == text:
        assert decode(header.encode()) == text
    else:
        encoded = header.removeprefix("=?base64?").removesuffix("?=")
        assert base64.b64decode(encoded).decode("utf-8", "surrogatepass") == text


def test_a_value_that_looks_encoded_is_encoded() -> None:
    assert encode("=?base64?QQ==?=") != "=?base64?QQ==?="


@given(st.binary(max_size=40))
def test_no_header_breaks_the_reading(value: bytes) -> None:
    decode(value)
    decode(b"=?base64?" + value + b"?=")


@pytest.mark.parametrize(
    ("method", "params", "name"),
    [
        ("tools/call", {"name": "t"}, "t"),
        ("prompts/get", {"name": "p"}, "p"),
        ("resources/read", {"uri": "file:///x"}, "file:///x"),
        ("tasks/get", {"taskId": "7"}, "7"),
        ("tools/list", {"name": "ignored"}, None),
        ("tools/call", {"name": 7}, None),
    ],
)
def test_the_name_of_what_is_asked_for(method: str, params: Any, name: str | None) -> None:
    headers = request_headers(method, params)
    assert dict(headers).get("Mcp-Name") == name
    assert dict(headers)["Mcp-Method"] == method
    check_method(method, as_bytes(headers))
    if (member := name_member(method, as_bytes(headers))) and isinstance(params[member], str):
        check_name(member, params[member], as_bytes(headers))


def test_what_disagrees_is_told() -> None:
    with pytest.raises(MismatchError, match="Mcp-Method"):
        check_method("tools/call", {b"mcp-method": b"tools/list"})
    with pytest.raises(MismatchError, match=r"Mcp-Name does not match params\.uri"):
        check_name("uri", "file:///x", {b"mcp-name": b"file:///y"})
    one = Mirrored("V", ("a", "v"), "integer")
    for arguments, headers in (
        ({"a": {"v": 1}}, {}),
        ({"a": {"v": 1}}, {b"mcp-param-v": b"2"}),
        ({"a": {"v": 1}}, {b"mcp-param-v": b"=?base64?x?="}),
        ({"a": {}}, {b"mcp-param-v": b"1"}),
        ({"a": {"v": None}}, {b"mcp-param-v": b"null"}),
    ):
        with pytest.raises(MismatchError, match=r"Mcp-Param-V .*params\.arguments\.a\.v"):
            check_arguments(arguments, headers, (one,))
    check_arguments({"a": {"v": 1}}, {b"mcp-param-v": b"1.0"}, (one,))
    check_arguments({"a": {"v": 1.0}}, {b"mcp-param-v": b"1"}, (one,))


@pytest.mark.parametrize("method", ["tasks/get", "tasks/cancel"])
def test_a_tasks_name_is_checked_only_where_it_is_sent(method: str) -> None:
    assert name_member(method, {}) is None
    assert name_member(method, {b"mcp-name": b"7"}) == "taskId"
