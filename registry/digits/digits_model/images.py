"""What a caller may send, made into pixels from 0.0 (background) to 1.0 (ink)."""

import torch
from PIL import Image

SIDE = 8
INK = 16  # the most ink of one pixel in scikit-learn's digits

_EIGHT_BIT_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "CMYK"}


def from_image(image: Image.Image) -> torch.Tensor:
    """Give the pixels of a white digit on black, shape ``(1, 8, 8)``.

    The image may have any size and shape; it is stretched to 8x8 by averaging
    areas, which is how the training images were made from 32x32 bitmaps. What is
    transparent counts as background.

    Raises:
        ValueError: the image has more than 8 bits a channel, or is damaged.
    """
    if image.mode not in _EIGHT_BIT_MODES:
        raise ValueError(
            f"the image has Pillow mode {image.mode!r}; "
            "expected 8 bits a channel, greyscale or colour"
        )
    try:
        colour = image.convert("RGBA")  # reads the whole file, hence the guard
    except (OSError, SyntaxError) as error:
        raise ValueError(f"the image cannot be read: {error}") from error
    flat = Image.alpha_composite(Image.new("RGBA", image.size, "black"), colour)
    small = flat.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    levels = torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8)
    return levels.reshape(1, SIDE, SIDE) / 255


def from_rows(rows: list[object]) -> torch.Tensor:
    """Give the pixels of 8 rows of 8 numbers from 0 to 16, shape ``(1, 8, 8)``.

    The 64 numbers may also come in one list, row after row.

    Raises:
        ValueError: another number of rows or values, or a value out of range.
    """
    if len(rows) == SIDE * SIDE:
        rows = [rows[start : start + SIDE] for start in range(0, len(rows), SIDE)]
    if len(rows) != SIDE:
        raise ValueError(
            f"found {len(rows)} rows; expected {SIDE} rows of {SIDE}, "
            f"or {SIDE * SIDE} numbers"
        )
    checked = [_row(row, place=f"row {i}") for i, row in enumerate(rows)]
    return torch.tensor(checked, dtype=torch.float32).reshape(1, SIDE, SIDE) / INK


def _row(row: object, *, place: str) -> list[float]:
    if not isinstance(row, list):
        raise ValueError(  # noqa: TRY004 -- the handler answers 400 to a ValueError
            f"{place} is {type(row).__name__}; expected a list of {SIDE} numbers"
        )
    if len(row) != SIDE:
        raise ValueError(f"{place} has {len(row)} values; expected {SIDE}")
    return [_ink(value, place=f"{place}, column {j}") for j, value in enumerate(row)]


def _ink(value: object, *, place: str) -> float:
    match value:
        case bool():  # an int to Python
            pass
        case int() | float() if 0 <= value <= INK:  # which NaN is not
            return float(value)
    raise ValueError(f"{place} is {value!r:.40}; expected a number from 0 to {INK}")
