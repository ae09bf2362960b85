"""The network that reads a digit; its names are the checkpoint's keys."""

import torch
from torch import nn

CLASSES = 10


def _block(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )


class DigitNetwork(nn.Module):
    """Three 3x3 convolutions and one linear layer, about 31 thousand weights."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _block(1, 32),
            _block(32, 32),
            nn.MaxPool2d(2),
            _block(32, 64),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(64 * 2 * 2, CLASSES),
        )

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Give the logits, shape ``(B, 10)``.

        Args:
            pixels: shape ``(B, 1, 8, 8)``, 0.0 is background and 1.0 is ink.
        """
        logits: torch.Tensor = self.classifier(self.features(pixels))
        return logits
