"""Lines and messages, for any input at all."""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_streamablehttp_proxy._common import jsonrpc
from mcp_streamablehttp_proxy._common.error_codes import PARSE_ERROR
from mcp_streamablehttp_proxy._common.jsonrpc import Kind, MessageError
from mcp_streamablehttp_proxy.session.streams import parse_event_id
from mcp_streamablehttp_proxy.wire.lines import LineSplitter, Oversize

from .support import Json

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
extra_members = st.dictionaries(
    st.text().filter(lambda key: key not in ("jsonrpc", "id", "method", "params", "result", "error")),
    json_values,
    max_size=3,
)
ids = st.integers() | st.text()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(ends)]


@given(
    st.lists(st.binary(max_size=50).map(lambda b: b.replace(b"\n", b"").rstrip(b"\r"))),
    st.lists(st.integers(0, 500)),
)
def test_lines_survive_any_chunking(lines: list[bytes], places: list[int]) -> None:
    splitter = LineSplitter(1000)
    data = b"".join(line + b"\n" for line in lines)
    assert [line for chunk in cut(data, places) for line in splitter.feed(chunk)] == lines
    assert splitter.rest() is None


@given(st.lists(st.integers(0, 40), min_size=1), st.lists(st.integers(0, 500)))
def test_a_line_over_the_cap_is_measured_and_the_next_is_whole(sizes: list[int], places: list[int]) -> None:
    splitter = LineSplitter(20)
    data = b"".join(b"x" * size + b"\n" for size in sizes)
    lines = [line for chunk in cut(data, places) for line in splitter.feed(chunk)]
    measured = [line.size if isinstance(line, Oversize) else len(line) for line in lines]
    assert measured == sizes
    assert [isinstance(line, Oversize) for line in lines] == [size > 20 for size in sizes]


def test_windows_line_ends_and_an_unfinished_line() -> None:
    splitter = LineSplitter(100)
    assert splitter.feed(b"one\r\ntwo\r\nthr") == [b"one", b"two"]
    assert splitter.rest() == b"thr"


@given(ids, st.text(), json_values, extra_members, st.sampled_from([None, 1, "\t"]))
def test_a_request_is_read_and_renumbered_without_loss(
    id_: str | int, method: str, params: object, extra: Json, indent: str | int | None
) -> None:
    original = {"jsonrpc": "2.0", "id": id_, "method": method, "params": params, **extra}
    message = jsonrpc.parse(json.dumps(original, indent=indent).encode())
    assert message.kind is Kind.REQUEST
    assert message.method == method
    assert message.id is not None
    assert json.loads(message.id) == id_
    assert b"\n" not in message.raw
    assert json.loads(message.raw) == original
    assert json.loads(message.with_id(b"77")) == original | {"id": 77}


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_message_error(data: bytes) -> None:
    with contextlib.suppress(MessageError):
        assert isinstance(json.loads(jsonrpc.parse(data).raw), dict)


@given(st.integers(), ids)
def test_a_result_is_a_response(value: int, id_: str | int) -> None:
    message = jsonrpc.parse(jsonrpc.result(json.dumps(id_).encode(), jsonrpc.encode({"v": value % 2**60})))
    assert message.kind is Kind.RESPONSE
    assert message.result is not None


@pytest.mark.parametrize(
    "text",
    [
        '{"jsonrpc":"2.0","id":1,"method":"m","params":{"s":"\\ud800"}}',
        '{"jsonrpc" : "2.0", "id": 1 ,"method":"m", "\\ud800\\udbff": [1.00, {"a":"\\udfff"}] }',
    ],
)
def test_lone_surrogates_survive(text: str) -> None:
    renumbered = jsonrpc.parse(text.encode()).with_id(b"2")
    assert json.loads(renumbered) == json.loads(text) | {"id": 2}


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"jsonrpc":"2.0","x":"\\ud8'])
def test_hostile_json_is_a_parse_error(text: str) -> None:
    with pytest.raises(MessageError):
        jsonrpc.parse(text.encode())


def test_a_second_id_member_cannot_smuggle_an_id_past_the_remapping() -> None:
    for twin in ('"id"', '"\\u0069d"'):
        message = jsonrpc.parse(f'{{"jsonrpc":"2.0","id":1,"method":"m",{twin}:7}}'.encode())
        assert message.id == b"7"
        assert message.with_id(b"9").count(b"9") == 1
        assert b"7" not in message.with_id(b"9")


@given(st.binary(max_size=60))
def test_event_ids_are_ours_or_nobodys(value: bytes) -> None:
    found = parse_event_id(value)
    if found is not None:
        stream, _, sequence = value.partition(b"-")
        assert found == (int(stream), int(sequence))


@pytest.mark.parametrize("text", ["[%s]", '{"a": [%s]}', '"[[["%.0s, [%s]'])
def test_a_message_is_nested_as_deep_as_every_place_can_read(text: str) -> None:
    for depth, fits in ((250, True), (300, False), (100_000, False)):
        value = text.replace("[%s]", "[" * depth + "]" * depth).replace("%.0s", "")
        body = b'{"jsonrpc":"2.0","id":1,"method":"x","params":[%b]}' % value.encode()
        if fits:
            assert jsonrpc.parse(body).raw == body
            continue
        with pytest.raises(MessageError) as refused:
            jsonrpc.parse(body)
        assert refused.value.code == PARSE_ERROR


def test_brackets_in_strings_and_beside_each_other_are_no_depth() -> None:
    for params in (json.dumps({"a": '[{"\\' * 10_000}), json.dumps({"a": [[] for _ in range(10_000)]})):
        body = b'{"jsonrpc":"2.0","id":1,"method":"x","params":%b}' % params.encode()
        assert jsonrpc.parse(body).raw == body


@given(json_values | st.text(alphabet='[]{}"\\'), st.integers(min_value=250, max_value=258))
def test_exactly_256_levels_are_read_whatever_the_strings_hold(value: Any, around: int) -> None:
    nested = value
    for level in range(around):
        nested = [nested] if level % 2 else {'[{"\\': nested}
    depth = around + _depth(value) + 1
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "x", "params": nested}).encode()
    if depth <= 256:
        assert jsonrpc.parse(body).raw == body
        return
    with pytest.raises(MessageError, match="nested too deeply"):
        jsonrpc.parse(body)


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


def test_a_number_that_nobody_reads_is_an_invalid_message() -> None:
    with pytest.raises(MessageError):
        jsonrpc.decode(b"9" * 6000)
