"""A server's own address, and which of its endpoints a path belongs to."""

from __future__ import annotations

import pytest

from common.public_url import PublicUrl


@pytest.mark.parametrize(
    ("text", "path", "resource"),
    [
        ("https://time.example.com/mcp", "/mcp", "https://time.example.com/mcp"),
        ("https://time.example.com/mcp/", "/mcp/", "https://time.example.com/mcp"),
        ("https://time.example.com", "/mcp", "https://time.example.com/mcp"),
        ("https://Time.Example.com:443/mcp", "/mcp/below", "https://time.example.com/mcp"),
        ("http://localhost:8080/time/mcp", "/mcp", "http://localhost:8080/time/mcp"),
        ("http://localhost:8080/time/mcp", "/a/mcp", "http://localhost:8080/time/a/mcp"),
        ("http://localhost:8080/time/mcp", "/a/b/mcp/x", "http://localhost:8080/time/a/b/mcp"),
        ("https://time.example.com/mcp", "/mcp/a/mcp", "https://time.example.com/mcp"),
        ("https://time.example.com/mcp", "/other", "https://time.example.com/mcp"),
        ("https://time.example.com/mcp", "/", "https://time.example.com/mcp"),
        ("http://[::1]:8080/mcp", "/mcp", "http://[::1]:8080/mcp"),
    ],
)
def test_the_resource_of_a_path(text: str, path: str, resource: str) -> None:
    assert PublicUrl.parse(text).resource(path) == resource


@pytest.mark.parametrize(
    "text",
    ["", "time.example.com", "ftp://x/mcp", "https://", "https://u@x/mcp", "https://x/mcp?a", "https://x/mcp#a",
     "https://x:port/mcp", "https://x y/mcp", "https://[x/mcp", "https://ä.example/mcp"],
)  # fmt: skip
def test_what_is_no_address_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="not the address of a server"):
        PublicUrl.parse(text)


def test_it_is_shown_as_people_write_it() -> None:
    assert str(PublicUrl.parse("https://time.example.com")) == "https://time.example.com/mcp"
