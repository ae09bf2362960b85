"""Whatever an author writes, in whatever field: it is shown, and does nothing."""

import json
import re
import xml.etree.ElementTree as ET

import pytest

from catalogue import markup
from catalogue.conftest import EVIL, PAYLOADS
from model_servers.adapters.markdown import Surroundings, card_html

OURS = {"index.html": 1, "models/evil.html": 0}
"""The scripts that each page may have."""

HANDLER = re.compile(r"on[a-z]+")


@pytest.fixture(params=OURS)
def tree(hostile, request):
    return markup.parse(hostile.text(request.param)), request.param


def test_no_text_becomes_script(tree):
    page, path = tree
    scripts = [one for one in markup.elements(page) if markup.name(one) == "script"]

    assert len(scripts) == OURS[path]
    assert all((one.get("src") or "").startswith("assets/search.") for one in scripts)


def test_no_text_becomes_an_attribute_that_runs_something(tree):
    page, _ = tree
    for element in markup.elements(page):
        assert not any(HANDLER.fullmatch(str(one)) for one in element.attrib)
        address = (element.get("href") or element.get("src") or "").strip().lower()
        assert not address.startswith(("javascript:", "data:", "vbscript:", "//"))


def test_no_text_becomes_an_element_that_a_page_of_ours_does_not_have(tree):
    page, _ = tree
    kinds = {markup.name(one) for one in markup.elements(page)}

    strange = {"iframe", "object", "embed", "base", "plaintext", "textarea", "frame"}
    assert kinds.isdisjoint(strange)
    body = next(one for one in markup.elements(page) if markup.name(one) == "body")
    assert {"link", "style", "meta"}.isdisjoint(map(markup.name, markup.elements(body)))


def test_the_page_goes_on_after_every_text(tree):
    page, _ = tree
    assert "No tracking, no request to another host." in markup.text(page)


def test_every_text_can_be_read(hostile):
    told = markup.text(markup.parse(hostile.text("models/evil.html")))
    for payload in PAYLOADS:
        assert payload in told
    # the whole of it where nothing shortens it: member, channel, notice, case, card
    assert told.count(EVIL) >= 5


def test_the_feed_and_the_index_stay_whole(hostile):
    feed = ET.fromstring(hostile.text("feed.xml"))
    index = json.loads(hostile.text("index.json"))

    assert feed.findtext("{http://www.w3.org/2005/Atom}title").endswith(": releases")
    assert index["models"][0]["summary"] == EVIL[:200]


def test_no_file_of_an_author_is_a_page(hostile):
    ours = {"index.html", "models/evil.html", "feed.xml"}
    for file in hostile.pages.rglob("*"):
        path = str(file.relative_to(hostile.pages))
        is_harmless = file.suffix in {".json", ".bin", ".png", ".jpg", ".gif", ".webp"}
        is_asset = path.startswith("assets/") or file.name == ".nojekyll"
        assert file.is_dir() or is_harmless or is_asset or path in ours


def card(text, **files):
    return card_html(
        text,
        surroundings=Surroundings(picture=files.get, file=lambda path: f"/at/{path}"),
    )


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("[a](javascript:alert(1))", "<p>[a](javascript:alert(1))</p>"),
        ("[a](JaVaScRiPt&colon;alert(1))", "<p>[a](JaVaScRiPt:alert(1))</p>"),
        ("[a](//evil.invalid)", "<p>a</p>"),
        ("[a](ftp://evil.invalid)", "<p>a</p>"),
        ("![a](https://evil.invalid/x.png)", "<p>a</p>"),
        ("<b onclick=x>a</b>", "<p>&lt;b onclick=x&gt;a&lt;/b&gt;</p>"),
        ("<script>\nx\n</script>", "<p>&lt;script&gt;\nx\n&lt;/script&gt;</p>"),
        ("<!-- hidden -->", ""),
        ("a<br/>b", "<p>a<br>b</p>"),
        ("# Title\n\n# Part", '<h3 id="card-part">Part</h3>'),
        ("## A\n## A", '<h3 id="card-a">A</h3>\n<h3 id="card-a-1">A</h3>'),
        ("```x onload=1\n<b>\n```", "<pre><code>&lt;b&gt;\n</code></pre>"),
    ],
)
def test_a_card_can_only_be_read(text, html):
    assert card(text) == html


def test_characters_that_no_page_may_have_are_left_out():
    assert card("a\x00\x0b\x1bb\ufffe") == "<p>ab</p>"


@pytest.mark.parametrize(
    "text", ["[" * 5000, "> " * 5000 + "a", "*a " * 5000, "<" * 5000]
)
def test_a_card_made_to_be_slow_is_rendered(text):
    assert card(text)
