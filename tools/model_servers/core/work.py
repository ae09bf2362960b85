"""What a pipeline has to look at: which models, and in which shares."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from model_servers.core.names import why_not_a_name
from model_servers.core.presentation import visible

MAX_SHARDS = 20
"""How many jobs of one workflow the free plan of GitHub runs at once.

Source: https://docs.github.com/en/actions/reference/limits
"""

_SHARED = ("handler", "schemas", "tools", "constraints.txt", "pyproject.toml")
"""What decides about every archive and every finding."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """The models that a pipeline validates, builds and tries."""

    models: tuple[str, ...]
    """In order; all can be written into a command line as they are."""

    deleted: tuple[str, ...] = ()
    is_tool_changed: bool = False
    """Something beside the models changed, so the tool's own tests have to run."""

    def shards(self, limit: int = MAX_SHARDS) -> list[str]:
        """Share the models out, as evenly as can be: names with spaces between.

        >>> Work(models=("a", "b", "c")).shards(2)
        ['a c', 'b']
        """
        count = min(limit, len(self.models))
        return [" ".join(self.models[start::count]) for start in range(count)]

    def outputs(self) -> Iterator[str]:
        """Yield lines as GitHub wants the outputs of a step."""
        values = {
            "any": bool(self.models),
            "tool": self.is_tool_changed,
            "models": " ".join(self.models),
            "deleted": " ".join(self.deleted),
            "shards": self.shards(),
        }
        for key, value in values.items():
            text = value if isinstance(value, str) else json.dumps(value)
            yield f"{key}={text}"


def changed_work(
    paths: Iterable[str],
    *,
    registry: str,
    now: Collection[str],
    before: Collection[str],
) -> Work:
    """Say what follows from a change.

    Args:
        paths: what differs, seen from the root of the checkout.
        registry: the directory of the models, seen from there.
        now: the models that are there.
        before: the directories that were in the registry.
    """
    start = f"{registry}/"
    inside, outside = set(), []
    for path in paths:
        if path.startswith(start) and "/" in path[len(start) :]:
            inside.add(path[len(start) :].partition("/")[0])
        else:
            outside.append(path)
    is_shared = any(path.partition("/")[0] in _SHARED for path in outside)
    return Work(
        models=tuple(sorted(set(now) if is_shared else inside & set(now))),
        deleted=tuple(sorted((inside & set(before)) - set(now))),
        is_tool_changed=bool(outside),
    )


def hostile(work: Work) -> list[str]:
    """Say which directories must not come near a command line, and why not."""
    reasons = {name: why_not_a_name(name) for name in (*work.models, *work.deleted)}
    return [
        f"{visible(name)!r} cannot name a model: {reason}"
        for name, reason in reasons.items()
        if reason is not None
    ]
