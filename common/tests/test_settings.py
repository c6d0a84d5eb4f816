"""Words of settings."""

from __future__ import annotations

from common.settings import comma_list


def test_a_comma_list_is_forgiving() -> None:
    assert comma_list(" a, b ,,c,") == ["a", "b", "c"]
    assert comma_list("") == comma_list(" , ") == []
