"""Every kind of finding can be found, and is found alone."""

import pytest

from findings.triggers import PROBED, TODAY, TRIGGERS
from model_servers.adapters.checkout import Checkout
from model_servers.adapters.handler_probe import SubprocessProbe
from model_servers.core.findings import Code
from model_servers.journeys.validate import Probing, validate

ACCOMPANIED = {Code.EXPIRED_EXCEPTION: {Code.UNUSED_FILE}}
"""What cannot be alone: an expired exception is from something."""


def test_every_code_has_a_trigger():
    assert {code for code in Code if code not in TRIGGERS} == set()


@pytest.mark.parametrize("code", TRIGGERS, ids=lambda code: code.value)
def test_the_smallest_fault_is_found_and_nothing_else(tmp_path, code):
    directory = TRIGGERS[code].make(tmp_path / "registry")

    probing = Probing(probe=SubprocessProbe(), processes=1, not_checked=pytest.fail)

    found = validate(
        Checkout(directory.parent),
        [directory.name],
        today=TODAY,
        probing=probing if code in PROBED else None,
    )

    assert code in {one.code for one in found}
    assert {one.code for one in found} - {code} <= ACCOMPANIED.get(code, set())
    assert all(one.message and one.fix for one in found if one.code is code)


@pytest.mark.parametrize("code", Code, ids=lambda code: code.value)
def test_a_code_says_what_why_and_how_in_sentences(code):
    assert [text[-1] for text in (code.title, code.why, code.fix)] == [".", ".", "."]
