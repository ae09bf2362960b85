"""The config with which TorchServe starts into what it served before."""

from __future__ import annotations

from collections.abc import Callable, Mapping

# A snapshot would win over load_models, and a missing file in it ends the start.
_OURS = ("load_models", "model_snapshot", "default_workers_per_model")


def load_models(
    served: Mapping[str, tuple[str, ...]], *, ending: Callable[[str, str], str]
) -> str:
    """Give TorchServe's ``load_models`` for these versions, the defaults first.

    Args:
        served: the versions of each model.
        ending: what the entry of a model's version ends in.

    Source: it loads them in this order, and the first of a model is its default;
        one that cannot be loaded is logged and passed over (TorchServe 0.12,
        ModelServer.java, initModelStore).
    """
    return ",".join(
        f"{name}={name}-{version}{ending(name, version)}"
        for name, versions in sorted(served.items())
        for version in versions
    )


def boot_config(
    base: str,
    served: Mapping[str, tuple[str, ...]],
    *,
    ending: Callable[[str, str], str],
) -> str:
    """Give the operator's ``config.properties`` with what is to be loaded.

    Workers of models that do not say how many are one, as sync registers them;
    TorchServe would start one for each processor.
    """
    kept = [line for line in base.splitlines() if not _is_ours(line)]
    return "\n".join(
        [
            *kept,
            "",
            "# written by ms sync at every change; edit the config it is made of",
            f"load_models={load_models(served, ending=ending)}",
            "default_workers_per_model=1",
            "",
        ]
    )


def _is_ours(line: str) -> bool:
    key = line.strip().replace(":", "=").partition("=")[0].strip()
    return key in _OURS
