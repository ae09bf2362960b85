"""One measured run of ``ms validate``; prints its times as JSON in the last line."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

from model_servers.adapters import checkout, documents
from model_servers.cli.main import main as ms


def main(registry: str, *names: str) -> int:
    start_s = time.process_time()
    began = time.perf_counter()
    assert checkout  # imported with the rest, for the time that it takes
    spent = {"parse": 0.0, "violations": 0.0}
    for name in spent:
        setattr(documents, name, _timed(getattr(documents, name), name, spent))
    status = ms(["validate", "--static", "--registry", registry, *names])
    if status:
        raise SystemExit(f"the models have findings: {status}")
    found = {
        "total_s": start_s + time.perf_counter() - began,
        "start_s": start_s,
        "yaml_s": spent["parse"],
        "schemas_s": spent["violations"],
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    }
    print(json.dumps(found))  # noqa: T201 - what the parent reads
    return 0


def _timed(
    function: Callable[..., Any], name: str, spent: dict[str, float]
) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            spent[name] += time.perf_counter() - began

    return call


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
