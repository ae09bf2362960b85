"""Trains the digit network and writes checkpoint.pt.

    python train.py

Needs torch and scikit-learn, half a minute and no GPU. One thread and fixed seeds:
run twice on one machine it writes the same bytes.
"""

import math
from pathlib import Path
from typing import NamedTuple

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from digits_model.images import INK
from digits_model.network import DigitNetwork

CHECKPOINT = Path(__file__).with_name("checkpoint.pt")
SEED = 0
TEST_SHARE = 0.2
EPOCHS = 60
BATCH = 64
LEARNING_RATE = 4e-3
WEIGHT_DECAY = 0.05

# Small, random changes that leave a digit the same digit.
TURN_DEGREES = 12.0
SCALE = 0.1
SHIFT = 0.12  # of half the image's side: half a pixel


class Split(NamedTuple):
    """Images of shape ``(N, 8, 8)``, values 0 to 16, and the digit each one shows."""

    train_images: torch.Tensor
    train_digits: torch.Tensor
    test_images: torch.Tensor
    test_digits: torch.Tensor


def load_split() -> Split:
    """Give the bundled images, a fifth of each digit held out; always the same."""
    data = load_digits()
    images, digits = torch.from_numpy(data.images), torch.from_numpy(data.target)
    train, test = train_test_split(
        range(len(digits)), test_size=TEST_SHARE, random_state=SEED, stratify=digits
    )
    return Split(images[train], digits[train], images[test], digits[test])


def pixels(images: torch.Tensor) -> torch.Tensor:
    """Give the network's input, shape ``(N, 1, 8, 8)``."""
    return images.unsqueeze(1).float() / INK


def jitter(batch: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Turn, scale and shift each image a little, each in its own way."""

    def between(limit: float, *shape: int) -> torch.Tensor:
        return (torch.rand(*shape, generator=random) * 2 - 1) * limit

    count = len(batch)
    angle = between(math.radians(TURN_DEGREES), count)
    scale = 1 + between(SCALE, count)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1)
    matrix = turn.reshape(count, 2, 2) * scale.reshape(count, 1, 1)
    affine = torch.cat([matrix, between(SHIFT, count, 2, 1)], dim=2)
    grid = nn.functional.affine_grid(affine, list(batch.shape), align_corners=False)
    return nn.functional.grid_sample(batch, grid, align_corners=False)


def train(images: torch.Tensor, digits: torch.Tensor) -> DigitNetwork:
    """Give a network trained on all of *images*; the same one each time."""
    torch.manual_seed(SEED)
    random = torch.Generator().manual_seed(SEED)
    network = DigitNetwork().train()
    inputs = pixels(images)
    steps = EPOCHS * math.ceil(len(inputs) / BATCH)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=LEARNING_RATE, total_steps=steps
    )
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(inputs), generator=random).split(BATCH):
            logits = network(jitter(inputs[chosen], random))
            loss = nn.functional.cross_entropy(
                logits, digits[chosen], label_smoothing=0.05
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


@torch.inference_mode()
def count_right(network: nn.Module, images: torch.Tensor, digits: torch.Tensor) -> int:
    return int((network(pixels(images)).argmax(dim=1) == digits).sum())


def main() -> None:
    torch.set_num_threads(1)  # another number adds up in another order
    torch.use_deterministic_algorithms(mode=True)
    split = load_split()
    network = train(split.train_images, split.train_digits)
    right = count_right(network, split.test_images, split.test_digits)
    total = len(split.test_digits)
    torch.save(network.state_dict(), CHECKPOINT)
    print(f"held-out accuracy: {right / total:.4f} ({right} of {total} images)")
    print(f"wrote {CHECKPOINT.name}, {CHECKPOINT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
