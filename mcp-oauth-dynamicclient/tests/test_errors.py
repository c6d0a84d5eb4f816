"""What an error says to the client, and what to the log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_oauth_dynamicclient import errors
from mcp_oauth_dynamicclient.errors import InvalidGrantError, InvalidRequestError, OAuth2Error

TREE = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, OAuth2Error)
]  # fmt: skip


def test_a_description_holds_only_what_the_standard_allows_whatever_it_quotes() -> None:
    error = InvalidRequestError('Send "grün\\" once\x00, 日本.')
    assert dict(error.get_body())["error_description"] == "Send 'grun?' once?, ??."


def test_a_person_reads_the_sentence_as_it_was_written_but_for_what_no_screen_shows() -> None:
    error = InvalidRequestError('Zürich said "日本"\u202e\x1b[2J\u200b.')
    assert error.reason == 'Zürich said "日本"??[2J?.'


@given(st.text())
def test_whatever_is_quoted_no_error_breaks(text: str) -> None:
    error = InvalidRequestError(text)
    description = dict(error.get_body()).get("error_description") or ""
    assert all(char in " !" or "#" <= char <= "[" or "]" <= char <= "~" for char in description)
    assert error.reason.isprintable()


def refuse() -> None:
    try:
        raise KeyError("kid")  # noqa: TRY301  # a chain of causes
    except KeyError as error:
        raise InvalidRequestError("The header is unusable.") from error


def test_the_detail_is_every_cause_and_is_never_sent() -> None:
    with pytest.raises(InvalidRequestError) as first:
        refuse()
    error = InvalidGrantError("The assertion is not valid.", detail="issuer x")
    error.__cause__ = first.value
    assert error.detail == "issuer x; InvalidRequestError: The header is unusable.; KeyError: 'kid'"
    assert dict(error.get_body()) == {
        "error": "invalid_grant",
        "error_description": "The assertion is not valid.",
    }


def test_without_a_cause_there_is_no_detail() -> None:
    assert InvalidGrantError("The code is unknown.").detail is None


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: str(kind.__name__))
def test_every_error_has_a_code_of_its_standard(kind: type[OAuth2Error]) -> None:
    assert kind is OAuth2Error or kind.error
