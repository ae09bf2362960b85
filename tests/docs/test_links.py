"""Links between the documents lead somewhere."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.mark.parametrize(
    "path", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix()
)
def test_every_link_leads_to_a_file_and_a_heading(path):
    text = _CODE.sub("", path.read_text("utf-8"))

    assert [link for link in _LINK.findall(text) if not leads(path, link)] == []


def leads(path, link):
    if re.match(r"[a-z]+:", link):
        return True
    file, _, anchor = unquote(link).partition("#")
    target = (path.parent / file).resolve() if file else path
    if not target.exists():
        return False
    return not anchor or anchor in anchors(target.read_text("utf-8"))


def anchors(text):
    """Give the anchors that code hosts make of headings, and those that are set."""
    headings = re.findall(
        r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.M
    )
    slugs = (re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings)
    return {*slugs, *re.findall(r'<a id="([^"]+)">', text)}
