"""Every line that a page shows is typed in an empty container, or is known not to be, and why."""

from __future__ import annotations

import re

import pytest

from tests.newcomer.shown import shown
from tests.newcomer.walks import NOT_HERE, WALKS, Typed, reason

SHOWN = shown()
TYPED = {step.line for walk in WALKS.values() for step in walk if isinstance(step, Typed)}


@pytest.mark.parametrize("line", SHOWN)
def test_a_line_that_is_shown_is_typed_or_has_a_reason(line: str) -> None:
    for page in SHOWN[line]:
        assert line in TYPED or reason(page, line), (
            f"{page} shows {line!r}: tests/newcomer/walks.py types it in a walk, or says why nobody can"
        )


@pytest.mark.parametrize("line", sorted(TYPED))
def test_a_line_that_is_typed_is_shown(line: str) -> None:
    assert line in SHOWN


@pytest.mark.parametrize("pattern", NOT_HERE)
def test_a_reason_is_of_a_line_that_is_shown(pattern: str) -> None:
    places = [f"{page}: {line}" for line, pages in SHOWN.items() for page in pages]
    assert any(re.search(pattern, place) for place in places)
