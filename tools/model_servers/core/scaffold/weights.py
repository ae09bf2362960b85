"""A new model around a checkpoint: a network that its tensors fit."""

from __future__ import annotations

import json
from dataclasses import dataclass

from model_servers.core.checkpoint import CheckpointFacts
from model_servers.core.scaffold.chain import Step, chain, dressed
from model_servers.core.scaffold.documents import (
    GOLDEN,
    Order,
    Packed,
    config_yaml,
    golden_yaml,
    model_yaml,
    readme,
)
from model_servers.core.scaffold.layers import BatchNorm, Layer
from model_servers.core.scaffold.samples import Sample
from model_servers.core.scaffold.source import network_source
from model_servers.core.scaffold.tree import (
    Group,
    Node,
    Raw,
    leaves,
    tree_of,
    with_layers,
)

_SUMMARY = "What the model does, in one sentence."
_COARSE = ("bfloat16", "float16")
_COMPUTES_IN = (*_COARSE, "float64")
"""Beside float32: the dtypes that a whole network can be in."""

_GUESS = """\
A checkpoint says nothing of what has no weights. Guessed, and to be corrected where
your network differs: the order of the layers, ReLU between them, stride 1 and the
padding of convolutions, the averaging before a linear layer."""

_UNKNOWN = """\
A checkpoint says nothing of what has no weights, nor how the layers are connected:
`forward` must be written, and stride and padding of convolutions be corrected."""

_HANDLER = '''\
"""The model: what makes it, and what turns requests into answers."""

import torch

from base_handler import handler_factory
from network import Network


def init_function() -> torch.nn.Module:
    """Make the network; the handler loads the checkpoint's weights into it."""
    return Network(){dtype}


# Nested lists of numbers, if that is what comes back, become a tensor.
def preprocess(data: object) -> object:
    """Turn what one client sent into one sample, without a batch axis.

    A ValueError is answered with status 400 and its message.
    """
    return data


def postprocess(output: torch.Tensor) -> object:
    """Turn the output for one sample into something that JSON can say."""
    return output.tolist()


handler = handler_factory(
    init_function=init_function,
    preprocess_function=preprocess,
    postprocess_function=postprocess,
)
'''

_TORCHSCRIPT_HANDLER = '''\
"""The model is TorchScript, which has its own code: only the data is handled here."""

import torch

from base_handler import handler_factory


# Nested lists of numbers, if that is what comes back, become a tensor.
def preprocess(data: object) -> object:
    """Turn what one client sent into one sample, without a batch axis.

    A ValueError is answered with status 400 and its message.
    """
    return data


def postprocess(output: torch.Tensor) -> object:
    """Turn the output for one sample into something that JSON can say."""
    return output.tolist()


handler = handler_factory(
    init_function=None,  # model-config.yaml says how the checkpoint is read
    preprocess_function=preprocess,
    postprocess_function=postprocess,
)
'''


@dataclass(frozen=True)
class Network:
    """What the tensors of a checkpoint tell of a network."""

    node: Node
    steps: tuple[Step, ...] | None
    """The forward pass; None if its author must write it."""

    sample: Sample
    dtypes: tuple[str, ...]

    @classmethod
    def of(cls, facts: CheckpointFacts) -> Network:
        """Read it out of the tensors.

        Raises:
            ValueError: no ``torch.nn.Module`` has such a state_dict.
        """
        node = tree_of(facts.tensors)
        flat = list(leaves(node))
        steps = chain(flat)
        known = {step.path: step.layer for step in steps or ()}
        node = with_layers(node, known or dressed(flat))
        layers = [one for _, one in leaves(node) if not isinstance(one, Raw)]
        return cls(node, steps, _sample(layers), _dtypes(facts))

    @property
    def dtype(self) -> str | None:
        """The one dtype that it computes in, if that is not torch's default."""
        floating = {dtype for dtype in self.dtypes if "float" in dtype}
        only = floating.pop() if len(floating) == 1 else None
        return only if only in _COMPUTES_IN else None

    def source(self, order: Order, file: str) -> str:
        """Write ``network.py``."""
        notes = (_UNKNOWN if self.steps is None else _GUESS).splitlines()
        notes += ["", f"The checkpoint's dtypes: {', '.join(self.dtypes)}."]
        if any(group.has_gaps for group in _groups(self.node)):
            notes.append("An nn.Identity stands for a number without tensors.")
        return network_source(
            self.node,
            steps=self.steps,
            title=f"The network of {order.name}, with the names and shapes of {file}.",
            notes=notes,
        )


def files(order: Order, network: Network, packed: Packed) -> dict[str, str]:
    """Give the files of a model around a state_dict, by path."""
    file = packed.checkpoint or ""
    dtype = network.dtype
    to_dtype = f".to(torch.{dtype})  # as in the checkpoint" if dtype else ""
    return {
        **_documents(order, packed, network.sample, coarse=dtype in _COARSE),
        "model-config.yaml": config_yaml(),
        "handler_model.py": _HANDLER.replace("{dtype}", to_dtype),
        "network.py": network.source(order, file),
    }


def torchscript_files(order: Order, sample: Sample, packed: Packed) -> dict[str, str]:
    """Give the files of a model around a TorchScript archive, by path."""
    return {
        **_documents(order, packed, sample, coarse=False),
        "model-config.yaml": config_yaml(torchscript=True),
        "handler_model.py": _TORCHSCRIPT_HANDLER,
    }


def torchscript_sample(facts: CheckpointFacts) -> Sample:
    """Guess what the model takes, from its first layer; four numbers if that fails."""
    try:
        return Network.of(facts).sample
    except ValueError:
        return Sample.of(None)


def notes(network: Network | None) -> tuple[str, ...]:
    """Say what the author must look at; None is a TorchScript archive."""
    if network is None:
        return ("golden/first.yaml: the request is a guess; put in a real one",)
    if network.steps is None:
        return ("network.py: forward applies the first layer only; write the rest",)
    return ("network.py: forward is a guess; compare it with your network",)


def _documents(
    order: Order, packed: Packed, sample: Sample, *, coarse: bool
) -> dict[str, str]:
    body = "  content_type: application/json\n"
    large: dict[str, str] = {}
    if sample.is_inline:
        body += f"  json:\n{sample.yaml()}"
    else:
        body += "  file: first.json"
        large = {"golden/first.json": json.dumps(sample.values())}
    cpu, gpu = ("1.0e-2", "1.0e-2") if coarse else ("1.0e-4", "1.0e-3")
    bound = "".join(
        f"  {device}: {{absolute: {bound}, relative: {bound}}}\n"
        for device, bound in (("cpu", cpu), ("gpu", gpu))
    )
    return {
        "model.yaml": model_yaml(order, packed, summary=_SUMMARY),
        GOLDEN: golden_yaml(
            about=f"`ms golden {order.name} --update` records the answer; look at it.",
            request=body,
            bound=bound,
        ),
        **large,
        "README.md": readme(
            order,
            summary=_SUMMARY,
            body=f"`{packed.checkpoint}` has sha256 `{packed.sha256[:12]}`.",
            curl="-d @request.json",
        ),
    }


def _sample(layers: list[Layer]) -> Sample:
    first = layers[0] if layers else None
    dims = first.dims if isinstance(first, BatchNorm) and first.counts else 0
    return Sample.of(first, dims=0 if dims == 1 else dims)


def _dtypes(facts: CheckpointFacts) -> tuple[str, ...]:
    return tuple(sorted({tensor.dtype for tensor in facts.tensors}))


def _groups(node: Node) -> list[Group]:
    if not isinstance(node, Group):
        return []
    inner = [group for _, child in node.children for group in _groups(child)]
    return [node, *inner]
