"""The numbers that the handler is held to, beside what a run found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.handler.alone import Alone
from benchmarks.handler.cold import WORKERS, Cold
from benchmarks.handler.measured import Gate, Runs, ratio
from benchmarks.handler.served import Served


@dataclass(frozen=True, kw_only=True)
class Findings:
    """A whole run."""

    machine: Mapping[str, str]
    rounds: Mapping[str, int]
    """By part; the turns of one row."""

    alone: Alone
    served: Served
    cold: Cold


def all_gates(run: Findings) -> list[Gate]:
    """Judge the whole run; rows that it left out are not judged."""
    return [*alone_gates(run.alone), *served_gates(run), *cold_gates(run.cold)]


def alone_gates(found: Alone) -> Iterator[Gate]:
    """Judge part A."""
    for name, limit in {"json": 0.45, "raw": 0.85, "wide": 0.20}.items():
        if (name, 8) not in found.totals:
            continue
        ours, base = (found.stages[name, 8, who] for who in ("ours", "base"))
        around = ours["total"] - ours["handler"]
        yield Gate(
            f"worker alone, {name}, batch 8: ours / base",
            ratio(found.totals[name, 8], "ours", "base"),
            limit,
            at_least=False,
            why=f"of {ours['total']:.0f} us, {around:.0f} are TorchServe's protocol"
            f" around the handler and {ours['handler']:.0f} the handler; `base` takes"
            f" {base['total']:.0f} us, so the limit leaves the handler"
            f" {limit * base['total'] - around:.0f}",
        )
    row, worst = _worst(found.totals, "loop", "ours")
    ours, loop = (found.stages[(*row, who)] for who in ("ours", "loop"))
    yield Gate(
        f"worker alone, worst row ({_text(row)}): loop / ours",
        worst,
        1,
        at_least=True,
        why=f"handler and encoding take {ours['handler'] + ours['encode']:.0f} us with"
        f" ours and {loop['handler'] + loop['encode']:.0f} with the loop",
    )


def served_gates(run: Findings) -> Iterator[Gate]:
    """Judge part B; a contender's gain is in requests a second."""
    limits = {"const": {8: 1.3, 32: 1.9}, "base": {1: 1.3, 8: 1.9, 32: 2.8}}
    for other, by_size in limits.items():
        for size, limit in by_size.items():
            runs = run.served.rates.get(("quiet", "json", size))
            if runs is not None:
                yield Gate(
                    f"end to end, quiet, json, batch {size}: ours / {other}",
                    ratio(runs, "ours", other),
                    limit,
                    at_least=True,
                    why=_shares(run, "json", size, other, runs),
                )
    row, worst = _worst(run.served.rates, "ours", "stacked")
    logging, name, size = row
    yield Gate(
        f"end to end, worst row ({_text(row)}): ours / stacked",
        worst,
        1,
        at_least=True,
        why=_shares(run, name, size, "stacked", run.served.rates[logging, name, size]),
    )


def _shares(run: Findings, name: str, size: int, other: str, runs: Runs) -> str:
    ours_us, other_us = (1e6 / median(runs[who]) for who in ("ours", other))
    ours, others = (run.alone.stages[name, size, who] for who in ("ours", other))
    return (
        f"a request takes {ours_us:.0f} us with ours and {other_us:.0f} with `{other}`,"
        f" of which their workers, by part A, need {ours['total']:.0f} and"
        f" {others['total']:.0f}; the rest is the frontend, the load generator and what"
        " else runs on these cores"
    )


def cold_gates(found: Cold) -> Iterator[Gate]:
    """Judge part C."""
    seconds, memory = found.seconds, found.memory_mb
    yield Gate(
        "cold start: a directory with ours, against `import torch` + 0.6 s",
        median(seconds["directory"]),
        median(seconds["import"]) + 0.6,
        at_least=False,
        unit=" s",
        why="the figures are in part C",
    )
    yield Gate(
        "cold start: default archive with the usual load / directory with ours",
        ratio(seconds, "archive", "directory"),
        4,
        at_least=True,
        why="the figures are in part C",
    )
    further = {
        who: (memory[f"{who}, {WORKERS}"] - memory[f"{who}, 1"]) / (WORKERS - 1)
        for who in ("ours", "base")
    }
    yield Gate(
        f"{WORKERS} workers share the weights: what a further one needs less than with"
        " the usual load, in checkpoints",
        (further["base"] - further["ours"]) / found.checkpoint_mb,
        0.9,
        at_least=True,
        why=f"a further worker needs {further['ours']:.0f} MB with ours",
    )


def _worst(rows: Mapping[Any, Runs], name: str, other: str) -> tuple[Any, float]:
    found = {row: ratio(runs, name, other) for row, runs in rows.items()}
    row = min(found, key=lambda each: found[each])
    return row, found[row]


def _text(row: tuple[Any, ...]) -> str:
    *names, size = row
    return ", ".join([*names, f"batch {size}"])
