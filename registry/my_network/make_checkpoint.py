"""Writes checkpoint.pth: random weights from a fixed seed."""

from pathlib import Path

import torch

from model import MyNetwork

CHECKPOINT = Path(__file__).with_name("checkpoint.pth")
SEED = 0


def main() -> None:
    torch.manual_seed(SEED)
    network = MyNetwork(in_dim=4, layer_dims=[16, 16])  # as in handler_model.py
    torch.save(network.state_dict(), CHECKPOINT)
    print(f"wrote {CHECKPOINT.name}, {CHECKPOINT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
