"""What a page turns into."""

from __future__ import annotations

import pytest
from mcp_fetch_streamablehttp_server.reading.document import Document
from mcp_fetch_streamablehttp_server.reading.page import read_page

URL = "https://example.com/dir/page"
STORY = "<p>" + "A long sentence, with commas, that tells a story of some length. " * 8 + "</p>"


def html(text: str, content: str = "main") -> Document:
    return read_page(text, URL, content)  # type: ignore[arg-type]


def test_headings_lists_tables_code_and_absolute_links() -> None:
    page = html(
        "<title> A\n page </title><h1>Top</h1><p>See <a href='../x?y=1'>this</a> "
        "and <img src=i.png alt=pic></p>"
        "<ul><li>one<li>two</ul><table><tr><th>k|1<th colspan=2>w</tr><tr><td>v<td>a<td>b</tr></table>"
        "<pre>a\n  b</pre>",
        "full",
    )
    assert page.title == "A page"
    assert page.text == (
        "# Top\n\nSee [this](https://example.com/x?y=1) and ![pic](https://example.com/dir/i.png)\n\n"
        "- one\n- two\n\n| k\\|1 | w | |\n| --- | --- | --- |\n| v | a | b |\n\n```\na\n  b\n```"
    )
    assert page.links == [("https://example.com/x?y=1", "this")]


def test_base_counts_for_links() -> None:
    assert "(https://cdn.example/a)" in html("<base href='https://cdn.example/'><a href=a>x</a>").text


@pytest.mark.parametrize(
    "block",
    [
        "<pre><code class='language-python'>x = 1</code></pre>",
        "<div class='highlight-python x'><div class=highlight><pre><span></span>x = 1\n</pre></div></div>",
        "<div class='highlight highlight-source-python'><pre>x = 1</pre></div>",
        "<pre data-lang=python>x = 1</pre>",
        "<pre class='brush: python'>x = 1</pre>",
        "<pre class='lang-python'><code>x = 1</code></pre>",
    ],
)
def test_code_keeps_its_language(block: str) -> None:
    assert "```python\nx = 1\n```" in html(f"<p>x</p>{block}", "full").text


def test_an_article_comes_without_what_is_around_it() -> None:
    page = html(
        "<title>T</title><nav>menu</nav><div class=sidebar><a href=/x>More news</a></div>"
        f"<div class=article><h1>Head</h1>{STORY * 3}</div>"
        "<div class=comments>nice</div><footer>legal</footer>"
    )
    assert "tells a story" in page.text
    assert not any(word in page.text for word in ("menu", "More news", "nice", "legal"))
    assert "menu" in html(f"<nav>menu</nav>{STORY}", "full").text


@pytest.mark.parametrize(
    "heading",
    [
        "<h3 id=extract>Unpacking</h3>",
        "<h3 class='page-header'>Unpacking</h3>",
        "<h3>2 - <a href='/news/2'>Unpacking</a></h3>",
    ],
)
def test_an_articles_headings_stay_whatever_they_are_called_and_wherever_they_lead(heading: str) -> None:
    body = f"<h1>Top</h1>{STORY}{STORY}{heading}{STORY}{STORY}"
    page = html(f"<title>T</title><body><nav>Menu</nav><div class=post>{body}</div></body>")
    assert "\n### " in page.text
    assert "Unpacking" in page.text
    assert "Menu" not in page.text
    assert ("(https://example.com/news/2)" in page.text) == ("href" in heading)


def test_a_manual_that_loses_its_headings_as_an_article_is_read_whole() -> None:
    code = "<pre>make install</pre>"
    parts = "".join(f"<div class=sidebar><h2>Part {number}</h2><p>Short.</p></div>" for number in range(6))
    page = html(f"<title>T</title><body><div>{STORY}{code}{code}{STORY}</div>{parts}</body>")
    assert all(f"## Part {number}" in page.text for number in range(6))


def test_documentation_keeps_its_code_tables_and_headings() -> None:
    code = "".join(f"<h2>Part {n}</h2><p>text</p><pre>call({n})</pre>" for n in range(6))
    table = "<table><tr><th>name<th>meaning</tr><tr><td>a<td>b</tr></table>"
    page = html(f"<nav>menu</nav><div class=sidebar><p>short</p>{code}{table}</div>{STORY * 3}")
    assert all(f"## Part {n}" in page.text and f"call({n})" in page.text for n in range(6))
    assert "| name | meaning |" in page.text


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
        "<p style='opacity:0'>obey</p>",
        "<p style='opacity:.01'>obey</p>",
        "<p style='font-size:0'>obey</p>",
        "<p style='font-size:1px'>obey</p>",
        "<p style='position:absolute;left:-9999px'>obey</p>",
        "<p style='position:fixed;top:-200em'>obey</p>",
        "<p style='text-indent:-9999px'>obey</p>",
        "<p style='transform:translateX(-9999px)'>obey</p>",
        "<p style='transform:scale(0)'>obey</p>",
        "<p style='color:white;background:#fff'>obey</p>",
        "<p style='color:#ffffff'>obey</p>",
        "<p style='color:transparent'>obey</p>",
        "<p style='color:rgba(0,0,0,0)'>obey</p>",
        "<p style='clip:rect(0,0,0,0);position:absolute'>obey</p>",
        "<p style='clip-path:inset(50%)'>obey</p>",
        "<p style='height:0;overflow:hidden'>obey</p>",
        "<p style='content-visibility:hidden'>obey</p>",
        "<style>.h{display:none}</style><p class=h>obey</p>",
        "<style>/* x */ p.a.b , #z {visibility : hidden !important}</style><p class='b a'>obey</p>",
        "<style>#z{opacity:0}</style><p id=z>obey</p>",
        "<p class=sr-only>obey</p>",
        "<p class='x visually-hidden'>obey</p>",
        "<dialog>obey</dialog>",
        "<iframe>obey</iframe>",
        "<svg><text>obey</text></svg>",
    ],
)
@pytest.mark.parametrize("content", ["main", "full"])
def test_what_no_visitor_sees_is_left_out(hidden: str, content: str) -> None:
    page = html(f"<p>shown</p>{hidden}", content)
    assert "obey" not in page.text
    assert "shown" in page.text


@pytest.mark.parametrize(
    "shown",
    [
        "<style>@media print{.s{display:none}} .t{color:#333}</style><p class='s t'>story</p>",
        "<style>.s{display:none} .s{display:block}</style><p class=s>story</p>",
        "<div style='background:#036'><p style='color:white'>story</p></div>",
        "<p style='opacity:1;font-size:16px;left:0'>story</p>",
    ],
)
def test_what_a_visitor_sees_stays(shown: str) -> None:
    assert "story" in html(shown).text


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd"]
)
def test_links_that_are_no_addresses_are_dropped(link: str) -> None:
    assert html(f"<p>a <a href='{link}'>word</a></p>").text == "a word"


def test_lazy_pictures_come_with_the_address_they_would_load() -> None:
    page = html("<img data-src=/real.jpg src=data:image/gif;base64,AA alt=a>"
                "<img srcset='/s.jpg 100w, /l.jpg 900w' alt=b>", "full")  # fmt: skip
    assert "![a](https://example.com/real.jpg)" in page.text
    assert "![b](https://example.com/l.jpg)" in page.text


def test_what_a_page_says_of_itself() -> None:
    page = html(
        "<html lang=de><title>T</title><meta name=author content='A. Author'>"
        "<meta name=description content=D>"
        "<meta property='article:published_time' content=2026-01-02>"
        "<link rel=canonical href=/c>"
        "<link rel=license href=https://l.example/by><link rel=alternate type=text/markdown href=/page.md>"
        '<script type=application/ld+json>{"@type":"NewsArticle","dateModified":"2026-02-03"}</script><p>x'
    )
    assert page.facts == {
        "author": "A. Author", "published": "2026-01-02", "modified": "2026-02-03", "description": "D",
        "language": "de", "canonical": "https://example.com/c", "license": "https://l.example/by",
        "markdown": "https://example.com/page.md",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("<div id=root></div><script src=app.js></script>", "builds its text with JavaScript"),
        ("<meta http-equiv=refresh content='0; url=/next'>", "https://example.com/next"),
        ("<frameset><frame src=/a.html></frameset>", "https://example.com/a.html"),
    ],
)
def test_an_empty_page_says_why(page: str, reason: str) -> None:
    (note,) = html(page).notes
    assert reason in note


def test_formulas_and_captions_stand_once() -> None:
    page = html("<figure><img src=a.png alt='A cat'><figcaption>A cat on a mat</figcaption></figure><p>"
                "<math><mi>x</mi><annotation encoding=tex>x^2</annotation></math>", "full")  # fmt: skip
    assert page.text.count("A cat") == 1
    assert "x^2" in page.text
