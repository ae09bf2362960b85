"""Model cards: a stranger's Markdown as HTML that can do nothing but be read.

Two walls stand in the way of script: raw HTML is shown as text, and what is made is
sanitised once more, to the few elements that Markdown has.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any
from urllib.parse import unquote, urlsplit

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token

from model_servers.core.site.words import plain

_ELEMENTS = {
    *("a", "blockquote", "br", "code", "em", "h3", "h4", "h5", "h6", "hr", "img"),
    *("li", "ol", "p", "pre", "s", "strong"),
    *("table", "tbody", "td", "th", "thead", "tr", "ul"),
}
_ATTRIBUTES = {
    "a": {"href"},
    "img": {"src", "alt"},
    "ol": {"start"},
    **{f"h{level}": {"id"} for level in range(3, 7)},
}
_SCHEMES = {"http", "https", "mailto"}
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_NO_SLUG = re.compile(r"[^\w\- ]")


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a card's links and pictures lead to; None if that is nothing."""

    picture: Callable[[str], str | None]
    file: Callable[[str], str | None]
    """The address of a file of the model's directory, by its path in there."""


def card_html(text: str, *, surroundings: Surroundings) -> str:
    """Render a card, but its own title, below a heading of the second level.

    Args:
        text: Markdown.
        surroundings: what links and pictures lead to.
    """
    tokens = _MARKDOWN.parse(plain(text))
    tokens = list(_without_title(tokens))
    _lower_headings(tokens)
    anchors = _anchors(tokens)
    for token in tokens:
        if token.children:
            _mend_links(token.children, anchors, surroundings)
            token.children = [
                _picture(child, surroundings) if child.type == "image" else child
                for child in token.children
            ]
    html = _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})
    return nh3.clean(
        html, tags=_ELEMENTS, attributes=_ATTRIBUTES, url_schemes=_SCHEMES
    ).strip()


def _without_title(tokens: Sequence[Token]) -> Iterator[Token]:
    """Leave out the card's own title, which the page has already."""
    has_title = bool(tokens) and (tokens[0].type, tokens[0].tag) == (
        "heading_open",
        "h1",
    )
    yield from tokens[3:] if has_title else tokens


def _lower_headings(tokens: Sequence[Token]) -> None:
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, max(3, int(token.tag[1]) + 1))}"


def _anchors(tokens: Sequence[Token]) -> set[str]:
    """Give every heading an id, as code hosts do; say which there are."""
    seen: Counter[str] = Counter()
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            slug = _NO_SLUG.sub("", inline.content.lower()).replace(" ", "-")
            name = f"{slug}-{seen[slug]}" if seen[slug] else slug
            seen[slug] += 1
            token.attrSet("id", f"card-{name}")
    ids = (str(token.attrGet("id")) for token in tokens if token.attrGet("id"))
    return set(ids)


def _mend_links(
    tokens: Sequence[Token], anchors: set[str], surroundings: Surroundings
) -> None:
    """Let links lead somewhere; one that leads nowhere becomes its text."""
    is_dead = False
    for token in tokens:
        if token.type == "link_open":
            target = _target(str(token.attrGet("href") or ""), anchors, surroundings)
            is_dead = target is None
            token.attrs = {"href": target or ""}
        if token.type in ("link_open", "link_close") and is_dead:
            token.type, token.content = "text", ""


def _target(href: str, anchors: set[str], surroundings: Surroundings) -> str | None:
    try:
        parts = urlsplit(href)
    except ValueError:
        return None
    if parts.scheme or parts.netloc:
        return href if parts.scheme in _SCHEMES else None
    if not parts.path:
        anchor = f"card-{unquote(parts.fragment)}"
        return f"#{anchor}" if anchor in anchors else None
    return surroundings.file(unquote(parts.path))


def _picture(token: Token, surroundings: Surroundings) -> Token:
    """Show a picture that is in the model's directory; tell of any other."""
    source = str(token.attrGet("src") or "")
    alt = token.content
    url = surroundings.picture(unquote(source))
    if url is not None:
        token.attrs = {"src": url, "alt": alt}
        return token
    return Token("text", "", 0, content=alt or "(a picture that is not here)")


def _html(
    _: Any, tokens: Sequence[Token], index: int, *__: MutableMapping[str, Any]
) -> str:
    """Show raw HTML as text; comments are left out, and line breaks are kept."""
    text = _COMMENT.sub("", tokens[index].content).strip()
    if _BREAK.fullmatch(text):
        return "<br>"
    shown = escape(text)
    return f"<p>{shown}</p>" if shown and tokens[index].block else shown


_MARKDOWN = MarkdownIt("commonmark", {"html": True, "maxNesting": 20}).enable(
    ["table", "strikethrough"]
)
_MARKDOWN.add_render_rule("html_block", _html)
_MARKDOWN.add_render_rule("html_inline", _html)
