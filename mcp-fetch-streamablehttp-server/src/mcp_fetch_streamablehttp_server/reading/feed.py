"""Feeds (RSS, Atom, JSON Feed) and sitemaps as lists; other XML set out in lines."""

from __future__ import annotations

import re
from typing import Any

import lxml.etree
import lxml.html
from bs4 import BeautifulSoup, Tag

from .document import Document
from .html import absolute

MOST_ENTRIES = 500
_SUMMARY = 500
_MOST_INDENTED = 3_000_000
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")


def read_xml(text: str, url: str) -> Document:
    """The text as it came where it is not well-formed enough to be set out."""
    root = lxml_root(text)
    if root is None:
        return Document(text)
    name = lxml.etree.QName(root).localname
    if name in ("rss", "RDF", "feed"):
        return read_feed(text, url)
    if name in ("urlset", "sitemapindex"):
        return read_sitemap(root)
    if name == "html":
        from .page import read_page

        return read_page(text, url)
    return Document(indented(root, text), kind="xml")


def lxml_root(text: str) -> Any:
    parser = lxml.etree.XMLParser(
        resolve_entities=False, no_network=True, remove_blank_text=True, recover=True
    )
    try:
        return lxml.etree.fromstring(_DECLARATION.sub("", text).encode("utf-8", "replace"), parser)
    except lxml.etree.XMLSyntaxError:
        return None


def indented(root: Any, text: str) -> str:
    depth = {root: 0}
    spaces = 0
    for element in root.iter(lxml.etree.Element):
        parent = element.getparent()
        level = depth.get(parent, -1) + 1 if parent is not None else 0
        depth[element] = level
        spaces += 4 * level
        if spaces > _MOST_INDENTED:
            return text
    return str(lxml.etree.tostring(root, encoding="unicode", pretty_print=True)).strip()


def read_feed(text: str, url: str) -> Document:
    soup = BeautifulSoup(text, "lxml-xml")
    channel = soup.find(["channel", "feed"]) or soup
    entries = soup.find_all(["item", "entry"], limit=MOST_ENTRIES)
    lines, links = [], []
    for entry in entries:
        name = said(entry, "title") or "(no title)"
        target = link_of(entry, url)
        date = said(entry, "pubDate", "published", "updated", "date")
        lines.append("- " + (f"[{name}]({target})" if target else name) + (f" ({date})" if date else ""))
        summary = said(entry, "description", "summary", "encoded", "content")
        if summary and summary != name:
            lines.append("  " + summary[:_SUMMARY] + ("…" if len(summary) > _SUMMARY else ""))
        if target:
            links.append((target, name))
    title = said(channel, "title") if isinstance(channel, Tag) else None
    facts = {"entries": str(len(entries))}
    return Document("\n".join(lines), title, "feed", facts, links)


def said(entry: Tag, *names: str) -> str | None:
    """The text of the first child of these names, without the markup it may carry."""
    for name in names:
        found = next(
            (child for child in entry.children if isinstance(child, Tag) and child.name == name), None
        )
        text = found.get_text() if found is not None else ""
        if "<" in text:
            try:
                text = lxml.html.fragment_fromstring(text[:20_000], create_parent="div").text_content()
            except (lxml.etree.ParserError, ValueError):
                continue
        if text.strip():
            return " ".join(text.split())
    return None


def link_of(entry: Tag, url: str) -> str | None:
    for link in entry.find_all("link", limit=10):
        if link.get("rel") in (None, "alternate"):
            target = absolute(url, str(link.get("href") or link.get_text()))
            if target:
                return target
    return None


def read_sitemap(root: Any) -> Document:
    lines, links = [], []
    for place in root:
        if not isinstance(place.tag, str):
            continue
        found = {
            lxml.etree.QName(child).localname: (child.text or "").strip()
            for child in place
            if isinstance(child.tag, str)
        }
        target = found.get("loc")
        if target:
            lines.append(f"- {target}" + (f" ({found['lastmod']})" if found.get("lastmod") else ""))
            links.append((target, ""))
    facts = {"entries": str(len(lines))}
    return Document("\n".join(lines), None, "sitemap", facts, links[:MOST_ENTRIES])


def from_json_feed(value: Any, url: str) -> Document | None:
    """JSON Feed 1.1; None for any other JSON."""
    if not isinstance(value, dict) or "jsonfeed.org" not in str(value.get("version", "")):
        return None
    lines, links = [], []
    items = value.get("items")
    for item in items[:MOST_ENTRIES] if isinstance(items, list) else []:
        if isinstance(item, dict):
            title = " ".join(str(item.get("title") or item.get("summary") or item.get("id") or "").split())
            target = absolute(url, str(item.get("url") or ""))
            date = str(item.get("date_published") or "")
            lines.append(
                "- " + (f"[{title}]({target})" if target else title) + (f" ({date})" if date else "")
            )
            if target:
                links.append((target, title))
    return Document(
        "\n".join(lines), str(value.get("title") or "") or None, "feed", {"entries": str(len(lines))}, links
    )
