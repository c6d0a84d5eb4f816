"""Bodies of every kind but pages: PDF, feeds, sitemaps, JSON, XML, CSV, text, data."""

from __future__ import annotations

import io

import pytest
from mcp_fetch_streamablehttp_server.reading.document import Document, UnreadableError
from mcp_fetch_streamablehttp_server.reading.read import Job, read

URL = "https://example.com/dir/page"


def read_as(body: bytes, kind: str, **how: object) -> Document:
    return read(body, Job(kind, URL, **how))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "kind", "content"),
    [
        ("Grüße".encode("latin-1"), "text/plain; charset=iso-8859-1", "Grüße"),
        ("\ufeffabc".encode(), "text/plain", "abc"),
        ("abc".encode("utf-16"), "text/plain", "abc"),
        (b'{"a":[1,"\xc3\xa9"]}', "application/json", '{\n  "a": [\n    1,\n    "é"\n  ]\n}'),
        (b'{"a":', "application/json", '{"a":'),
        (b"[" * 100_000, "application/json", "[" * 100_000),
        (b"<a><b x='1'/></a>", "application/xml", '<a>\n  <b x="1"/>\n</a>'),
        (b"# readme", "application/octet-stream", "# readme"),
        (b"<!doctype html><h1>T", "", "# T"),
        (b'<?xml version="1.0"?><html><body><h1>T</h1></body></html>', "application/xhtml+xml", "# T"),
        (b"a,b|c\n1,\n", "text/csv", "| a | b\\|c |\n| --- | --- |\n| 1 |  |"),
        (b"a;b\n1;2\n", "text/csv; charset=utf-8", "| a | b |\n| --- | --- |\n| 1 | 2 |"),
        (b"a\tb\n1\t2\n", "text/tab-separated-values", "| a | b |\n| --- | --- |\n| 1 | 2 |"),
        (b"", "application/pdf", ""),
    ],
)
def test_text_of_every_kind(body: bytes, kind: str, content: str) -> None:
    assert read_as(body, kind).text == content


def test_raw_is_the_text_as_it_came() -> None:
    source = "<title>x</title><p hidden>all of it</p>"
    assert read_as(source.encode(), "text/html", raw=True) == Document(source)


@pytest.mark.parametrize("kind", ["application/zip", "video/mp4", "", "font/woff2"])
def test_other_data_is_described_and_never_dumped(kind: str) -> None:
    document = read_as(b"\x00\x01\xff\xfd\x80\x9f", kind)
    assert document == Document(
        f"This is data of type {kind or 'unknown'} with 6 bytes, not text.", kind="data"
    )


RSS = b"""<?xml version="1.0"?><rss version="2.0"><channel><title>News</title>
<item><title>One &amp; only</title><link>https://example.com/1</link><pubDate>Mon, 05 Jan 2026</pubDate>
<description>&lt;p&gt;What &lt;b&gt;happened&lt;/b&gt;&lt;/p&gt;</description></item></channel></rss>"""
ATOM = b"""<feed xmlns="http://www.w3.org/2005/Atom"><title>News</title><entry><title>One &amp; only</title>
<link rel="edit" href="/edit"/><link href="/1"/><updated>Mon, 05 Jan 2026</updated>
<summary type="html">&lt;p&gt;What &lt;b&gt;happened&lt;/b&gt;&lt;/p&gt;</summary></entry></feed>"""


@pytest.mark.parametrize("body", [RSS, ATOM])
@pytest.mark.parametrize("kind", ["application/rss+xml", "text/xml", "application/atom+xml", "text/html"])
def test_a_feed_is_a_list(body: bytes, kind: str) -> None:
    document = read_as(body, kind)
    assert document.title == "News"
    assert document.text == "- [One & only](https://example.com/1) (Mon, 05 Jan 2026)\n  What happened"
    assert document.links == [("https://example.com/1", "One & only")]


@pytest.mark.parametrize(
    "start",
    [b"<!-- made by hand -->\n", b"<?a?>" * 280, b"<!--" * 350, b'<!DOCTYPE html PUBLIC "-//W3C//DTD">'],
)
def test_a_page_that_only_speaks_of_feeds_is_a_page(start: bytes) -> None:
    assert read_as(start + b"<p>&lt;rss> <rss>is a word", "text/html").kind == "page"


def test_a_json_feed_is_a_list() -> None:
    body = b'{"version":"https://jsonfeed.org/version/1.1","title":"F","items":[{"title":"A","url":"/a"}]}'
    assert read_as(body, "application/feed+json").text == "- [A](https://example.com/a)"


def test_a_sitemap_is_a_list() -> None:
    body = (
        b'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url><loc>https://example.com/a</loc>'
        b"<lastmod>2026-01-01</lastmod></url></urlset>"
    )
    assert read_as(body, "application/xml").text == "- https://example.com/a (2026-01-01)"


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "http://127.0.0.1:1/">]><rss><channel><title>&x;</title></channel></rss>',
    ],
)
def test_entities_lead_nowhere(body: bytes) -> None:
    document = read_as(body, "text/xml")
    assert "root:" not in f"{document.text}{document.title}"


def pdf(*texts: str) -> bytes:
    """A PDF of one line a page, written by hand."""
    pages = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(texts)))
    objects = ["<</Type/Catalog/Pages 2 0 R>>", f"<</Type/Pages/Kids[{pages}]/Count {len(texts)}>>",
               "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]  # fmt: skip
    for number, text in enumerate(texts):
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
        objects.append(f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents {5 + 2 * number} 0 R"
                       "/Resources<</Font<</F1 3 0 R>>>>>>")  # fmt: skip
        objects.append(f"<</Length {len(stream)}>>\nstream\n{stream}\nendstream")
    out = io.BytesIO()
    out.write(b"%PDF-1.4\n")
    places = []
    for number, content in enumerate(objects, 1):
        places.append(out.tell())
        out.write(f"{number} 0 obj\n{content}\nendobj\n".encode())
    start = out.tell()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}".encode())
    out.write(f"trailer\n<</Size {len(objects) + 1}/Root 1 0 R>>\nstartxref\n{start}\n%%EOF".encode())
    return out.getvalue()


def test_a_pdf_is_text_page_by_page() -> None:
    document = read_as(pdf("first words", "second words"), "application/octet-stream")
    assert document.text == "## Page 1\n\nfirst words\n\n## Page 2\n\nsecond words"
    assert document.facts == {"pages": "2"}
    later = read_as(pdf("first words", "second words"), "application/pdf", first_page=2)
    assert later.text == "## Page 2\n\nsecond words"


def test_a_pdf_that_cannot_be_read_says_so() -> None:
    with pytest.raises(UnreadableError, match="has 1 pages, so there is none numbered 3"):
        read_as(pdf("a"), "application/pdf", first_page=3)
    with pytest.raises(UnreadableError, match="The PDF is broken"):
        read_as(b"%PDF-1.7\nnothing", "application/pdf")
