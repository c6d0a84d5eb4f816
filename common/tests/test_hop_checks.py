"""A check makes a verdict of whatever a server answers, and one that finds fault names rule and cure;
the cases of each hop are the doctor's (mcp-streamablehttp-client/tests/test_doctor.py)."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from common import hop_checks as check
from common import hop_checks_oauth as oauth
from common.hop import Bearer, Reply, Verdict

URL = "https://time.example.com/mcp"
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
members = st.sampled_from(
    [
        "resource",
        "authorization_servers",
        "issuer",
        "authorization_endpoint",
        "token_endpoint",
        "client_id",
        "redirect_uris",
        "code_challenge_methods_supported",
        "response_types_supported",
        "error",
        "error_description",
        "jsonrpc",
        "id",
        "result",
        "token_endpoint_auth_method",
        "protocolVersion",
        "supportedVersions",
    ]
)
documents = st.dictionaries(members, values | st.sampled_from([URL, [URL], "http://[", "http://h:x/"]))
bodies = st.one_of(st.binary(max_size=50), documents.map(lambda value: json.dumps(value).encode()))
fields = st.dictionaries(
    st.sampled_from(["content-type", "location", "www-authenticate", "mcp-session-id", "date"]),
    st.text(max_size=40)
    | st.sampled_from(
        [
            "application/json",
            "http://[",
            "//h:x/",
            "text/event-stream",
            "text/html",
            'Bearer resource_metadata="x"',
        ]
    ),
)
replies = st.builds(Reply, st.integers(100, 599), fields, bodies)


@given(replies, documents, st.text(max_size=60))
def test_every_answer_gets_a_verdict(reply: Reply, document: dict[str, Any], text: str) -> None:
    found: list[Verdict] = [
        check.check_url(text),
        check.check_redirect(URL, reply),
        check.check_handshake(reply),
        check.check_modern(reply, has_token=True),
        check.check_session(reply, reply),
        check.check_clock(reply.headers.get("date"), 0.0),
        check.check_tls("host", problem=text),
        oauth.check_challenge(URL, reply),
        oauth.check_resource_metadata(URL, URL, reply),
        oauth.check_issuer(URL, URL, reply),
        oauth.check_registration(document, reply),
        oauth.check_registration(document, None),
        oauth.check_authorize(reply, "http://127.0.0.1/callback", "state", URL),
        oauth.check_token("token", reply),
        oauth.check_token("refresh", reply),
        oauth.check_audience(text, URL, URL, 0.0),
        oauth.check_invented_token(reply),
    ]
    for verdict in found:
        if verdict.state in ("wrong", "warning"):
            assert verdict.rule, verdict
            assert verdict.cure, verdict
        assert len(verdict.said) <= 301 + len(text)
    assert isinstance(check.is_server(reply), bool)


def test_a_bearer_challenge_among_others() -> None:
    found = Bearer.of('Basic realm="a", Bearer scope="x y", resource_metadata=https://h/p')
    assert found is not None
    assert found.parameters == {"scope": "x y", "resource_metadata": "https://h/p"}
    assert Bearer.of("Basic realm=bearer") is None
    assert Bearer.of(None) is None
