"""Outline, section, find and what fits: of any text, in time that is linear in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_fetch_streamablehttp_server.errors import FetchError
from mcp_fetch_streamablehttp_server.parts import (
    cost,
    headings,
    lower,
    outline,
    search,
    section,
    within_tokens,
)

TEXT = "# One\n\n```sh\n# no heading\n```\n\n## A [link](http://x/) and `code`\n\nwords\n\n# Two\n\nend"


def test_headings_are_found_outside_code_alone() -> None:
    assert [(head.level, head.title) for head in headings(TEXT)] == [
        (1, "One"),
        (2, "A link and code"),
        (1, "Two"),
    ]
    assert all(TEXT[head.start] == "#" for head in headings(TEXT))


def test_a_section_ends_where_the_next_begins_that_is_no_deeper() -> None:
    start, end = section(TEXT, "one")
    assert TEXT[start:end].endswith("words\n\n")
    start, end = section(TEXT, "link and")
    assert TEXT[start:end] == "## A [link](http://x/) and `code`\n\nwords\n\n"
    with pytest.raises(FetchError, match="has no section"):
        section(TEXT, "Three")


def test_find_shows_where_and_how_often() -> None:
    assert search("x" * 1000 + "Needle" + "y" * 1000, "nEEDLE").startswith(
        "(1 found)\n\n[at start_index 700]\n"
    )
    assert search("\u0130stanbul", "istanbul").startswith("(1 found)")
    assert "does not stand in the page" in search("abc", "d")


@pytest.mark.timeout(90)
def test_no_text_makes_a_search_or_an_outline_take_the_square_of_its_size() -> None:
    """Work that grew with the product of text and words would take minutes; the time limit tells."""
    size = 2_000_000
    assert "does not stand" in search("a" * size, "a" * 299 + "b")
    assert len(search("a" * size, "a" * 300)) < 200_000
    for piece in ("\n", "# x\n", " " * 20 + "\n", "```\n", "#", ">"):
        outline(piece * (size // len(piece)))


@given(st.text(max_size=200), st.text(min_size=1, max_size=5))
def test_lower_case_has_the_same_length(text: str, words: str) -> None:
    assert len(lower(text)) == len(text)
    assert search(text + words, words)


@given(st.text(min_size=1, max_size=6000), st.integers(1, 2000))
def test_a_budget_of_tokens_is_kept(text: str, tokens: int) -> None:
    length = within_tokens(text, tokens)
    assert 1 <= length <= len(text)
    assert cost(text[:length]) <= max(tokens, 1)
