"""What hosts remember, start with, refuse and report."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model_servers.core.boot import boot_config, load_models
from model_servers.core.changes import Change, Plan, Sign
from model_servers.core.guards import Objection, Override, objections
from model_servers.core.host import HostState, Installed, ServedVersion
from model_servers.core.memory import Event, Failure, Memory, Pin, version_before
from model_servers.core.names import Ref, Version
from model_servers.core.profile import Policy
from model_servers.core.soak import Counts, counts_of, why_worse

PIN = Pin(
    version=Version.parse("1.0"),
    who="ann@host",
    when="2026-01-02T03:04:05Z",
    why="it is slow",
    bad=Version.parse("1.1"),
)
MEMORY = Memory(
    pins={
        "ape": replace(PIN, version=None, failed=True),
        "cat": PIN,
        "dog": Pin(version=PIN.version, who="", when="", why=""),
    },
    generations={"s3://bucket": {"stable": 4}},
    served={"cat": ("1.0", "1.1")},
    failures={
        "cat": Failure(
            version="1.1", why="slow", hint="", when="b", since="a", times=2
        ),
        "dog": Failure(version=None, why="busy", hint="wait", when="a", since="a"),
    },
)


def test_a_memory_is_read_as_it_was_written():
    assert Memory.from_bytes(MEMORY.to_bytes()) == MEMORY


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"{}", id="no keys"),
        pytest.param(b'{"schema": 2}', id="another schema"),
        pytest.param(MEMORY.to_bytes()[:-20], id="cut"),
        pytest.param(MEMORY.to_bytes().replace(b'"1.0"', b'"one"'), id="no version"),
        pytest.param(MEMORY.to_bytes().replace(b"4", b'"x"'), id="no number"),
    ],
)
def test_a_damaged_memory_is_not_taken_for_another(body):
    with pytest.raises(ValueError, match=r"."):
        Memory.from_bytes(body)


def test_a_pin_says_who_set_it_and_what_lifts_it():
    assert str(PIN) == (
        "pinned by ann@host on 2026-01-02T03:04:05Z, until there is a version above "
        "1.1: it is slow"
    )
    assert PIN.is_lifted_by(Version.parse("1.10"))
    assert not PIN.is_lifted_by(Version.parse("1.1"))
    assert not PIN.is_lifted_by(Version.parse("0.9"))
    assert not MEMORY.pins["dog"].is_lifted_by(Version.parse("9.0"))


def test_a_version_that_failed_is_held_back_until_any_other_is_wanted():
    failed = replace(PIN, failed=True)

    assert str(failed) == (
        "pinned by ann@host on 2026-01-02T03:04:05Z, until another version than 1.1 "
        "is wanted: it is slow"
    )
    assert str(replace(failed, version=None)).startswith("held back by ann@host on ")
    assert failed.is_lifted_by(Version.parse("1.0.1"))
    assert not failed.is_lifted_by(Version.parse("1.1"))


EVENT = Event(
    when="t", who="w", what="failed", model="m", before=None, after="1", why="a\nb"
)


def test_an_event_is_one_line():
    assert "\n" not in EVENT.to_line()
    assert Event.from_line(EVENT.to_line()) == EVENT


@pytest.mark.parametrize(
    "line",
    [
        "",
        "3",
        "[]",
        '{"when": "t"}',
        EVENT.to_line().replace('"m"', "3"),
        EVENT.to_line().replace('"m"', "null"),
    ],
)
def test_what_is_no_event_is_refused(line):
    with pytest.raises(ValueError, match=r"."):
        Event.from_line(line)


def moved(before, after, what="changed"):
    return Event(when="", who="", what=what, model="cat", before=before, after=after)


def test_the_version_before_is_that_of_the_last_move():
    events = [
        moved(None, "1.0"),
        moved("1.0", "1.1"),
        moved("1.1", "1.0", "rolled back"),
        moved("1.0", "0.9", "failed"),
        moved("1.0", "1.0"),
    ]

    assert version_before(events, Ref.parse("cat@1.0")) == "1.1"
    assert version_before(events, Ref.parse("cat@1.1")) == "1.0"
    assert version_before(events, Ref.parse("cat@0.9")) is None
    assert version_before(events, Ref.parse("dog@1.0")) is None


def test_torchserve_is_told_to_load_the_defaults_first():
    served = {"dog": ("2.0",), "a-cat": ("1.10", "1.9")}

    found = load_models(served, ending=no_ending)

    assert found == "a-cat=a-cat-1.10,a-cat=a-cat-1.9,dog=dog-2.0"
    assert load_models({}, ending=no_ending) == ""


def test_the_boot_config_is_the_operators_with_what_is_to_be_loaded():
    base = (
        "# mine\nmodel_store=/srv/models\nload_models=all\n"
        " model_snapshot : {}\ndefault_workers_per_model=4\nload_models_of_mine=1"
    )

    assert boot_config(base, {"cat": ("1.0",)}, ending=no_ending).splitlines() == [
        "# mine",
        "model_store=/srv/models",
        "load_models_of_mine=1",
        "",
        "# written by ms sync at every change; edit the config it is made of",
        "load_models=cat=cat-1.0",
        "default_workers_per_model=1",
    ]


def test_a_boot_config_is_made_of_itself_again():
    once = boot_config("a=b\n", {"cat": ("1.0",)}, ending=no_ending)

    assert boot_config(once, {}, ending=no_ending).count("load_models") == 1


def no_ending(name, version):
    return ""


def test_torchserve_is_told_to_load_what_is_there():
    found = load_models(
        {"cat": ("1.1", "1.0")},
        ending=lambda name, version: ".mar" if version == "1.1" else "",
    )

    assert found == "cat=cat-1.1.mar,cat=cat-1.0"


def changes(*signs):
    return Plan(
        tuple(
            Change(name=f"m{i}", sign=sign, before="1.0", after="1.0", actions=())
            for i, sign in enumerate(signs)
        )
    )


def host(count):
    """A host with so many models of ours."""
    served = ServedVersion(
        version="1.0",
        location="",
        is_default=True,
        workers=1,
        workers_ready=1,
        batch_size=1,
        max_batch_delay_ms=1,
        response_timeout_s=1,
        pending_requests=0,
    )
    refs = [Ref.parse(f"m{i}@1.0") for i in range(count)]
    return HostState(
        served={ref.name: (replace(served, location=ref.entry),) for ref in refs},
        installed={ref: Installed(sha256="", answered=True) for ref in refs},
    )


KEEP, GO, MOVE, NEW = Sign.KEEP, Sign.REMOVE, Sign.CHANGE, Sign.ADD


@pytest.mark.parametrize(
    ("signs", "served", "policy", "objection"),
    [
        pytest.param([KEEP, GO], 2, {}, None, id="half may go"),
        pytest.param([NEW, NEW, NEW], 0, {}, None, id="an empty host may get all"),
        pytest.param([MOVE, MOVE], 2, {}, None, id="all may change"),
        pytest.param([], 0, {}, None, id="nothing there, nothing wanted"),
        pytest.param(
            [GO],
            1,
            {},
            Objection(
                reason="the host profile asks for no model; 1 would go: m0",
                override=Override.EMPTY,
            ),
            id="all go",
        ),
        pytest.param(
            [GO, GO, KEEP],
            3,
            {},
            Objection(
                reason="2 of 3 models would go (m0, m1); the policy allows a share of "
                "0.5",
                override=Override.LARGE_CHANGE,
            ),
            id="most go",
        ),
        pytest.param(
            [MOVE, GO, KEEP],
            3,
            {"max_changed_share": 0.34},
            Objection(
                reason="2 of 3 models would change (m0, m1); the policy allows a share "
                "of 0.34",
                override=Override.LARGE_CHANGE,
            ),
            id="more change than the policy allows",
        ),
    ],
)
def test_what_is_likelier_a_mistake_is_objected_to(signs, served, policy, objection):
    found = list(objections(changes(*signs), host(served), Policy(**policy)))

    assert found == ([] if objection is None else [objection])


def test_a_model_does_not_go_because_its_name_is_misspelt():
    change = {"before": None, "after": None, "actions": (), "reason": "not released"}
    lost = Change(name="digits", sign=Sign.REMOVE, **{**change, "before": "1.0"})
    asked = Change(name="digit", sign=Sign.REFUSE, **change)
    other = Change(name="whale", sign=Sign.REFUSE, **change)

    found = list(objections(Plan((asked, lost)), host(3), Policy()))

    assert found == [
        Objection(
            reason="digits would go, and the host profile asks for digit, which "
            "cannot be had: not released",
            override=Override.LARGE_CHANGE,
        )
    ]
    assert list(objections(Plan((lost, other)), host(3), Policy())) == []


METRICS = """\
# HELP Requests2XX Torchserve prometheus counter metric with unit: Count
# TYPE Requests2XX counter
Requests2XX{Level="Host",Hostname="gpu-1",} 120.0
# TYPE Requests5XX counter
Requests5XX{Level="Host",Hostname="gpu-1",} 1.2E1
Requests4XX{Level="Host",Hostname="gpu-1",} 8.0
PredictionTime{ModelName="a",} 5.0
"""


def test_requests_are_counted_in_torchserves_metrics():
    assert counts_of(METRICS) == Counts(requests=140, errors=12)
    assert counts_of("# TYPE Requests2XX counter\n") is None


@pytest.mark.parametrize(
    ("before", "now", "reason"),
    [
        pytest.param((0, 0), (0, 0), "", id="nobody asks"),
        pytest.param((0, 0), (100, 2), "", id="two failures are no trend"),
        pytest.param((1000, 0), (1500, 5), "", id="few of many"),
        pytest.param((1000, 100), (2000, 300), "", id="twice what failed before"),
        pytest.param(
            (1000, 0),
            (1100, 3),
            "3 of 100 requests failed since; 0.0% did before",
            id="more than before",
        ),
        pytest.param(
            (1000, 40),
            (10, 10),
            "10 of 10 requests failed since; 4.0% did before",
            id="a restarted server counts anew",
        ),
    ],
)
def test_a_rising_share_of_errors_is_worse(before, now, reason):
    earlier = Counts(requests=before[0], errors=before[1])
    later = Counts(requests=now[0], errors=now[1])

    assert why_worse(earlier, later.since(earlier)) == reason
