"""The first example of the hosting guide: an init_function and nothing else."""
# fmt: off
# ruff: noqa: I001, RET504 -- the text of the guide

from base_handler import handler_factory
from model import MyNetwork

def init_function(in_dim, layer_dims):
    model = MyNetwork(in_dim, layer_dims)
    return model


handler = handler_factory(init_function=init_function, in_dim=4, layer_dims=[16, 16])
