"""What a page turns into."""

import pytest
from mcp_fetch_streamablehttp_server.errors import FetchError
from mcp_fetch_streamablehttp_server.render import Image, Text, render

URL = "https://example.com/dir/page"


def html(text: str) -> Text:
    rendered = render(text.encode(), "text/html; charset=utf-8", URL, raw=False)
    assert isinstance(rendered, Text)
    return rendered


def test_headings_lists_tables_code_and_absolute_links() -> None:
    page = html(
        "<title> A\n page </title><h1>Top</h1><p>See <a href='../x?y=1'>this</a> "
        "and <img src=i.png alt=pic></p>"
        "<ul><li>one<li>two</ul><table><tr><th>k</th></tr><tr><td>v</td></tr></table><pre>a\n  b</pre>"
    )
    assert page.title == "A page"
    assert page.content == (
        "# Top\n\nSee [this](https://example.com/x?y=1) and ![pic](https://example.com/dir/i.png)\n\n"
        "- one\n- two\n\n| k |\n| --- |\n| v |\n\n```\na\n  b\n```"
    )


def test_base_counts_for_links() -> None:
    assert "(https://cdn.example/a)" in html("<base href='https://cdn.example/'><a href=a>x</a>").content


def test_only_the_main_part_is_kept() -> None:
    page = html("<nav>menu</nav><main><p>story</p><aside>note</aside></main><footer>legal</footer>")
    assert page.content == "story\n\nnote"
    assert html("<nav>menu</nav><p>story</p><footer>legal</footer>").content == "story"


@pytest.mark.parametrize(
    "hidden",
    [
        "<p hidden>obey</p>",
        "<div style='display: none'><p>obey</p></div>",
        "<div style='VISIBILITY:hidden'>obey</div>",
        "<span aria-hidden=true>obey</span>",
        "<script>obey</script>",
        "<template>obey</template>",
        "<noscript>obey</noscript>",
        "<!-- obey -->",
        "<main hidden>obey</main>",
    ],
)
@pytest.mark.parametrize("depth", [1, 400])
def test_what_no_visitor_sees_is_left_out(hidden: str, depth: int) -> None:
    page = html("<div>" * depth + f"<p>shown</p>{hidden}")
    assert "obey" not in page.content
    assert "shown" in page.content


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd"]
)
def test_links_that_are_no_addresses_are_dropped(link: str) -> None:
    assert html(f"<p>a <a href='{link}'>word</a></p>").content == "a word"


def test_deep_nesting_and_tags_named_like_methods_do_no_harm() -> None:
    assert html("<div>" * 5000 + "text").content in ("", "text")
    assert html("<i>" * 190 + "text").content.strip("*") == "text"
    assert html("<soup>text</soup>").content == "text"


@pytest.mark.parametrize(
    ("body", "kind", "content"),
    [
        ("Grüße".encode("latin-1"), "text/plain; charset=iso-8859-1", "Grüße"),
        (b'<meta charset="windows-1252"><p>\x80</p>', "text/html", "€"),
        ("<p>Grüße".encode(), "text/html; charset=no-such-thing", "Grüße"),
        ("\ufeffabc".encode(), "text/plain", "abc"),
        ("abc".encode("utf-16"), "text/plain", "abc"),
        (b"a\xffb", "text/plain", "a\ufffdb"),
        (b'{"a": 1}', "application/json", '{"a": 1}'),
        (b"<rss/>", "application/rss+xml", "<rss/>"),
        (b"# readme", "application/octet-stream", "# readme"),
        (b"<!doctype html><h1>T", "", "# T"),
        (b'<?xml version="1.0"?><html><body><h1>T</h1></body></html>', "application/xhtml+xml", "# T"),
        (b"", "application/pdf", ""),
    ],
)
def test_text_of_every_kind(body: bytes, kind: str, content: str) -> None:
    assert render(body, kind, URL, raw=False) == Text(content, None)


def test_raw_is_the_text_as_it_came() -> None:
    source = "<title>x</title><p hidden>all of it</p>"
    assert render(source.encode(), "text/html", URL, raw=True) == Text(source)


@pytest.mark.parametrize(
    ("start", "mime"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBP", "image/webp"),
    ],
)
def test_an_image_is_known_by_its_bytes(start: bytes, mime: str) -> None:
    body = start + b"\0" * 20
    assert render(body, "image/whatever", URL, raw=False) == Image(body, mime)


@pytest.mark.parametrize("kind", ["application/pdf", "image/x-icon", "", "video/mp4"])
def test_other_data_is_refused_by_name(kind: str) -> None:
    with pytest.raises(
        FetchError, match=f"The page is {kind or 'data'} of 5 bytes, which cannot be shown as text"
    ):
        render(b"\x01\xff\xfd\x80\x9f", kind, URL, raw=False)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", ["<p hidden>", "<!--", '<a x="', "</", "<?x", "<div>", "<b><i>", "\n \n"])
def test_a_hostile_page_takes_no_more_time_than_its_size(piece: str) -> None:
    """Work that grew with the square of this would take minutes; the time limit tells."""
    html(piece * (200_000 // len(piece)))


def test_html_beyond_the_limit_is_left_to_raw() -> None:
    with pytest.raises(FetchError, match="fetch it with raw=true"):
        html("x" * 2_000_001)
