"""A new model without a checkpoint: its answers can be worked out by hand."""

from __future__ import annotations

from model_servers.core.scaffold.documents import (
    GOLDEN,
    Order,
    Packed,
    config_yaml,
    golden_yaml,
    model_yaml,
    readme,
)

_SUMMARY = "Two weighted sums of four numbers; the example that every model starts as."

_HANDLER = '''\
"""The model: what makes it, and what turns requests into answers."""

import torch
from torch import nn

from base_handler import handler_factory

INPUTS = 4


def init_function(inputs: int, outputs: int) -> nn.Module:
    """Make the network; the arguments come from handler_factory below.

    Where model.yaml names a checkpoint, the handler loads it into what is returned
    here. This model has none, so its weights are set here.
    """
    network = nn.Linear(inputs, outputs)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[1.0, 1, 1, 1], [0.5, 0, 0, -0.5]]))
        network.bias.copy_(torch.tensor([0.0, 1.0]))
    return network


# Without this function, lists of numbers become a tensor as they are.
def preprocess(data: object) -> torch.Tensor:
    """Turn what one client sent into one sample, without a batch axis."""
    is_list = isinstance(data, list) and len(data) == INPUTS
    if not is_list or not all(isinstance(value, int | float) for value in data):
        # The client gets status 400 and this message.
        raise ValueError(f"expected a JSON list of {INPUTS} numbers")
    return torch.tensor(data, dtype=torch.float32)


# Without this function, a tensor is answered as lists of numbers.
def postprocess(output: torch.Tensor) -> list[float]:
    """Turn the output for one sample into something that JSON can say."""
    return output.tolist()


handler = handler_factory(
    init_function=init_function,
    preprocess_function=preprocess,
    postprocess_function=postprocess,
    inputs=INPUTS,
    outputs=2,
)
'''

_REQUEST = """\
  content_type: application/json
  json: [1.0, 2.0, 3.0, 4.0]"""


def files(order: Order) -> dict[str, str]:
    """Give the files of the model, by path."""
    return {
        "model.yaml": model_yaml(order, Packed(), summary=_SUMMARY),
        "model-config.yaml": config_yaml(),
        "handler_model.py": _HANDLER,
        GOLDEN: golden_yaml(
            about="By hand: 1 + 2 + 3 + 4 = 10, and 0.5 * 1 - 0.5 * 4 + 1 = -0.5.",
            request=_REQUEST,
            expect="[10.0, -0.5]",
        ),
        "README.md": readme(
            order,
            summary=_SUMMARY,
            body="Here they are set by hand in `init_function`.",
            curl="-d '[1, 2, 3, 4]'",
        ),
    }
