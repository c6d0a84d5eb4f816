"""Identity and redaction, case by case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_echo_streamablehttp_server_stateless.identity import Identity
from mcp_echo_streamablehttp_server_stateless.redact import fingerprint, header_value, text


def test_identity_is_read_as_utf8_and_only_when_unambiguous() -> None:
    headers = [
        (b"x-user-id", b"7"),
        (b"x-user-name", "Zoë".encode()),
        (b"x-client-id", b"a"),
        (b"X-Client-Id", b"b"),
    ]
    assert Identity.from_headers(headers) == Identity("7", "Zoë", None)
    assert Identity.from_headers([(b"x_user_id", b"7")]).empty


def test_a_short_secret_shows_nothing() -> None:
    assert fingerprint("hunter2") == "[redacted]"


@given(st.text(alphabet=st.characters(codec="ascii", categories=["L", "N"]), min_size=20, max_size=200))
def test_no_more_than_four_characters_of_a_secret_are_shown(secret: str) -> None:
    for name in ("Authorization", "Cookie", "X-Auth-Token", "X-Api-Key", "X-Hub-Signature", "Mcp-Session-Id"):
        for value in (secret, f"Bearer {secret}", f"sid={secret}"):
            shown = header_value(name, value)
            assert secret[:-4] not in shown
            assert secret[-5:] not in shown


@pytest.mark.parametrize(
    "value",
    [
        "/cb?code=SECRETSECRET",
        "https://u:SECRETSECRET@example.com/",
        "see Bearer SECRETSECRET",
        "https://example.com/#id_token=SECRETSECRET",
        "eyJhbGciOiJub25lIn0.SECRETSECRET.sig",
        "ghp_SECRETSECRETSECRET",
    ],
)
def test_credentials_inside_other_text_are_removed(value: str) -> None:
    assert "SECRETSECRET" not in text(value)
