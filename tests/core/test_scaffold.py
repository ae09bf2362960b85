"""The network that is made for a checkpoint has exactly its tensors, or is refused."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from model_servers.core.checkpoint import CheckpointFacts, Tensor
from model_servers.core.scaffold.documents import Order
from model_servers.core.scaffold.tree import TAKEN
from model_servers.core.scaffold.weights import Network

ORDER = Order(name="tiny", maintainers=("@me",))

PARTS = st.sampled_from(
    [
        *("0", "1", "2", "30", "07", "weight", "bias", "running_mean", "running_var"),
        *(
            "num_batches_tracked",
            "emb",
            "conv-1",
            "type",
            "__x",
            "__x__",
            "_modules",
            "class",
        ),
        *("class", "a", "norm", "Network", "none", "ünï", "'", '"""', "\\", "#"),
        "forward",
    ]
)
TENSORS = st.lists(
    st.builds(
        Tensor,
        name=st.lists(PARTS, min_size=1, max_size=4).map(".".join),
        dtype=st.sampled_from(["float32", "bfloat16", "int64", "bool", "complex64"]),
        shape=st.lists(st.integers(0, 3), max_size=5).map(tuple),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda tensor: tensor.name,
)


def facts(*tensors):
    return CheckpointFacts(format="torch", tensors=tensors)


def floats(**shapes):
    return facts(
        *(
            Tensor(name=name.replace("__", "."), dtype="float32", shape=shape)
            for name, shape in shapes.items()
        )
    )


def made(network):
    """Import the text of network.py and make the network."""
    names = {}
    exec(network.source(ORDER, "checkpoint.pt"), names)
    return names["Network"]()


def steps(network):
    return network.steps and [type(step.layer).__name__ for step in network.steps]


@given(TENSORS)
def test_any_checkpoint_gives_its_own_tensors_or_is_refused(tensors):
    try:
        network = Network.of(facts(*tensors))
    except ValueError:
        return
    found = {
        name: (tuple(tensor.shape), tensor.is_floating_point())
        for name, tensor in made(network).state_dict().items()
    }

    assert found == {t.name: (t.shape, "float" in t.dtype) for t in tensors}


@given(TENSORS)
def test_any_first_layer_takes_the_sample_that_is_made_for_it(tensors):
    try:
        network = Network.of(facts(*tensors))
    except ValueError:
        return
    sample = torch.tensor([network.sample.values()], dtype=torch.float32)

    assert math.prod(network.sample.shape) == sample.numel()
    with torch.inference_mode():
        made(network).eval()(sample)


def test_every_name_that_a_module_has_already_is_known():
    own = {name for name in dir(nn.Module()) if not name.startswith("__")}

    assert own <= TAKEN


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        pytest.param(
            floats(a__weight=(8, 4), b__weight=(2, 8)), ["Linear", "Linear"], id="fits"
        ),
        pytest.param(
            floats(a__weight=(8, 4), b__weight=(2, 7)), None, id="another size"
        ),
        pytest.param(
            floats(c__weight=(8, 1, 3, 3), fc__weight=(2, 72)),
            ["Conv", "Linear"],
            id="averaged to 3x3",
        ),
        pytest.param(
            floats(c__weight=(8, 1, 3, 3), fc__weight=(2, 80)), None, id="no square"
        ),
        pytest.param(
            floats(c__weight=(8, 1, 3, 3), d__weight=(8, 8, 3)), None, id="other axes"
        ),
        pytest.param(
            floats(query__weight=(4, 4), key__weight=(4, 4)), None, id="attention"
        ),
        pytest.param(
            floats(a__weight=(4, 4), token=(1, 4)), None, id="a lone parameter"
        ),
        pytest.param(floats(emb__weight=(9, 4), fc__weight=(2, 4)), None, id="tokens"),
    ],
)
def test_only_layers_that_obviously_follow_one_another_are_a_chain(tensors, expected):
    assert steps(Network.of(tensors)) == expected


def test_blocks_of_one_structure_are_one_class():
    shapes = {
        f"blocks__{i}__{part}__weight": (4, 4) for i in range(40) for part in "ab"
    }

    source = Network.of(floats(**shapes)).source(ORDER, "checkpoint.pt")

    assert source.count("class ") == 2
    assert "nn.ModuleList([Block() for _ in range(40)])" in source


def test_relu_stands_where_a_list_leaves_out_a_number():
    source = Network.of(
        floats(
            **{
                "0__weight": (4, 4),
                "0__bias": (4,),
                "2__weight": (4,),
                "2__bias": (4,),
            },
            **{"3__weight": (2, 4)},
        )
    ).source(ORDER, "checkpoint.pt")

    assert source.endswith(
        "        x = self[0](x)\n"
        "        x = torch.relu(x)\n"
        "        x = self[2](x)\n"
        "        return self[3](x)\n"
    )
