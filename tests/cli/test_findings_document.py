"""docs/findings.md says what the code says."""

import re
from pathlib import Path

from model_servers.cli.explain import page
from model_servers.core.codes import Code

DOCUMENT = Path(__file__).parents[2] / "docs" / "findings.md"


def test_the_document_is_current():
    text = DOCUMENT.read_text(encoding="utf-8")

    assert text == f"{page()}\n", "docs/findings.md is not current: run `make docs`"


def test_every_code_has_an_anchor_and_a_group():
    anchors = re.findall(r'<a id="(ms\d{3})"></a>', page())

    assert anchors == sorted(code.value.lower() for code in Code)
    assert page().startswith("# Findings\n")
    assert len(re.findall(r"^## ", page(), re.MULTILINE)) == len(
        {code.value[:4] for code in Code}
    )
