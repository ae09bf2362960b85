"""Pages as a strict parser sees them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import html5lib

LOADED = {"img": "src", "script": "src", "link": "href"}
"""What a browser fetches by itself."""

INLINE = {"a", "b", "code", "em", "kbd", "s", "span", "strong", "time"}


def parse(text: str):
    """Read a page; html5lib's strict parser raises at the first fault."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    return parser.parse(text)


def name(element) -> str:
    return str(element.tag).rpartition("}")[2]


def elements(tree):
    return [one for one in tree.iter() if isinstance(one.tag, str)]


def ids(tree) -> list[str]:
    return [one.get("id") for one in elements(tree) if one.get("id")]


def links(tree) -> list[str]:
    found = [one.get("href") or one.get("src") for one in elements(tree)]
    return [one for one in found if one]


def text(tree) -> str:
    """Give what is read, with a space between blocks."""
    return " ".join("".join(_pieces(tree)).split())


def _pieces(element):
    if not isinstance(element.tag, str):  # a comment
        yield element.tail or ""
        return
    yield element.text or ""
    for child in element:
        yield from _pieces(child)
    yield "" if name(element) in INLINE else " "
    yield element.tail or ""


def broken(pages: Path, page: str) -> list[str]:
    """List the links of a page that lead to no file, or to no place in one."""
    tree = parse((pages / page).read_text("utf-8"))
    return [link for link in links(tree) if not _resolves(pages, page, link)]


def _resolves(pages: Path, page: str, link: str) -> bool:
    parts = urlsplit(link)
    if parts.scheme in ("http", "https", "mailto"):
        return True
    file = (pages / page).parent / unquote(parts.path) if parts.path else pages / page
    if not file.is_file() or not file.resolve().is_relative_to(pages.resolve()):
        return False
    if not parts.fragment:
        return True
    return unquote(parts.fragment) in ids(parse(file.read_text("utf-8")))
