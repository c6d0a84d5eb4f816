"""The page on `/`: plain, complete, and nothing in it that was not escaped."""

from __future__ import annotations

from common.front_page import POLICY, FrontPage

PAGE = FrontPage(
    "mcp-fetch-streamablehttp-server", "Fetch <1>", "0.3.0", "Reads & shows.", [("fetch", "Gets <b>")]
)


def test_it_says_what_this_is_and_how_to_connect() -> None:
    html = PAGE.html("https://fetch.example.com/mcp?a&b")
    assert "claude mcp add --transport http fetch https://fetch.example.com/mcp?a&amp;b" in html
    assert "&quot;url&quot;: &quot;https://fetch.example.com/mcp?a&amp;b&quot;" in html
    assert "<h1>Fetch &lt;1&gt;</h1>" in html
    assert "Gets &lt;b&gt;" in html
    assert "<b>" not in html
    assert "<script" not in html
    assert "default-src 'none'" in POLICY
