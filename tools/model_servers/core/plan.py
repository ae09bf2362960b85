"""What a host must do to get from the observed state to the desired one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from model_servers.core.changes import (
    Action,
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
)
from model_servers.core.entries import Layout, layout_of
from model_servers.core.host import (
    Desired,
    HostState,
    Refusal,
    ServedVersion,
    Wanted,
)
from model_servers.core.names import Ref, Version
from model_servers.core.overlay import (
    WORKERS,
    Overlay,
    changes_only_workers,
    differences,
)
from model_servers.core.profile import Update
from model_servers.core.release import Release

__all__ = [
    "Action",
    "Change",
    "Drain",
    "Install",
    "Plan",
    "Probe",
    "Register",
    "Revive",
    "Scale",
    "SetDefault",
    "Sign",
    "Soak",
    "Unregister",
    "plan",
]

_HOW_SILENT = (
    "add --allow-downtime, or say `allow_downtime: true` in the policy of the host "
    "profile"
)


def plan(
    desired: Desired,
    observed: HostState,
    *,
    missing_bytes: Callable[[Release], int],
    needs_pip: Callable[[Release], bool],
    soak_s: float = 0.0,
    allow_downtime: bool = False,
) -> Plan:
    """Compare the two states of a host.

    A new version comes up, and has answered, before the old one goes down, unless
    the profile says otherwise. Models on the server that this tool did not put
    there are left alone, and so are those for which *desired* has a refusal.

    Args:
        desired: what each model should be served as.
        observed: what the host serves and has installed.
        missing_bytes: how much of a release the host would have to fetch.
        needs_pip: whether the host lacks what a release requires.
        soak_s: how long a new default is watched before the old one goes.
        allow_downtime: a model that answers may be silent for a while.
    """
    agreed = consented(desired, observed, allow_downtime=allow_downtime)
    planner = _Planner(observed, missing_bytes, needs_pip, soak_s)
    return Plan(
        tuple(
            planner.change(name, agreed[name])
            if name in agreed
            else _removal(name, observed)
            for name in sorted(agreed.keys() | observed.managed())
        )
    )


def consented(
    desired: Desired, observed: HostState, *, allow_downtime: bool
) -> Desired:
    """Refuse the models that would be silent for a while, unless that is allowed.

    Done before they are admitted to GPUs: what is refused makes no room for others.
    """
    if allow_downtime:
        return desired
    comparison = _Comparison(observed)
    return {
        name: Refusal(
            reason=f"{name} would not answer for a while: {silent}", hint=_HOW_SILENT
        )
        if isinstance(asked, Wanted) and (silent := comparison.why_silent(asked))
        else asked
        for name, asked in desired.items()
    }


@dataclass(frozen=True)
class _Comparison:
    """What is asked of a model beside what is observed of it."""

    observed: HostState

    def why_silent(self, asked: Wanted) -> str:
        """Say why a model that answers stops answering for a while, or nothing."""
        default = _default_of(asked.default.ref.name, self.observed)
        ready = [one for one in self._unwanted(asked) if one.is_ready]
        if self._goes_first(asked) and any(one.is_default for one in ready):
            return f"{default} goes before {asked.default.ref.version} comes"
        return "; ".join(self._reloaded(asked))

    def _unwanted(self, asked: Wanted) -> list[ServedVersion]:
        wanted = {str(release.ref.version) for release in asked.releases}
        served = self.observed.served.get(asked.default.ref.name, ())
        return [one for one in served if one.version not in wanted]

    def _goes_first(self, asked: Wanted) -> bool:
        """Say whether the old version goes before the new one comes."""
        is_new = self.observed.find(asked.default.ref) is None
        is_asked = asked.update is Update.RESOURCE
        return is_asked and is_new and bool(self._unwanted(asked))

    def _reloaded(self, asked: Wanted) -> Iterator[str]:
        """Say why versions that answer must be loaded anew."""
        for release in asked.releases:
            served = self.observed.find(release.ref)
            why = self._why_anew(release, self._overlay(asked, release))
            if served and served.is_ready and why:
                yield why

    def _why_anew(self, release: Release, overlay: Overlay) -> str:
        """Say why the registered version must go before it can come, or nothing."""
        ref = release.ref
        served, installed = self.observed.find(ref), self.observed.installed.get(ref)
        if served is None:
            return ""
        if layout_of(ref, served.location) is None:
            return f"it was registered from {served.location!r}, not by this tool"
        if not self.observed.installed:
            return (
                "nothing is installed in the model store; model_store in the host "
                "profile is wrong, or its disk is not mounted"
            )
        if installed is None:
            return "its files are gone from the model store"
        if installed.sha256 != release.archive.sha256:
            return (
                f"archive {installed.sha256[:12]} is installed, "
                f"{release.archive.sha256[:12]} is released"
            )
        return self._other_settings(ref, overlay)

    def _other_settings(self, ref: Ref, overlay: Overlay) -> str:
        installed = self.observed.installed.get(ref)
        if installed is None or changes_only_workers(installed.overlay, overlay):
            return ""
        return ", ".join(differences(installed.overlay, overlay))

    def _overlay(self, asked: Wanted, release: Release) -> Overlay:
        return asked.overlay_of(release.ref, self.observed.installed.get(release.ref))


@dataclass(frozen=True)
class _Planner(_Comparison):
    missing_bytes: Callable[[Release], int]
    needs_pip: Callable[[Release], bool]
    soak_s: float

    def change(self, name: str, asked: Wanted | Refusal) -> Change:
        """Say what becomes of one model."""
        if isinstance(asked, Refusal):
            return _refused(name, self.observed, asked)
        actions = tuple(self._actions(asked))
        return Change(
            name=name,
            sign=self._sign(asked, actions),
            before=_default_of(name, self.observed),
            after=str(asked.default.ref.version),
            actions=actions,
            reason="; ".join(self._reasons(asked)),
            also=tuple(str(release.ref.version) for release in asked.also),
            why="; ".join(filter(None, [asked.why, *_left_out(asked)])),
            downtime=self.why_silent(asked),
        )

    def _sign(self, asked: Wanted, actions: tuple[Action, ...]) -> Sign:
        ref = asked.default.ref
        if not actions:
            return Sign.KEEP
        if not self.observed.served.get(ref.name):
            return Sign.ADD
        is_all_there = all(self.observed.find(one.ref) for one in asked.releases)
        is_as_asked = is_all_there and not any(
            isinstance(action, Scale) for action in actions
        )
        is_default = _default_of(ref.name, self.observed) == str(ref.version)
        is_laid_out = not any(
            self._other_layout(asked, release) for release in asked.releases
        )
        is_as_asked = is_as_asked and is_laid_out
        has_settings = not any(
            self._other_settings(one.ref, self._overlay(asked, one))
            for one in asked.releases
        )
        if is_default and is_as_asked and has_settings:
            return Sign.REPAIR
        return Sign.CHANGE

    def _actions(self, asked: Wanted) -> Iterator[Action]:
        name = asked.default.ref.name
        served = self.observed.served.get(name, ())
        unwanted, kept = self._unwanted(asked), list(served)
        goes_first = self._goes_first(asked)
        if goes_first:
            kept = [one for one in served if one not in unwanted]
            yield from self._install(asked, asked.default)
            if any(one.is_default for one in unwanted):
                yield from _stand_in(name, kept)
            yield from _farewell(name, sorted(unwanted, key=_is_default))
        yield from self._default(asked, kept, is_installed=goes_first)
        for release in asked.also:
            yield from self._up(asked, release, [])
        if not goes_first:
            if self.soak_s and any(one.is_ready for one in unwanted):
                yield Soak(asked.default.ref, self.soak_s)
            yield from _farewell(name, unwanted)

    def _default(
        self, asked: Wanted, kept: list[ServedVersion], *, is_installed: bool
    ) -> Iterator[Action]:
        """Have the default serve and answer, and only then be the default."""
        release = asked.default
        served = self.observed.find(release.ref)
        others = [one for one in kept if one is not served]
        overlay = self._overlay(asked, release)
        yield from self._up(asked, release, others, is_installed=is_installed)
        stays = served and not self._why_anew(release, overlay)
        if others and not (stays and served and served.is_default):
            yield SetDefault(release.ref)

    def _up(
        self,
        asked: Wanted,
        release: Release,
        others: list[ServedVersion],
        *,
        is_installed: bool = False,
    ) -> Iterator[Action]:
        """Have one version serve and answer, whatever it does now."""
        ref, overlay = release.ref, self._overlay(asked, release)
        served, installed = self.observed.find(ref), self.observed.installed.get(ref)
        if self._why_anew(release, overlay):
            # TorchServe refuses (403) to unregister a default while there are others.
            if served and served.is_default:
                yield from _stand_in(ref.name, others)
            yield Unregister(ref.name, str(ref.version))
            served = None
        if not is_installed:
            yield from self._install(asked, release)
        if served is None:
            yield Register(ref)
        elif not served.is_ready:
            yield Revive(ref)
        elif served.workers != overlay.get(WORKERS, served.workers):
            yield Scale(ref, overlay[WORKERS])
        is_same = installed is not None and installed.sha256 == release.archive.sha256
        is_proven = is_same and installed is not None and installed.answered
        if not is_proven or not (served and served.is_ready):
            yield Probe(ref)

    def _install(self, asked: Wanted, release: Release) -> Iterator[Action]:
        installed = self.observed.installed.get(release.ref)
        sha256, overlay = release.archive.sha256, self._overlay(asked, release)
        wanted = (sha256, overlay, asked.layout)
        if installed and wanted == (
            installed.sha256,
            installed.overlay,
            installed.layout,
        ):
            return
        yield Install(
            release.ref,
            sha256,
            self.missing_bytes(release),
            release.archive.size_bytes,
            overlay,
            self.needs_pip(release),
            asked.layout.entry(release.ref) if asked.layout is Layout.MAR else "",
        )

    def _reasons(self, asked: Wanted) -> Iterator[str]:
        for release in asked.releases:
            reason = self._why_anew(release, self._overlay(asked, release))
            reason = reason or self._other_layout(asked, release)
            if reason:
                is_default = release is asked.default
                yield reason if is_default else f"{release.ref.version}: {reason}"

    def _other_layout(self, asked: Wanted, release: Release) -> str:
        """Say what becomes of a version that is laid out in another way, or nothing.

        TorchServe cannot have one version from two entries, so what serves goes on.
        """
        served = self.observed.find(release.ref)
        installed = self.observed.installed.get(release.ref)
        if served is None or installed is None or installed.layout is asked.layout:
            return ""
        entry = asked.layout.entry(release.ref)
        return f"TorchServe's next start is from {entry}; what serves now goes on"


def _left_out(asked: Wanted) -> Iterator[str]:
    return (f"{pin.bad} is {pin}" for pin in asked.held_back)


def _default_of(name: str, observed: HostState) -> str | None:
    served = observed.served.get(name, ())
    return next((one.version for one in served if one.is_default), None)


def _is_default(served: ServedVersion) -> bool:
    return served.is_default


def _refused(name: str, observed: HostState, refusal: Refusal) -> Change:
    default = _default_of(name, observed)
    return Change(
        name=name,
        sign=Sign.REFUSE,
        before=default,
        after=default,
        actions=(),
        reason=refusal.reason,
        hint=refusal.hint,
    )


def _stand_in(name: str, others: list[ServedVersion]) -> Iterator[Action]:
    """Let another version answer while the wanted one is replaced, if there is one."""
    for one in sorted(others, key=lambda one: one.is_ready)[-1:]:
        # Known to TorchServe by its text, which need not be a version of ours.
        yield SetDefault(Ref(name, Version((0, 0, 0), one.version)))


def _removal(name: str, observed: HostState) -> Change:
    served = observed.served[name]
    # TorchServe refuses (403) to unregister a default while there are others.
    last = sorted(served, key=_is_default)
    return Change(
        name=name,
        sign=Sign.REMOVE,
        before=_default_of(name, observed),
        after=None,
        actions=tuple(_farewell(name, last)),
        reason="the host profile does not ask for it",
    )


def _farewell(name: str, versions: list[ServedVersion]) -> Iterator[Action]:
    for one in versions:
        yield Drain(name, one.version)
        yield Unregister(name, one.version)
