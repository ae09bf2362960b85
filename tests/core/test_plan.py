"""The planner: what a host must do, and laws that every plan keeps."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from model_servers.cli.host.report import plan_text
from model_servers.core.host import (
    HostState,
    Installed,
    Refusal,
    ServedVersion,
    Wanted,
)
from model_servers.core.names import Ref, Version
from model_servers.core.overlay import changes_only_workers
from model_servers.core.plan import (
    Change,
    Drain,
    Install,
    Plan,
    Probe,
    Register,
    Revive,
    Scale,
    SetDefault,
    Sign,
    Soak,
    Unregister,
    plan,
)
from model_servers.core.profile import Update
from model_servers.core.release import Archive, Release

A1, A2, A3, B1 = map(Ref.parse, ["a@1.0", "a@2.0", "a@3.0", "b@1.0"])
NO_LONGER = "the host profile does not ask for it"
SIZE = 7


def sha256(ref, kind="released"):
    return f"{kind}-{ref}".encode().hex().ljust(64, "0")


def release(ref):
    return Release(
        ref=ref,
        archive=Archive(
            size_bytes=SIZE,
            sha256=sha256(ref),
            members=(),
            framing_blake3=sha256(ref),
        ),
        inputs_digest="",
        git_commit=None,
        toolchain={},
        resources={},
    )


def desired(*refs):
    return {ref.name: Wanted(default=release(ref)) for ref in refs}


def served(ref, **changes):
    """Give a version as it is served after a sync: default, ready, ours."""
    facts = {
        "version": str(ref.version),
        "location": ref.entry,
        "is_default": True,
        "workers": 1,
        "workers_ready": 1,
        "batch_size": 1,
        "max_batch_delay_ms": 100,
        "response_timeout_s": 120,
        "pending_requests": 0,
    }
    return ServedVersion(**{**facts, **changes})


def foreign(version, **changes):
    return replace(served(A1), version=version, location="http://x/a.mar", **changes)


def workers(number):
    """Give the settings with which a host decides about workers."""
    return {"minWorkers": number, "maxWorkers": number}


def installed(*refs, answered=True, kind="released"):
    return {ref: Installed(sha256=sha256(ref, kind), answered=answered) for ref in refs}


def host(*versions, on_disk, of="a"):
    return HostState(served={of: versions} if versions else {}, installed=on_disk)


def planned(wanted, observed, **how):
    return plan(
        wanted,
        observed,
        missing_bytes=lambda release: SIZE,
        needs_pip=lambda release: False,
        **how,
    )


def change(sign, before, after, *actions, name="a", **more):
    return Change(
        name=name, sign=sign, before=before, after=after, actions=actions, **more
    )


INSTALL_A1 = Install(A1, sha256(A1), SIZE, SIZE)
INSTALL_A2 = Install(A2, sha256(A2), SIZE, SIZE)


@pytest.mark.parametrize(
    ("wanted", "observed", "expected"),
    [
        pytest.param([], host(on_disk={}), [], id="nothing wanted, nothing there"),
        pytest.param(
            [A1],
            host(on_disk={}),
            [change(Sign.ADD, None, "1.0", INSTALL_A1, Register(A1), Probe(A1))],
            id="add: a model that is not there",
        ),
        pytest.param(
            [A1],
            host(on_disk=installed(A1)),
            [change(Sign.ADD, None, "1.0", Register(A1), Probe(A1))],
            id="add: what is on the disk is not fetched again",
        ),
        pytest.param(
            [A1],
            host(on_disk=installed(A1, kind="other")),
            [change(Sign.ADD, None, "1.0", INSTALL_A1, Register(A1), Probe(A1))],
            id="add: other bytes on the disk are replaced",
        ),
        pytest.param(
            [A1],
            host(served(A1), on_disk=installed(A1)),
            [change(Sign.KEEP, "1.0", "1.0")],
            id="keep: it serves and has answered",
        ),
        pytest.param(
            [A2],
            host(served(A1), on_disk=installed(A1)),
            [
                change(
                    Sign.CHANGE,
                    "1.0",
                    "2.0",
                    INSTALL_A2,
                    Register(A2),
                    Probe(A2),
                    SetDefault(A2),
                    Drain("a", "1.0"),
                    Unregister("a", "1.0"),
                )
            ],
            id="change: the new one answers before the old one goes",
        ),
        pytest.param(
            [A1],
            host(served(A2), on_disk=installed(A1, A2)),
            [
                change(
                    Sign.CHANGE,
                    "2.0",
                    "1.0",
                    Register(A1),
                    Probe(A1),
                    SetDefault(A1),
                    Drain("a", "2.0"),
                    Unregister("a", "2.0"),
                )
            ],
            id="change: back to what is still on the disk, without the store",
        ),
        pytest.param(
            [A2],
            host(
                served(A1),
                served(A2, is_default=False),
                on_disk=installed(A1) | installed(A2, answered=False),
            ),
            [
                change(
                    Sign.CHANGE,
                    "1.0",
                    "2.0",
                    Probe(A2),
                    SetDefault(A2),
                    Drain("a", "1.0"),
                    Unregister("a", "1.0"),
                )
            ],
            id="change: goes on where it was interrupted",
        ),
        pytest.param(
            [A2],
            host(
                served(A1, is_default=False),
                served(A2),
                on_disk=installed(A1, A2),
            ),
            [
                change(
                    Sign.REPAIR,
                    "2.0",
                    "2.0",
                    Drain("a", "1.0"),
                    Unregister("a", "1.0"),
                )
            ],
            id="repair: an old version that stayed behind",
        ),
        pytest.param(
            [A1],
            host(served(A1, workers_ready=0), on_disk=installed(A1)),
            [change(Sign.REPAIR, "1.0", "1.0", Revive(A1), Probe(A1))],
            id="repair: not ready",
        ),
        pytest.param(
            [A1],
            host(served(A1, workers=0, workers_ready=0), on_disk=installed(A1)),
            [change(Sign.REPAIR, "1.0", "1.0", Revive(A1), Probe(A1))],
            id="repair: scaled to nothing",
        ),
        pytest.param(
            [A1],
            host(served(A1), on_disk=installed(A1, answered=False)),
            [change(Sign.REPAIR, "1.0", "1.0", Probe(A1))],
            id="repair: it has never answered its golden requests here",
        ),
        pytest.param(
            [A1],
            host(served(A1), on_disk={}),
            [
                change(
                    Sign.REPAIR,
                    "1.0",
                    "1.0",
                    Unregister("a", "1.0"),
                    INSTALL_A1,
                    Register(A1),
                    Probe(A1),
                    reason="its files are gone from the model store",
                )
            ],
            id="repair: files gone",
        ),
        pytest.param(
            [A1],
            host(served(A1), on_disk=installed(A1, kind="other")),
            [
                change(
                    Sign.REPAIR,
                    "1.0",
                    "1.0",
                    Unregister("a", "1.0"),
                    INSTALL_A1,
                    Register(A1),
                    Probe(A1),
                    reason=f"archive {sha256(A1, 'other')[:12]} is installed, "
                    f"{sha256(A1)[:12]} is released",
                )
            ],
            id="repair: other digest",
        ),
        pytest.param(
            [A1],
            host(foreign("1.0"), on_disk=installed(A1)),
            [
                change(
                    Sign.REPAIR,
                    "1.0",
                    "1.0",
                    Unregister("a", "1.0"),
                    Register(A1),
                    Probe(A1),
                    reason="it was registered from 'http://x/a.mar', not by this tool",
                )
            ],
            id="repair: registered from elsewhere",
        ),
        pytest.param(
            [A1],
            host(
                foreign("1.0"),
                foreign("old", is_default=False, workers_ready=0),
                foreign("rc-1", is_default=False),
                on_disk={},
            ),
            [
                change(
                    Sign.REPAIR,
                    "1.0",
                    "1.0",
                    SetDefault(Ref("a", Version((0, 0, 0), "rc-1"))),
                    Unregister("a", "1.0"),
                    INSTALL_A1,
                    Register(A1),
                    Probe(A1),
                    SetDefault(A1),
                    Drain("a", "old"),
                    Unregister("a", "old"),
                    Drain("a", "rc-1"),
                    Unregister("a", "rc-1"),
                    reason="it was registered from 'http://x/a.mar', not by this tool",
                )
            ],
            id="repair: another version answers while the default is replaced",
        ),
        pytest.param(
            [],
            host(served(A1), on_disk=installed(A1)),
            [
                change(
                    Sign.REMOVE,
                    "1.0",
                    None,
                    Drain("a", "1.0"),
                    Unregister("a", "1.0"),
                    reason=NO_LONGER,
                )
            ],
            id="remove: no longer wanted",
        ),
        pytest.param(
            [],
            host(served(A1), served(A2, is_default=False), on_disk=installed(A2)),
            [
                change(
                    Sign.REMOVE,
                    "1.0",
                    None,
                    Drain("a", "2.0"),
                    Unregister("a", "2.0"),
                    Drain("a", "1.0"),
                    Unregister("a", "1.0"),
                    reason=NO_LONGER,
                )
            ],
            id="remove: the default goes last",
        ),
        pytest.param(
            [],
            host(foreign("1.0"), on_disk=installed(B1)),
            [],
            id="unmanaged: what others registered is left alone",
        ),
        pytest.param(
            [],
            host(on_disk=installed(A1)),
            [],
            id="unmanaged: files alone are no reason to act",
        ),
        pytest.param(
            [B1],
            host(served(A1), on_disk=installed(A1)),
            [
                change(
                    Sign.REMOVE,
                    "1.0",
                    None,
                    Drain("a", "1.0"),
                    Unregister("a", "1.0"),
                    reason=NO_LONGER,
                ),
                change(
                    Sign.ADD,
                    None,
                    "1.0",
                    Install(B1, sha256(B1), SIZE, SIZE),
                    Register(B1),
                    Probe(B1),
                    name="b",
                ),
            ],
            id="several models, by name",
        ),
    ],
)
def test_the_plan_from_what_is_observed_to_what_is_wanted(wanted, observed, expected):
    assert planned(desired(*wanted), observed) == Plan(tuple(expected))


B2 = {"batchSize": 2}


@pytest.mark.parametrize(
    ("wanted", "observed", "how", "expected"),
    [
        pytest.param(
            Wanted(default=release(A2), also=(release(A1),), why="stable"),
            host(served(A1), on_disk=installed(A1)),
            {},
            change(
                Sign.CHANGE,
                "1.0",
                "2.0",
                INSTALL_A2,
                Register(A2),
                Probe(A2),
                SetDefault(A2),
                also=("1.0",),
                why="stable",
            ),
            id="beside: the old default stays, for those who name it",
        ),
        pytest.param(
            Wanted(default=release(A2), also=(release(A1),)),
            host(served(A2), on_disk=installed(A1, A2)),
            {},
            change(Sign.CHANGE, "2.0", "2.0", Register(A1), Probe(A1), also=("1.0",)),
            id="beside: another version comes",
        ),
        pytest.param(
            Wanted(default=release(A2)),
            host(served(A1), on_disk=installed(A1)),
            {"soak_s": 60.0},
            change(
                Sign.CHANGE,
                "1.0",
                "2.0",
                INSTALL_A2,
                Register(A2),
                Probe(A2),
                SetDefault(A2),
                Soak(A2, 60.0),
                Drain("a", "1.0"),
                Unregister("a", "1.0"),
            ),
            id="soak: the old one can take it back until the new one has soaked",
        ),
        pytest.param(
            Wanted(default=release(A1)),
            host(on_disk={}),
            {"soak_s": 60.0},
            change(Sign.ADD, None, "1.0", INSTALL_A1, Register(A1), Probe(A1)),
            id="soak: there is nothing to go back to",
        ),
        pytest.param(
            Wanted(default=release(A2), update=Update.RESOURCE),
            host(served(A1), on_disk=installed(A1)),
            {},
            change(
                Sign.REFUSE,
                "1.0",
                "1.0",
                reason="a would not answer for a while: 1.0 goes before 2.0 comes",
                hint="add --allow-downtime, or say `allow_downtime: true` in the "
                "policy of the host profile",
            ),
            id="resource: to go down is announced, and somebody must allow it",
        ),
        pytest.param(
            Wanted(default=release(A2), update=Update.RESOURCE),
            host(served(A1), on_disk=installed(A1)),
            {"allow_downtime": True},
            change(
                Sign.CHANGE,
                "1.0",
                "2.0",
                INSTALL_A2,
                Drain("a", "1.0"),
                Unregister("a", "1.0"),
                Register(A2),
                Probe(A2),
                downtime="1.0 goes before 2.0 comes",
            ),
            id="resource: the old one goes when the new one is on the disk",
        ),
        pytest.param(
            Wanted(default=release(A1), overlay=workers(2)),
            host(
                served(A1),
                on_disk={
                    A1: Installed(sha256=sha256(A1), answered=True, overlay=workers(1))
                },
            ),
            {},
            change(
                Sign.CHANGE,
                "1.0",
                "1.0",
                Install(A1, sha256(A1), SIZE, SIZE, workers(2)),
                Scale(A1, 2),
            ),
            id="settings: workers come and go while it serves",
        ),
        pytest.param(
            Wanted(default=release(A1), overlay=workers(2)),
            host(
                served(A1),
                on_disk={
                    A1: Installed(sha256=sha256(A1), answered=True, overlay=workers(2))
                },
            ),
            {},
            change(Sign.CHANGE, "1.0", "1.0", Scale(A1, 2)),
            id="settings: somebody has scaled it by hand",
        ),
        pytest.param(
            Wanted(default=release(A1), overlay=B2),
            host(served(A1), on_disk=installed(A1)),
            {},
            change(
                Sign.REFUSE,
                "1.0",
                "1.0",
                reason="a would not answer for a while: batchSize the model's own -> 2",
                hint="add --allow-downtime, or say `allow_downtime: true` in the "
                "policy of the host profile",
            ),
            id="settings: others need it to be loaded anew, which somebody must allow",
        ),
        pytest.param(
            Wanted(default=release(A1), overlay=B2),
            host(served(A1), on_disk=installed(A1)),
            {"allow_downtime": True},
            change(
                Sign.CHANGE,
                "1.0",
                "1.0",
                Unregister("a", "1.0"),
                Install(A1, sha256(A1), SIZE, SIZE, B2),
                Register(A1),
                Probe(A1),
                reason="batchSize the model's own -> 2",
                downtime="batchSize the model's own -> 2",
            ),
            id="settings: loaded anew once that is allowed",
        ),
        pytest.param(
            Refusal(reason="nobody knows it", hint="publish it"),
            host(served(A1), on_disk=installed(A1)),
            {},
            change(
                Sign.REFUSE, "1.0", "1.0", reason="nobody knows it", hint="publish it"
            ),
            id="refused: it stays as it is",
        ),
    ],
)
def test_the_plan_for_one_model(wanted, observed, how, expected):
    assert planned({"a": wanted}, observed, **how) == Plan((expected,))


def test_a_plan_that_changes_nothing_is_empty_but_shows_what_stays():
    kept = planned(desired(A1), host(served(A1), on_disk=installed(A1)))

    assert not kept
    assert kept.pending() == []
    assert [one.sign for one in kept.changes] == [Sign.KEEP]


def test_a_plan_is_named_by_what_it_would_do():
    observed = host(served(A1), on_disk=installed(A1))

    up = planned(desired(A2), observed)

    assert up.digest == planned(desired(A2), observed).digest
    assert up.digest != planned(desired(A3), observed).digest
    assert up.digest != planned(desired(A2), host(on_disk={})).digest
    assert len(up.digest) == 12
    assert up


def test_a_plan_as_json_values_says_everything_a_reviewer_decides_on():
    up = planned(desired(A2), host(served(A1), on_disk=installed(A1)))

    assert up.to_mapping() == [
        {
            "name": "a",
            "sign": "~",
            "before": "1.0",
            "after": "2.0",
            "also": [],
            "why": "",
            "reason": "",
            "hint": "",
            "downtime": "",
            "fetch_bytes": SIZE,
            "full_bytes": SIZE,
            "actions": [
                {
                    "do": "Install",
                    "ref": "a@2.0",
                    "sha256": sha256(A2),
                    "fetch_bytes": SIZE,
                    "full_bytes": SIZE,
                    "overlay": {},
                    "runs_pip": False,
                    "archive": "",
                },
                {"do": "Register", "ref": "a@2.0"},
                {"do": "Probe", "ref": "a@2.0"},
                {"do": "SetDefault", "ref": "a@2.0"},
                {"do": "Drain", "name": "a", "version": "1.0"},
                {"do": "Unregister", "name": "a", "version": "1.0"},
            ],
        }
    ]


@dataclass
class Simulated:
    """A host that does what TorchServe does, and refuses what it refuses."""

    state: HostState
    silent: list[str] = field(default_factory=list)
    """The models that answered, and then did not, after some action."""

    def run(self, changes):
        for one in changes:
            for action in one.actions:
                answered = self.answers(one.name)
                self.act(action)
                if answered and not self.answers(one.name):
                    self.silent.append(one.name)

    def act(self, action):  # noqa: C901 - a case for each action, as in the planner
        match action:
            case Install(ref, digest, overlay=overlay):
                found, before = self.find(ref.name, str(ref.version)), self.on_disk(ref)
                # What is served must not be replaced below its workers, but for the
                # number of these.
                assert not found or (before and changes_only_workers(before, overlay))
                answered = self.state.installed.get(ref)
                is_same = answered is not None and answered.sha256 == digest
                self.install(
                    ref,
                    Installed(
                        sha256=digest,
                        answered=is_same and answered.answered,
                        overlay=overlay,
                    ),
                )
            case Scale(ref, workers):
                found = self.find(ref.name, str(ref.version))
                assert self.on_disk(ref)["minWorkers"] == workers
                self.put(
                    ref.name, replace(found, workers=workers, workers_ready=workers)
                )
            case Register(ref):
                assert ref in self.state.installed
                assert not self.find(ref.name, str(ref.version))
                first = not self.state.served.get(ref.name)
                self.put(ref.name, served(ref, is_default=first, **self.workers(ref)))
            case Revive(ref):
                found = self.find(ref.name, str(ref.version))
                self.put(ref.name, replace(found, **self.workers(ref)))
            case Probe(ref):
                assert self.find(ref.name, str(ref.version)).is_ready
                on_disk = self.state.installed[ref]
                self.install(ref, replace(on_disk, answered=True))
            case SetDefault(ref):
                assert self.find(ref.name, str(ref.version))
                for one in self.state.served[ref.name]:
                    is_it = one.version == str(ref.version)
                    self.put(ref.name, replace(one, is_default=is_it))
            case Soak(ref):
                assert self.answers(ref.name)
            case Drain(name, version):
                assert self.find(name, version)
            case Unregister(name, version):
                found = self.find(name, version)
                others = [one for one in self.state.served[name] if one is not found]
                assert found
                assert not (found.is_default and others), "TorchServe says 403"
                self.serve(name, others)

    def on_disk(self, ref):
        found = self.state.installed.get(ref)
        return found and found.overlay

    def workers(self, ref):
        count = self.on_disk(ref).get("minWorkers", 1)
        return {"workers": count, "workers_ready": count}

    def answers(self, name):
        return any(
            one.is_default and one.is_ready for one in self.state.served.get(name, ())
        )

    def find(self, name, version):
        found = [v for v in self.state.served.get(name, ()) if v.version == version]
        return found[0] if found else None

    def put(self, name, version):
        others = self.state.served.get(name, ())
        kept = [one for one in others if one.version != version.version]
        self.serve(name, [*kept, version])

    def serve(self, name, versions):
        all_served = {**self.state.served, name: tuple(versions)}
        kept = {key: value for key, value in all_served.items() if value}
        self.state = replace(self.state, served=kept)

    def install(self, ref, on_disk):
        everything = {**self.state.installed, ref: on_disk}
        self.state = replace(self.state, installed=everything)


REFS = {name: [Ref.parse(f"{name}@{n}.0") for n in range(1, 4)] for name in "ab"}
OVERLAYS = st.sampled_from([{}, {"batchSize": 8}, workers(1), workers(2)])


@st.composite
def asked(draw, name):
    """Draw what is wanted of a model: a default, others beside it, settings."""
    default, *also = draw(
        st.lists(st.sampled_from(REFS[name]), min_size=1, max_size=3, unique=True)
    )
    return Wanted(
        default=release(default),
        also=tuple(map(release, sorted(also))),
        overlay=draw(OVERLAYS),
        update=draw(st.sampled_from(Update)),
    )


WANTED = st.fixed_dictionaries({}, optional={name: asked(name) for name in REFS})
ON_DISK = st.dictionaries(
    st.sampled_from([*REFS["a"], *REFS["b"]]),
    st.tuples(st.sampled_from(["released", "other"]), st.booleans(), OVERLAYS),
).map(
    lambda found: {
        ref: Installed(sha256=sha256(ref, kind), answered=answered, overlay=overlay)
        for ref, (kind, answered, overlay) in found.items()
    }
)


@st.composite
def registered(draw, name):
    """Draw the registered versions of a model: one of them is its default."""
    texts = [str(ref.version) for ref in REFS[name]]
    versions = draw(st.lists(st.sampled_from([*texts, "rc-1"]), unique=True))
    default = draw(st.sampled_from(versions)) if versions else None
    return tuple(
        served(
            A1,
            version=version,
            location=draw(st.sampled_from([f"{name}-{version}", "http://x/a.mar"])),
            is_default=version == default,
            workers=draw(st.integers(0, 2)),
            workers_ready=draw(st.integers(0, 2)),
        )
        for version in versions
    )


STATES = st.builds(
    lambda a, b, on_disk: HostState(
        served={name: found for name, found in (("a", a), ("b", b)) if found},
        installed=on_disk,
    ),
    registered("a"),
    registered("b"),
    ON_DISK,
)


@given(WANTED, STATES)
def test_after_a_plan_is_applied_there_is_nothing_to_do(wanted, observed):
    first = planned(wanted, observed, allow_downtime=True, soak_s=1.0)
    simulated = Simulated(observed)

    simulated.run(first.changes)

    event(", ".join(sorted(one.sign.name for one in first.changes)))
    assert not planned(wanted, simulated.state)
    for name, one in wanted.items():
        found = {each.version: each for each in simulated.state.served[name]}
        assert found.keys() == {str(each.ref.version) for each in one.releases}
        assert found[str(one.default.ref.version)].is_default
        for each in one.releases:
            assert found[str(each.ref.version)].is_ready
            on_disk = simulated.state.installed[each.ref]
            assert (on_disk.answered, on_disk.overlay) == (True, one.overlay)


@given(WANTED, STATES)
def test_a_model_that_answers_goes_on_answering(wanted, observed):
    """Unless it is no longer wanted, or its only version must be replaced."""
    first = planned(wanted, observed)
    simulated = Simulated(observed)

    simulated.run(first.changes)

    excused = {
        one.name
        for one in first.changes
        if (
            one.reason
            and not any(
                other.is_ready and not other.is_default
                for other in observed.served.get(one.name, ())
            )
        )
        or one.sign is Sign.REMOVE
        or one.downtime
    }
    assert set(simulated.silent) <= excused


@given(WANTED, STATES)
def test_nobody_is_silent_by_choice_unless_that_is_allowed(wanted, observed):
    first = planned(wanted, observed)

    assert not any(one.downtime for one in first.changes)
    for one in first.refused():
        assert (one.before, one.actions) == (one.after, ())
        assert one.hint.startswith("add --allow-downtime")


@given(WANTED, STATES, st.integers(min_value=0, max_value=12))
def test_a_plan_made_after_an_interruption_goes_on_to_the_end(wanted, observed, count):
    simulated = Simulated(observed)
    actions = [
        action
        for one in planned(wanted, observed, allow_downtime=True).changes
        for action in one.actions
    ]

    for action in actions[:count]:
        simulated.act(action)
    simulated.run(planned(wanted, simulated.state, allow_downtime=True).changes)

    assert not planned(wanted, simulated.state)


@given(WANTED, STATES)
def test_what_others_registered_is_never_touched(wanted, observed):
    left_alone = observed.served.keys() - observed.managed() - wanted.keys()

    names = {one.name for one in planned(wanted, observed).changes}

    assert names.isdisjoint(left_alone)


@given(WANTED, STATES)
def test_every_model_of_a_plan_is_there_once_in_order(wanted, observed):
    names = [one.name for one in planned(wanted, observed).changes]

    assert names == sorted(wanted.keys() | observed.managed())


def test_a_plan_says_for_which_release_pip_will_run():
    found = plan(
        {"a": Wanted(default=release(A2)), "b": Wanted(default=release(B1))},
        host(served(A1), on_disk=installed(A1)),
        missing_bytes=lambda release: SIZE,
        needs_pip=lambda release: release.ref == A2,
    )

    installs = [one for change in found.changes for one in change.installs]
    assert [(one.ref, one.runs_pip) for one in installs] == [(A2, True), (B1, False)]
    text = plan_text(found, server="http://host")
    assert text.count("to fetch, pip installs its requirements\n") == 1
