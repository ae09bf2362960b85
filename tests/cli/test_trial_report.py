"""What `ms test` tells: two verdicts, the first difference, and what was measured."""

from dataclasses import replace
from pathlib import Path

from model_servers.cli.trial_report import Report, Row
from model_servers.core.examination import Asked, CaseResult, Examination, Measured
from model_servers.core.golden import Comparison, Tolerance
from model_servers.errors import OutsideError

ROW = Row(
    name="tiny",
    version="1.0.0",
    inputs_digest="11" * 32,
    archive_sha256="22" * 32,
    archive_bytes=4096,
    logs=Path("/logs"),
)
MEASURED = Measured(load_s=2.5, latencies_ms=(10.0, 20.0), memory_mib=231)


def asked(*differences, runs=True, error=0.0):
    compared = Comparison(
        differences=differences, max_absolute_error=error, max_relative_error=error / 4
    )
    return Asked(answer="[1.5]", latency_ms=12.5, runs=runs, compared=compared)


def report(*cases):
    results = tuple(
        CaseResult(
            case=f"case_{number}",
            tolerance=Tolerance(absolute=0.5),
            alone=alone,
            together=together,
        )
        for number, (alone, *together) in enumerate(cases)
    )
    found = Examination(device="cpu", cases=results, measured=MEASURED)
    return Report((ROW.examined(found),))


RIGHT = asked(error=0.25)
WRONG = asked("answer is 3.5, expected 1.5", error=2.0)
NONE = asked("the status is 500: no luck", runs=False)


def test_what_was_measured_and_each_cases_errors_are_told():
    text = report((RIGHT, RIGHT), (WRONG, WRONG)).measured_text()

    assert text == (
        "tiny 1.0.0 on cpu: loaded in 2.5 s, p50 10.0 ms, p95 20.0 ms of 2 requests,"
        " memory of its workers 231 MiB\n"
        "  case    latency  max absolute error  max relative error\n"
        "  case_0  12.5 ms  0.25                0.062               reproduces\n"
        "  case_1  12.5 ms  2                   0.5                 WRONG"
    )


def test_a_wrong_answer_is_told_with_the_next_command():
    wrong = report((RIGHT, RIGHT), (WRONG, WRONG))

    assert not wrong.passed
    assert wrong.to_text().splitlines()[2:] == [
        "tiny: runs 2 of 2, reproduces 1 of 2",
        (
            "    case_1: answer is 3.5, expected 1.5 (tolerance on cpu: absolute 0.5,"
            " relative 0)"
        ),
        (
            "    fix: correct the model; if the new answer is right:"
            " ms golden tiny --update"
        ),
    ]


def test_what_is_wrong_only_in_a_batch_is_no_answer_to_record():
    text = report((RIGHT, RIGHT, WRONG)).to_text()

    assert "case_0: together with others, answer is 3.5, expected 1.5" in text
    assert "fix: answer in the order of the batch, each from its own sample" in text
    assert "--update" not in text


def test_where_one_answer_is_wrong_alone_all_may_be_recorded():
    text = report((RIGHT, WRONG), (WRONG, WRONG)).to_text()

    assert "ms golden tiny --update" in text
    assert "in the order of the batch" not in text


def test_a_model_that_does_not_run_is_told_with_its_log():
    text = report((NONE, NONE), (RIGHT, RIGHT)).to_text()

    assert "tiny: runs 1 of 2, reproduces 1 of 2" in text
    assert "case_0: the status is 500: no luck" in text
    assert "log: /logs/model_log.log" in text


def test_a_model_that_was_not_loaded_is_told_with_the_reason():
    row = ROW.failed(OutsideError("no room", hint="make room"))

    lines = Report((row,)).to_text().splitlines()

    assert lines[1].split() == ["tiny", "1.0.0", "4.0", "KiB", "-", "FAILED", "-"]
    assert lines[2:] == [
        "tiny: no room",
        "    fix: make room",
        "    log: /logs/model_log.log",
    ]
    assert row.to_mapping()["cases"] == []
    assert (row.to_mapping()["error"], row.to_mapping()["fix"]) == (
        "no room",
        "make room",
    )


def test_the_report_passes_if_every_model_did():
    right = report((RIGHT, RIGHT))

    assert right.passed
    assert not replace(right, rows=(*right.rows, *report((WRONG,)).rows)).passed
