"""Reads the pages of a corpus with one program and prints how well and how fast: `readers.py NAME CORPUS`.

At most PAGES of each set, evenly spread. A page not read after PAGE_SECONDS counts as empty.
Runs in an environment of its own that has the program. Words are `\\w+` in lower case, as a bag; precision,
recall and F1 of each page, their mean over the pages; Markdown's links and pictures count by their text.
"""

from __future__ import annotations

import gzip
import json
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lxml.html

Reader = Callable[[str, str], str]
PAGES = 40
PAGE_SECONDS = 10
"""Of processor time. Some programs' time grows with the square of a page; one page would be the figure."""
LINK = re.compile(r"!?\[((?:[^\[\]\\]|\\.|\[[^\[\]]{0,500}\]){0,2000}+)\]\([^)]*\)")
LANGUAGES = {"python3": "python", "py": "python", "pycon3": "pycon", "js": "javascript", "sh": "shell"}
"""Two names of one language."""
ELSEWHERE = ("nav", "footer", "aside")


def this(html: str, url: str) -> str:
    from mcp_fetch_streamablehttp_server.reading.page import read_page

    return read_page(html, url).text


def mcp_server_fetch(html: str, url: str) -> str:
    from mcp_server_fetch.server import extract_content_from_html

    return str(extract_content_from_html(html))


def trafilatura(html: str, url: str) -> str:
    import trafilatura as library

    options = {
        "include_formatting": True,
        "include_links": True,
        "include_tables": True,
        "include_comments": False,
    }
    return library.extract(html, url=url, output_format="markdown", **options) or ""


def resiliparse(html: str, url: str) -> str:
    from resiliparse.extract.html2text import extract_plain_text

    return str(extract_plain_text(html, main_content=True, alt_texts=False, links=False))


def readability_lxml(html: str, url: str) -> str:
    """The article alone, as text: what this server gives to its Markdown writer."""
    from readability import Document

    return " ".join(lxml.html.document_fromstring(Document(html, url=url).summary()).itertext())


READERS: dict[str, Reader] = {
    "this": this,
    "mcp-server-fetch": mcp_server_fetch,
    "trafilatura": trafilatura,
    "resiliparse": resiliparse,
    "readability-lxml": readability_lxml,
}


class TooSlowError(Exception):
    """The page is given up."""


def give_up(*_: object) -> None:
    raise TooSlowError


def spread(names: Sequence[Any]) -> Sequence[Any]:
    count = min(PAGES, len(names))
    return [names[place * len(names) // count] for place in range(count)]


def words(text: str) -> Counter[str]:
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"!\[([^\]]*)\]\([^)]*\)", r"\1", text))
    return Counter(re.findall(r"\w+", text.lower()))


def scores(found: Counter[str], right: Counter[str]) -> tuple[float, float, float]:
    both = (found & right).total()
    if not found and not right:
        return 1, 1, 1
    precision, recall = both / max(1, found.total()), both / max(1, right.total())
    return precision, recall, 2 * both / max(1, found.total() + right.total())


def articles(corpus: Path) -> Iterator[tuple[str, str, str]]:
    for name, page in spread(list(json.loads((corpus / "ground-truth.json").read_text()).items())):
        html = gzip.decompress((corpus / "html" / f"{name}.html.gz").read_bytes()).decode("utf-8", "replace")
        yield html, page["url"], page["articleBody"]


def readability(corpus: Path) -> Iterator[tuple[str, str, str]]:
    for folder in spread(sorted(corpus.iterdir())):
        html, expected = (
            gzip.decompress((folder / f"{name}.html.gz").read_bytes()).decode()
            for name in ("source", "expected")
        )
        yield (
            html,
            "http://fakehost/test/page.html",
            " ".join(lxml.html.document_fromstring(expected).itertext()),
        )


def elsewhere(element: Any) -> bool:
    """Around the page's text: by its tag, or by the landmark that Sphinx names so."""
    return element.tag in ELSEWHERE or element.get("role") == "navigation"


def bare(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).lower()


def language(pre: Any) -> str:
    """What a block of code says of its language, itself or around it; empty where nothing does."""
    for element in (*pre.iter("code"), pre, *list(pre.iterancestors())[:2]):
        for word in (element.get("class") or "").lower().split():
            found = re.fullmatch(r"(?:language|lang|highlight|highlight-source)-(\w+)", word)
            if found and found[1] not in ("default", "none", "text"):
                return LANGUAGES.get(found[1], found[1])
    return ""


def documentation(reader: Reader, corpus: Path) -> dict[str, float]:
    """In per cent: headings, code blocks and data tables that come out whole; languages of code blocks that
    are named where the page names them."""
    there: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    for path in sorted(corpus.rglob("*.html*")):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        page = lxml.html.document_fromstring(data)
        # As a browser would: many manuals are in the encoding that they declare.
        html = data.decode(page.getroottree().docinfo.encoding or "utf-8", "replace")
        page = lxml.html.document_fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", html))
        # What stands in a quotation is a heading or code all the same.
        text = re.sub(r"^ *(?:> ?)+", "", reader(html, "http://docs.example/page.html"), flags=re.MULTILINE)
        plain = LINK.sub(r"\1", text)
        blocks = re.findall(r"```([^\n]*)\n(.*?)\n *```", text, re.DOTALL)
        code = Counter(bare(block) for _, block in blocks)
        named = {
            (LANGUAGES.get(word.strip().lower(), word.strip().lower()), bare(block)) for word, block in blocks
        }
        outside = re.sub(r"```.*?```", "", plain, flags=re.DOTALL)
        heads = Counter(bare(line) for line in outside.split("\n") if re.match(r"#{1,6} ", line))
        everything = bare(plain.replace("<br>", ""))
        for element in page.iter("h1", "h2", "h3", "h4", "h5", "h6", "pre", "table"):
            name = bare(element.text_content())
            if not name or any(map(elsewhere, element.iterancestors())):
                continue
            if element.tag == "table":
                if element.find(".//th") is None or element.find(".//table") is not None:
                    continue
                there["tables"] += 1
                cells = [bare(cell.text_content()) for cell in element.iter("td", "th")]
                kept["tables"] += "| ---" in text and all(cell in everything for cell in cells)
                continue
            kind, found = ("code blocks", code) if element.tag == "pre" else ("headings", heads)
            there[kind] += 1
            if element.tag == "pre" and (spoken := language(element)):
                there["languages"] += 1
                kept["languages"] += (spoken, name) in named
            if found[name]:
                found[name] -= 1
                kept[kind] += 1
    return {f"{kind} %": 100 * kept[kind] / count for kind, count in there.items()}


def main(name: str, corpus: Path, manuals: Path) -> dict[str, Any]:
    read = READERS[name]
    given_up = 0

    def reader(html: str, url: str) -> str:
        nonlocal given_up
        signal.setitimer(signal.ITIMER_PROF, PAGE_SECONDS)
        try:
            return read(html, url)
        except TooSlowError:
            given_up += 1
            return ""
        except Exception:  # a program that fails at a page reads nothing of it
            return ""
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    signal.signal(signal.SIGPROF, give_up)
    figures: dict[str, float] = {}
    read("<title>T</title><p>First of all, what takes its time once, or is missing.", "http://a.example/")
    pages = seconds = 0.0
    for title, load in (("articles", articles), ("readability", readability)):
        found = []
        for html, url, right in load(corpus / title):
            start = time.process_time()
            text = reader(html, url)
            seconds += time.process_time() - start
            pages += 1
            found.append(scores(words(text), words(right)))
        precision, recall, f1 = (sum(column) / len(found) for column in zip(*found, strict=True))
        figures |= {f"{title}: precision": precision, f"{title}: recall": recall, f"{title}: F1": f1}
    figures |= {"pages": pages, "pages given up": given_up}
    figures["pages/CPU s"] = pages / seconds
    return figures | documentation(reader, manuals)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], *map(Path, sys.argv[2:]))))
