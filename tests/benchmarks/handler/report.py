"""Writes docs/benchmarks/handler.md; every figure in it comes from the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from benchmarks.handler.contenders import CONTENDERS, WORKLOADS
from benchmarks.handler.gates import Findings, all_gates
from benchmarks.handler.measured import Runs, ratio
from benchmarks.handler.served import CONNECTIONS, MAX_BATCH_DELAY_MS, TURN_S, Served

_ABOUT = {workload.name: workload.about for workload in WORKLOADS}
_STAGES = ("decode", "handler", "encode", "rest", "total")


def document(run: Findings) -> str:
    """Write the whole document."""
    blocks = [
        *_opening(run),
        *_gates(run),
        *_alone(run),
        *_served(run),
        *_cold(run),
    ]
    return "\n\n".join(blocks) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table.

    >>> print(table(["a", "b"], [["1", "2"]]))
    | a | b |
    | --- | --- |
    | 1 | 2 |
    """
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _opening(run: Findings) -> Iterator[str]:
    yield "# How fast the shared handler is"
    yield (
        "Written by `make bench-handler`; every figure comes from one run of it. "
        "Contenders take turns, each round starting with another one. Figures are "
        "medians; a ratio is the median of the ratios within each round, so that "
        "what else the machine does touches both sides."
    )
    yield table(
        ["what", "in this run"], [[name, value] for name, value in run.machine.items()]
    )
    yield table(
        ["contender", "what it is"],
        [[f"`{name}`", about] for name, about in CONTENDERS.items()],
    )
    yield table(
        ["workload", "what it is"],
        [[f"`{name}`", about] for name, about in _ABOUT.items()],
    )
    yield (
        "All but `const` give the same numbers for the same request; the run ends if "
        "not. All use one thread of torch and one worker. There is no GPU in this run."
    )


def _gates(run: Findings) -> Iterator[str]:
    gates = all_gates(run)
    missed = [gate for gate in gates if not gate.is_met]
    yield "## What was asked for"
    yield "\n".join(
        [
            "| what | asked | found | |",
            "| --- | --- | --- | --- |",
            *(gate.row() for gate in gates),
        ]
    )
    yield f"{len(gates) - len(missed)} of {len(gates)} are met."
    if missed:
        yield "\n".join(f"- {gate.what}: {gate.why}." for gate in missed)


def _alone(run: Findings) -> Iterator[str]:
    yield "## A. The worker alone"
    yield (
        "Microseconds of CPU a request in TorchServe's own worker code without its "
        "frontend: a whole batch waits in a socket, and is decoded, handled and "
        f"encoded. Medians of {run.rounds['alone']} turns; in brackets the ratio to "
        "`base`."
    )
    rows = [
        [name, str(size), *(_us(runs, each) for each in CONTENDERS)]
        for (name, size), runs in run.alone.totals.items()
    ]
    yield table(["workload", "batch", *(f"`{each}`" for each in CONTENDERS)], rows)
    yield (
        "Where it goes, in the median turn. `decode` reads the socket and, except for "
        "ours, JSON; `handler` is the contender, for ours with reading and writing "
        "JSON; `encode` writes the answer, for all but ours with JSON; `rest` is "
        "TorchServe's bookkeeping."
    )
    rows = [
        [name, str(size), f"`{who}`", *(f"{stages[each]:.1f}" for each in _STAGES)]
        for (name, size, who), stages in run.alone.stages.items()
        if size == 8 or who in ("base", "ours")
    ]
    yield table(["workload", "batch", "contender", *_STAGES], rows)
    names = ", ".join(f"`{name}`" for name in run.alone.imported) or "nothing"
    yield (
        "Beside the standard library, and what the worker has imported before it "
        f"loads a model (torch among it), ours imports to answer JSON: {names}."
    )


def _us(runs: Runs, name: str) -> str:
    return f"{median(runs[name]):.0f} ({ratio(runs, name, 'base'):.2f})"


def _served(run: Findings) -> Iterator[str]:
    served = run.served
    yield "## B. End to end"
    yield (
        f"Requests a second of wrk with {CONNECTIONS} connections over loopback, a "
        "TorchServe for each contender, all started and warm before the first turn; "
        f"`max_batch_delay` {MAX_BATCH_DELAY_MS} ms. wrk, Java and the worker share "
        f"the cores. Medians of {run.rounds['served']} turns of {TURN_S} s; in "
        "brackets the "
        "ratios to `const` and to `base`. *quiet* is the logging configuration that we "
        "ship (`tools/model_servers/adapters/log4j2.xml`), *default* TorchServe's own."
    )
    rows = [
        [logging, name, str(size), *(_rate(runs, each) for each in CONTENDERS)]
        for (logging, name, size), runs in served.rates.items()
    ]
    head = ["logging", "workload", "batch", *(f"`{each}`" for each in CONTENDERS)]
    yield table(head, rows)
    quiet = {size: runs for (_, _, size), runs in rows_of("quiet", served)}
    gains = ", ".join(
        f"{median(quiet[size]['ours']) / median(runs['ours']):.2f} at batch {size}"
        for (_, _, size), runs in rows_of("default", served)
    )
    if gains:
        yield f"Quiet logging alone is worth, for ours with JSON: {gains}."
    if served.left_out:
        yield f"There was no time left for {', '.join(served.left_out)}."
    failures = ", ".join(f"`{name}` {count}" for name, count in served.failed.items())
    yield (
        f"Of {served.asked} requests, not answered with 200: {failures}. p50 is "
        f"{CONNECTIONS} divided by the requests a second, because the connections wait "
        "for their answers."
    )


def rows_of(logging: str, served: Served) -> list[tuple[tuple[str, str, int], Runs]]:
    """Give the rows with JSON of one logging configuration."""
    rows = served.rates.items()
    return [(row, runs) for row, runs in rows if row[:2] == (logging, "json")]


def _rate(runs: Runs, name: str) -> str:
    to_const, to_base = (ratio(runs, name, other) for other in ("const", "base"))
    return f"{median(runs[name]):.0f} ({to_const:.2f}, {to_base:.2f})"


def _cold(run: Findings) -> Iterator[str]:
    cold = run.cold
    yield "## C. Cold start"
    yield (
        f"A model with {cold.checkpoint_mb:.0f} MB of weights, files in the page "
        "cache: "
        "seconds from sending the registration to the first answer, one worker. The "
        "archive is what `torch-model-archiver` makes by default "
        f"({cold.archive_mb:.0f} MB, made in {cold.pack_s:.1f} s), its handler is "
        f"derived from `BaseHandler`. Medians of {run.rounds['cold']}."
    )
    found = cold.seconds
    labels = {
        "import": "`python -c 'import torch'`",
        "directory": "directory, ours",
        "archive": "default archive, usual load",
    }
    rows = [
        [
            label,
            f"{median(found[name]):.2f}",
            f"{min(found[name]):.2f} to {max(found[name]):.2f}",
        ]
        for name, label in labels.items()
    ]
    yield table(["what", "seconds", "range"], rows)
    yield (
        "Memory of the workers, all from directories: the sum of their proportional "
        "set sizes (`Pss` in `/proc/<pid>/smaps_rollup`), in which a page that several "
        "share counts once."
    )
    rows = [[f"`{who}`", f"{value:.0f}"] for who, value in cold.memory_mb.items()]
    yield table(["handler, workers", "MB"], rows)
