"""How long a watching host waits, and what it tells monitoring."""

from __future__ import annotations

import pytest

from model_servers.core.host import ServedVersion
from model_servers.core.watching import Outcome, Round, Tally, metrics_text, wait_s


@pytest.mark.parametrize(
    ("interval_s", "failures", "chance", "expected_s"),
    [
        pytest.param(60, 0, 0.0, 45, id="the shortest"),
        pytest.param(60, 0, 1.0, 75, id="the longest"),
        pytest.param(60, 3, 0.5, 480, id="twice as long after each failure"),
        pytest.param(60, 1000, 0.5, 900, id="never more than a quarter of an hour"),
        pytest.param(3600, 9, 0.5, 3600, id="never less than asked for"),
    ],
)
def test_hosts_wait_longer_after_failures_and_not_all_the_same(
    interval_s, failures, chance, expected_s
):
    assert wait_s(interval_s, failures, chance) == pytest.approx(expected_s)


def tally(*outcomes):
    found = Tally()
    for i, outcome in enumerate(outcomes):
        found = found.after(Round(outcome=outcome), now_s=100.0 + i, duration_s=2.0)
    return found


def test_only_failures_in_a_row_count_and_refusals_are_none():
    failed, refused = Outcome.FAILED, Outcome.REFUSED

    assert tally(failed, failed).failures == 2
    assert tally(failed, Outcome.DONE).failures == 0
    assert tally(failed, refused).failures == 0
    assert tally(failed, Outcome.BUSY, failed).failures == 1


def test_the_last_success_is_kept_through_failures():
    assert tally(Outcome.DONE, Outcome.FAILED).last_success_s == 100.0


def served(version, **changes):
    return ServedVersion(
        version=version,
        location="a",
        workers=2,
        batch_size=1,
        max_batch_delay_ms=1,
        response_timeout_s=1,
        pending_requests=0,
        **changes,
    )


def test_metrics_tell_rounds_and_what_is_served():
    found = tally(Outcome.FAILED).after(
        Round(
            outcome=Outcome.DONE,
            pending=3,
            refused=1,
            served={
                "cat": (
                    served("1.0", is_default=False, workers_ready=1),
                    served('2"\\', is_default=True, workers_ready=2),
                )
            },
        ),
        now_s=1234.5678,
        duration_s=0.25,
    )

    lines = metrics_text(found).splitlines()

    assert [line for line in lines if not line.startswith("#")] == [
        'model_servers_sync_rounds_total{outcome="done"} 1',
        'model_servers_sync_rounds_total{outcome="failed"} 1',
        'model_servers_sync_rounds_total{outcome="refused"} 0',
        'model_servers_sync_rounds_total{outcome="busy"} 0',
        "model_servers_sync_failures_in_a_row 0",
        "model_servers_sync_last_success_timestamp_seconds 1234.568",
        "model_servers_sync_last_round_seconds 0.25",
        "model_servers_sync_refused_models 1",
        "model_servers_sync_planned_changes 3",
        'model_servers_model_default{model="cat",version="1.0"} 0',
        'model_servers_model_default{model="cat",version="2\\"\\\\"} 1',
        'model_servers_model_workers_ready{model="cat",version="1.0"} 1',
        'model_servers_model_workers_ready{model="cat",version="2\\"\\\\"} 2',
        'model_servers_model_workers{model="cat",version="1.0"} 2',
        'model_servers_model_workers{model="cat",version="2\\"\\\\"} 2',
    ]


def test_every_metric_says_what_it_is():
    text = metrics_text(Tally())

    assert text.endswith("\n")
    assert text.count("# HELP ") == text.count("# TYPE ") == 8
