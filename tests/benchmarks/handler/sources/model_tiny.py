from torch import nn


class Network(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Linear(784, 256),
            nn.ReLU(),
            nn.Linear(256, 256),
            nn.ReLU(),
            nn.Linear(256, 10),
        )
