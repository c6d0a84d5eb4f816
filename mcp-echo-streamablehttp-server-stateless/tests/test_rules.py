"""Host and origin rules, identity and redaction, case by case."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_echo_streamablehttp_server_stateless.identity import Identity
from mcp_echo_streamablehttp_server_stateless.redact import fingerprint, header_value, text
from mcp_echo_streamablehttp_server_stateless.security import NameRule, OriginRule
from mcp_echo_streamablehttp_server_stateless.settings import name_rules


@pytest.mark.parametrize(
    ("rule", "host", "allowed"),
    [
        ("example.com", "example.com", True),
        ("example.com", "EXAMPLE.com.:8443", True),
        ("example.com", "example.com.evil.net", False),
        ("example.com", "evil-example.com", False),
        ("example.com:8443", "example.com:8443", True),
        ("example.com:8443", "example.com", False),
        ("localhost:*", "localhost:1234", True),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", ".example.com", False),
        ("*.example.com", "evilexample.com", False),
        ("[::1]", "[::1]:3000", True),
        ("*", "anything.at.all", True),
        ("*", "not a host", False),
    ],
)
def test_host_rules(rule: str, host: str, allowed: bool) -> None:
    assert NameRule.parse(rule).allows(host) is allowed


def test_a_host_may_be_given_as_the_whole_address() -> None:
    assert name_rules("http://localhost:8080, https://example.com") == name_rules(
        "localhost:8080,example.com"
    )


@pytest.mark.parametrize(
    ("rule", "origin", "allowed"),
    [
        ("localhost", "http://localhost:6274", True),
        ("localhost", "https://localhost", True),
        ("https://app.example.com", "https://app.example.com", True),
        ("https://app.example.com", "https://app.example.com:443", True),
        ("https://app.example.com", "http://app.example.com", False),
        ("https://app.example.com", "https://app.example.com:8443", False),
        ("https://app.example.com:*", "https://app.example.com:8443", True),
        ("https://*.example.com", "https://a.example.com", True),
        ("localhost", "null", False),
        ("*", "null", False),
        ("localhost", "http://localhost/path", False),
    ],
)
def test_origin_rules(rule: str, origin: str, allowed: bool) -> None:
    assert OriginRule.parse(rule).allows(origin) is allowed


@pytest.mark.parametrize("rule", ["", "a b", "https://x", "*.*.com", "a/b", "user@host", "host:port"])
def test_a_rule_that_is_no_host_is_refused(rule: str) -> None:
    with pytest.raises(ValueError, match="is not a host name"):
        NameRule.parse(rule)


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
