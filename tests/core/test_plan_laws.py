"""Laws that every plan keeps, on a host that does what TorchServe does."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import event, given
from hypothesis import strategies as st

from core.planning import A1, planned, release, served, sha256, workers
from model_servers.core.host import HostState, Installed, Wanted
from model_servers.core.names import Ref
from model_servers.core.overlay import changes_only_workers
from model_servers.core.plan import (
    Drain,
    Install,
    Probe,
    Register,
    Revive,
    Scale,
    SetDefault,
    Sign,
    Soak,
    Unregister,
)
from model_servers.core.profile import Update


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
