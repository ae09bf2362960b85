"""What an examination comes to, as values that JSON can hold."""

import json
import math

import pytest

from model_servers.core.examination import Asked, CaseResult, Measured, percentile
from model_servers.core.golden import Comparison, Tolerance


def asked(*differences, runs=True, **errors):
    return Asked(
        answer="[1]",
        latency_ms=12.3456,
        runs=runs,
        compared=Comparison(differences=differences, **errors),
    )


def result(alone, *together):
    return CaseResult(
        case="one", tolerance=Tolerance(absolute=0.5), alone=alone, together=together
    )


def test_a_case_is_one_json_object():
    right = result(asked(max_absolute_error=0.25), asked(max_relative_error=0.125))

    assert right.to_mapping() == {
        "case": "one",
        "runs": True,
        "reproduces": True,
        "latency_ms": 12.346,
        "max_absolute_error": 0.25,
        "max_relative_error": 0.125,
        "first_difference": None,
        "only_together": False,
        "differences": [],
        "tolerance": {"absolute": 0.5, "relative": 0.0},
    }


def test_an_error_without_bound_is_null_as_json_knows_no_infinity():
    wrong = result(asked("answer is nan, expected 1.0", max_absolute_error=math.inf))

    text = json.dumps(wrong.to_mapping(), allow_nan=False)

    assert json.loads(text)["max_absolute_error"] is None


@pytest.mark.parametrize(
    ("alone", "together", "differences", "only_together"),
    [
        pytest.param(asked(), asked(), (), False, id="right"),
        pytest.param(asked("a"), asked("b"), ("a",), False, id="wrong alone too"),
        pytest.param(asked(), asked("b"), ("b",), True, id="wrong together"),
    ],
)
def test_the_difference_alone_is_told_first(
    alone, together, differences, only_together
):
    found = result(alone, together)

    assert found.differences == differences
    assert found.reproduces is not bool(differences)
    assert found.only_together is only_together


def test_one_answer_that_does_not_come_means_it_does_not_run():
    assert not result(asked(), asked(), asked("no", runs=False)).runs


@pytest.mark.parametrize(
    ("percent", "value"), [(50, 10), (95, 19), (100, 20), (0, 1), (99, 20)]
)
def test_percentiles_are_values_that_were_measured(percent, value):
    assert percentile(range(20, 0, -1), percent) == value


def test_what_was_measured_is_one_json_object():
    measured = Measured(load_s=1.23456, latencies_ms=(1.0, 3.0, 2.0), memory_mib=None)

    assert measured.to_mapping() == {
        "load_s": 1.235,
        "latency_ms": {"p50": 2.0, "p95": 3.0},
        "memory_mib": None,
    }
