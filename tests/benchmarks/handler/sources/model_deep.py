from torch import nn

LAYERS = 0  # the benchmark writes how many


class Network(nn.Sequential):
    """A deep network of 4 MB a layer."""

    def __init__(self):
        super().__init__(*(nn.Linear(1000, 1000, bias=False) for _ in range(LAYERS)))
