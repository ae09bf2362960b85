"""The texts of a new model's documents."""

from __future__ import annotations

import json
from dataclasses import dataclass

_MODELINE = "# yaml-language-server: $schema={up}/schemas/{schema}.schema.json"

GOLDEN = "golden/first.yaml"
"""The first golden case."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What was asked for; None leaves it to the kind of model."""

    name: str
    summary: str | None = None
    license: str | None = None
    maintainers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Packed:
    """The files that ``model.yaml`` names beside those that every model has."""

    extra_files: tuple[str, ...] = ()
    checkpoint: str | None = None
    sha256: str = ""
    size_bytes: int = 0


def model_yaml(order: Order, packed: Packed, *, summary: str) -> str:
    """Write ``model.yaml``."""
    lines = [
        _MODELINE.format(up="../..", schema="model"),
        "schema: 1",
        f"name: {order.name}",
        'version: "0.1.0" # quoted; raised with every change of what is packed',
        f"summary: {quoted(order.summary or summary)}",
        f"license: {quoted(order.license or 'Apache-2.0')} # SPDX; of code and weights",
        f"{maintainers_yaml(order)} # GitHub accounts or teams, or mail addresses",
        "build:",
        "  model_file: handler_model.py",
        "  config_file: model-config.yaml",
        "  # requirements_file: requirements.txt # exact versions; never torch",
    ]
    if packed.extra_files:
        files = ", ".join(packed.extra_files)
        lines.append(f"  extra_files: [{files}] # what handler_model.py imports")
    if packed.checkpoint is None:
        lines.append(
            "  # checkpoint_file: checkpoint.pt # a state_dict, if there is one"
        )
    else:
        lines += [
            f"  checkpoint_file: {packed.checkpoint}",
            "checkpoint: # what the weights must be; `ms lock` writes it anew",
            f'  sha256: "{packed.sha256}"',
            f"  size: {packed.size_bytes} # bytes",
        ]
    return "\n".join([*lines, "golden: golden # the directory of the golden cases", ""])


def config_yaml(*, torchscript: bool = False) -> str:
    """Write ``model-config.yaml``, with the unit of every number."""
    text = f"""\
{_MODELINE.format(up="../..", schema="model-config")}
minWorkers: 1 # workers that TorchServe starts; each holds the model once
maxWorkers: 1 # the most that it may be scaled to; TorchServe adds none by itself
batchSize: 8 # requests that are answered together, at most
maxBatchDelay: 5 # MILLISECONDS that a request waits for others, also when it is alone
responseTimeout: 30 # SECONDS that a batch may take before its worker is restarted
startupTimeout: 120 # SECONDS that loading may take
deviceType: "cpu" # or "gpu"; without this line a GPU where the host has one
"""
    if torchscript:
        text += "handler:\n  checkpoint_format: torchscript # the file has the code\n"
    return text


def golden_yaml(*, about: str, request: str, expect: str = "", bound: str = "") -> str:
    """Write a golden case.

    Args:
        about: a comment: where the answer comes from.
        request: the lines below ``request:``.
        expect: the answer, as YAML; empty if it must be recorded.
        bound: how near is near enough; empty for exactly.
    """
    text = f"""\
{_MODELINE.format(up="../../..", schema="golden")}
# {about}
schema: 1
request:
{request}
"""
    if expect:
        text += f"expect:\n  json: {expect}\n"
    if bound:
        text += f"tolerance: # absolute + relative * |expected|\n{bound}"
    return text


def readme(order: Order, *, summary: str, body: str, curl: str) -> str:
    """Write the model card, with headings to fill."""
    return f"""\
# {order.name}

{order.summary or summary}

## Input

What a client sends: the content type, the shape, the unit and range of each number.

## Output

What comes back, and how to read it.

## Try it

```
curl -H 'Content-Type: application/json' \\
  {curl} http://localhost:8080/predictions/{order.name}
```

## How good it is

The measure, the data it was measured on, and its uncertainty.

## Data and training

Where the weights come from. {body}

## Limits

What it was not made for, and what it gets wrong.
"""


def maintainers_yaml(order: Order) -> str:
    """Write who answers for the model."""
    return f"maintainers: [{', '.join(map(quoted, order.maintainers))}]"


def quoted(text: str) -> str:
    """Write printable text so that YAML reads just this text."""
    return json.dumps(text, ensure_ascii=False)
