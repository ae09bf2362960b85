"""Versions that must be loaded anew, and what that takes if they answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.planning import (
    A1,
    B1,
    FOREIGN,
    desired,
    foreign,
    host,
    installed,
    planned,
    served,
    sha256,
)
from model_servers.core.plan import Sign

ANEW = {
    FOREIGN: host(foreign("1.0"), on_disk=installed(A1)),
    "its files are gone from the model store": host(served(A1), on_disk=installed(B1)),
    f"archive {sha256(A1, 'other')[:12]} is installed, "
    f"{sha256(A1)[:12]} is released": host(
        served(A1), on_disk=installed(A1, kind="other")
    ),
    "nothing is installed in the model store; model_store in the host profile is "
    "wrong, or its disk is not mounted": host(served(A1), on_disk={}),
}


@pytest.mark.parametrize("why", ANEW)
def test_what_answers_is_loaded_anew_only_if_that_is_agreed_to(why):
    observed = ANEW[why]

    (refused,) = planned(desired(A1), observed).changes
    (agreed,) = planned(desired(A1), observed, allow_downtime=True).changes

    assert (refused.sign, refused.actions) == (Sign.REFUSE, ())
    assert refused.reason == f"a would not answer for a while: {why}"
    assert refused.hint.startswith("add --allow-downtime")
    assert (agreed.sign, agreed.downtime) == (Sign.REPAIR, why)


@pytest.mark.parametrize("why", ANEW)
def test_what_does_not_answer_is_loaded_anew_without_a_word(why):
    observed = ANEW[why]
    (dead,) = (replace(one, workers_ready=0) for one in observed.served["a"])

    (change,) = planned(desired(A1), replace(observed, served={"a": (dead,)})).changes

    assert (change.sign, change.reason, change.downtime) == (Sign.REPAIR, why, "")
