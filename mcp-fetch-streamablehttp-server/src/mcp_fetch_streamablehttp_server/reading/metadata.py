"""What a page says about itself: title, author, dates, description, canonical address, language, licence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from lxml.html import HtmlElement

from .html import absolute

LONGEST = 300
_MOST_JSON = 200_000
_META = {
    "author": ("author", "article:author", "dc.creator", "parsely-author", "citation_author"),
    "published": (
        "article:published_time", "datepublished", "date", "dc.date", "dcterms.created", "pubdate",
        "parsely-pub-date", "citation_publication_date",
    ),
    "modified": ("article:modified_time", "datemodified", "last-modified", "dcterms.modified"),
    "description": ("description", "og:description", "twitter:description", "dc.description"),
    "site": ("og:site_name", "application-name"),
    "generator": ("generator",),
}  # fmt: skip
_ARTICLES = {"article", "newsarticle", "blogposting", "report", "techarticle", "scholarlyarticle", "webpage"}


def title_of(root: HtmlElement) -> str | None:
    found = root.find(".//title")
    words = text_of(found.text_content()) if found is not None else None
    return words or meta(root).get("og:title")


def facts_of(root: HtmlElement, base: str) -> dict[str, str]:
    stated = meta(root)
    facts = {
        name: value
        for name, names in _META.items()
        if (value := next((stated[key] for key in names if key in stated), None))
    }
    for name, value in from_json(root).items():
        facts.setdefault(name, value)
    language = root.get("lang") or root.get("xml:lang") or stated.get("content-language")
    if language:
        facts["language"] = language.strip()[:35]
    for link in root.iter("link", "a"):
        relations = (link.get("rel") or "").lower().split()
        target = absolute(base, link.get("href") or "") if relations else None
        if target and "canonical" in relations:
            facts.setdefault("canonical", target)
        if target and "license" in relations:
            facts.setdefault("license", target)
        if target and link.tag == "link" and "alternate" in relations and link.get("type") == "text/markdown":
            facts.setdefault("markdown", target)
    return {name: value for name, value in facts.items() if value}


def meta(root: HtmlElement) -> dict[str, str]:
    found: dict[str, str] = {}
    for element in root.iter("meta"):
        name = (
            element.get("name")
            or element.get("property")
            or element.get("itemprop")
            or element.get("http-equiv")
        )
        value = text_of(element.get("content") or "")
        if name and value:
            found.setdefault(name.strip().lower(), value)
    return found


def from_json(root: HtmlElement) -> dict[str, str]:
    """Author and dates of the first article in the page's JSON-LD."""
    for script in root.iter("script"):
        if (script.get("type") or "").strip().lower() != "application/ld+json" or not script.text:
            continue
        if len(script.text) > _MOST_JSON:
            continue
        try:
            data = json.loads(script.text)
        except (ValueError, RecursionError):
            continue
        for thing in things(data):
            if str(thing.get("@type")).lower() in _ARTICLES:
                found = {
                    "author": name_of(thing.get("author")),
                    "published": name_of(thing.get("datePublished")),
                    "modified": name_of(thing.get("dateModified")),
                    "license": name_of(thing.get("license")),
                }
                return {name: value for name, value in found.items() if value}
    return {}


def things(data: Any) -> Iterator[dict[str, Any]]:
    for item in data if isinstance(data, list) else [data]:
        if isinstance(item, dict):
            yield item
            graph = item.get("@graph")
            yield from (
                (entry for entry in graph if isinstance(entry, dict)) if isinstance(graph, list) else ()
            )


def name_of(value: Any) -> str:
    if isinstance(value, list):
        return text_of(", ".join(filter(None, map(name_of, value[:10]))))
    return text_of(
        str(value.get("name") or "") if isinstance(value, dict) else value if isinstance(value, str) else ""
    )


def text_of(text: str) -> str:
    return " ".join(text[: LONGEST * 10].split())[:LONGEST]
