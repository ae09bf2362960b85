"""Draws the images of the golden cases from held-out digits: python draw_golden.py."""

from pathlib import Path

import numpy as np
from PIL import Image

from digits_model.images import INK
from train import load_split

GOLDEN = Path(__file__).with_name("golden")
FIVE = 14  # its place among the held-out images
THREE = 2


def drawing(place: int) -> Image.Image:
    """Give a held-out image, 8x8, white on black."""
    ink = load_split().test_images[place].numpy()
    return Image.fromarray(np.rint(ink * 255 / INK).astype(np.uint8))


def main() -> None:
    drawing(FIVE).save(GOLDEN / "five.png")
    large = drawing(THREE).resize((100, 140), Image.Resampling.BICUBIC)
    large.convert("RGB").save(GOLDEN / "three.png")


if __name__ == "__main__":
    main()
