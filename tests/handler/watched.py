"""A model that remembers the batches it was given."""

import torch

JSON = "application/json"


class Watched(torch.nn.Module):
    """Doubles numbers; records the size of each batch, and fails when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(2.0))
        self.sizes: list[int] = []
        self.limit = 1000

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(x))
        if len(x) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        if (x == 13).any():
            raise ValueError("13 is not served\nhere")
        return x * self.scale
