from __future__ import annotations

from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.event_stream import Event, EventParser, EventTooLargeError

STREAM = (
    b"\xef\xbb\xbfid: 1\nretry: 250\ndata:\n\n"
    b": comment\r\n\r\n"
    b'event: message\r\ndata: {"a":\r\ndata: 1}\r\nid: 2\r\n\r\n'
    b"data:no space\rid\r\r"
    b"event: ping\ndata: x\n\n"
    b"id: bad\0id\nretry: soon\ndata: last \xc3\xbc\n\n"
    b"data: unfinished"
)
EVENTS = [
    Event(b"", id="1", retry=250),
    Event(b'{"a":\n1}', id="2"),
    Event(b"no space", id=""),
    Event(b"x", type="ping"),
    Event("last ü".encode()),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_events_do_not_depend_on_how_the_bytes_arrive(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    parser = EventParser(limit=1_000_000)
    found = [event for start, end in pairwise(edges) for event in parser.feed(STREAM[start:end])]
    assert found == EVENTS


def test_an_event_beyond_the_cap_is_refused() -> None:
    parser = EventParser(limit=10_000)
    line = b"data: " + b"x" * 1000
    with pytest.raises(EventTooLargeError):
        list(chain.from_iterable(parser.feed(line) for _ in range(100)))


def test_a_long_silent_stream_of_comments_is_fine() -> None:
    parser = EventParser(limit=1000)
    for _ in range(100):
        assert list(parser.feed(b": " + b"x" * 500 + b"\n\n")) == []
