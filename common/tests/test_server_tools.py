"""What is told of a server's tools, from whatever a server lists."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.server_tools import LONGEST_LINE, LONGEST_NAME, MOST, MOST_OCTETS, digest, digested_again, line

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
TOOLS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "name": ANYTHING, "title": ANYTHING, "description": ANYTHING, "inputSchema": ANYTHING,
            "annotations": st.dictionaries(st.sampled_from(["title", "readOnlyHint", "x"]), ANYTHING),
        },
    )
    | ANYTHING
)  # fmt: skip


def test_a_tool_keeps_what_a_person_decides_by() -> None:
    tool = {
        "name": "write",
        "description": "Writes\na file.",
        "inputSchema": {"type": "object"},
        "annotations": {"title": "Write a file", "readOnlyHint": False, "destructiveHint": True, "x": 1},
    }
    assert digest([tool]) == {
        "count": 1,
        "tools": [
            {
                "name": "write",
                "title": "Write a file",
                "description": "Writes a file.",
                "annotations": {"readOnlyHint": False, "destructiveHint": True},
            }
        ],
    }


def test_many_tools_are_counted_and_the_first_are_named() -> None:
    found = digest({"name": f"tool{number}", "description": "what it does"} for number in range(5000))
    assert (found["count"], len(found["tools"])) == (5000, MOST)
    assert digested_again(found) == found


def test_all_that_is_named_is_small() -> None:
    wide = "\U0001f600" * 10_000
    found = digest({"name": f"{number}{wide}", "title": wide, "description": wide} for number in range(500))
    assert found["count"] == 500
    assert 0 < len(json.dumps(found["tools"], ensure_ascii=False).encode()) < MOST_OCTETS + 2 * MOST
    assert digested_again(found) == found


@pytest.mark.parametrize("text", ["a\u202eb", "a\u200bb", "a\x1b[1mb", "a\nb", "a\ud800b", "a\u2066b"])
def test_nothing_moves_or_hides_other_text(text: str) -> None:
    assert line(text, 60).isprintable()
    assert line(text, 60)[0] == "a"


def test_a_long_text_is_cut_where_it_can_be_seen() -> None:
    assert line("word " * 100, 10) == "word word…"


@given(TOOLS)
def test_a_digest_of_anything_is_small_and_its_own_digest(tools: list[Any]) -> None:
    found = digest(tools)
    assert digested_again(found) == found
    json.dumps(found).encode()
    assert found["count"] >= len(found["tools"])
    for tool in found["tools"]:
        assert 0 < len(tool["name"]) <= LONGEST_NAME
        assert len(tool.get("description", "")) <= LONGEST_LINE


@given(ANYTHING)
def test_what_is_no_digest_is_none_or_made_one(told: object) -> None:
    again = digested_again(told)
    assert again is None or digested_again(again) == again


@pytest.mark.parametrize("count", [-1, 0, True, 10**9, "5", None, 0.5])
def test_a_count_that_cannot_be_is_what_is_listed(count: object) -> None:
    found = digested_again({"tools": [{"name": "one"}], "count": count})
    assert found is not None
    assert found["count"] == 1
