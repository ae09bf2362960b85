"""What every rule looks at."""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from model_servers.core.checkpoint import CheckpointFacts
from model_servers.core.contribution import Contribution, Document
from model_servers.core.findings import Code, Finding
from model_servers.core.layout import Member, below, plan_members
from model_servers.core.spec import ModelSpec, Serving


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A contribution whose ``model.yaml`` can be read, and what is known beside it."""

    contribution: Contribution
    model: Document
    spec: ModelSpec
    digest: Callable[[str], str]
    """Gives the sha256 of one of its files."""

    others: Mapping[str, Collection[str]]
    """Names of the registry's and of released models, by how they look."""

    checkpoint: Callable[[str], CheckpointFacts | None] = lambda _: None
    """Gives what one of its files holds as a checkpoint; None if nobody has read it."""

    @cached_property
    def serving(self) -> Serving | None:
        """What the model config asks for; None if it cannot be read."""
        config = self.contribution.config
        return None if config is None else Serving.from_mapping(config.data)

    @cached_property
    def members(self) -> list[Member]:
        """What goes into the archive; nothing as long as the config is unknown."""
        if self.serving is None:
            return []
        return plan_members(self.spec, self.serving, self.contribution.files)

    @cached_property
    def places(self) -> frozenset[str]:
        """Every file that can be packed, and every directory with one in it."""
        places: set[str] = set()
        for path in self.contribution.files:
            parts = below(path, [path])
            while parts and parts[0] not in places:
                places.add(parts[0])
                parts = [posixpath.dirname(parts[0])]
        return frozenset(places - {""})

    @cached_property
    def syntax(self) -> ast.Module | Exception:
        """The parsed model file, or why Python cannot parse it."""
        try:
            return ast.parse(self.contribution.model_source or "")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return error

    def in_model(
        self, code: Code, message: str, *, where: str = "", fix: str = ""
    ) -> Finding:
        """Make a finding about a place in ``model.yaml``."""
        return self.contribution.finding(
            code, message, document=self.model, where=where, fix=fix
        )

    def in_file(
        self, code: Code, message: str, *, path: str, line: int | None = None, fix: str
    ) -> Finding:
        """Make a finding about a file of the model's directory."""
        return Finding(
            path=f"{self.contribution.root}/{path}",
            line=line,
            code=code,
            message=message,
            fix=fix,
        )


Rule = Callable[[Subject], Iterator[Finding]]
"""Looks at one thing and yields what is wrong with it."""
