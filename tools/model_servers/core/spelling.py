"""What was meant by a word that nobody knows."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Give the known word that *word* is a misspelling of, whatever its case."""
    lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.6)
    return lower[near[0]] if near else None


def did_you_mean(word: str, known: Iterable[str], *, kind: str) -> str:
    """Suggest the word that was meant, or list those that there are.

    >>> did_you_mean("batchsise", ["batchSize", "minWorkers"], kind="keys")
    "did you mean 'batchSize'?"
    >>> did_you_mean("colour", ["batchSize", "minWorkers"], kind="keys")
    'known keys: batchSize, minWorkers'
    """
    known = list(known)
    near = nearest(word, known)
    return f"did you mean {near!r}?" if near else f"known {kind}: " + ", ".join(known)
