"""Accept: one reading for all servers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.accept import accepted


@pytest.mark.parametrize(
    ("header", "json", "stream"),
    [
        (None, True, True),
        ("", False, False),
        ("application/json", True, False),
        ("text/event-stream", False, True),
        ("application/json, text/event-stream", True, True),
        ("Application/JSON;charset=utf-8,TEXT/Event-Stream", True, True),
        ("*/*", True, True),
        ("application/*", True, False),
        ("text/*", False, True),
        ("text/html, */*;q=0.8", True, True),
        ("text/html", False, False),
        ("application/json;q=0, */*", False, True),
        ("text/event-stream;q=0, text/*, application/json", True, False),
        ("*/*;q=0", False, False),
        ("application/json; q=oops, text/event-stream", False, True),
        ("application/jsonp, text/event-streams", False, False),
        ("application/json ;q=0.1", True, False),
    ],
)
def test_accept(header: str | None, json: bool, stream: bool) -> None:
    assert accepted(header) == (json, stream)


@given(st.text())
def test_no_header_breaks_the_reading(header: str) -> None:
    accepted(header)
