"""Tells a wine's grower from its chemistry, without PyTorch: ONNX Runtime."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

from base_handler import handler_factory

# In the order of scikit-learn's load_wine().
FEATURES = (
    "alcohol",
    "malic_acid",
    "ash",
    "alcalinity_of_ash",
    "magnesium",
    "total_phenols",
    "flavanoids",
    "nonflavanoid_phenols",
    "proanthocyanins",
    "color_intensity",
    "hue",
    "od280/od315_of_diluted_wines",
    "proline",
)
CLASSES = ("class_0", "class_1", "class_2")
LARGEST = 100_000  # far above any wine; keeps numbers within float32


def init_function(
    checkpoint_path: str | Path,
) -> Callable[[np.ndarray], np.ndarray]:
    """Give a function from measurements ``(B, 13)`` to probabilities ``(B, 3)``."""
    options = onnxruntime.SessionOptions()
    # The model is tiny, and TorchServe scales by workers: one thread each.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(checkpoint_path), options, providers=["CPUExecutionProvider"]
    )

    def probabilities(batch: np.ndarray) -> np.ndarray:
        (answer,) = session.run(["probabilities"], {"measurements": batch})
        return answer

    return probabilities


def preprocess(data: object) -> np.ndarray:
    """Give one request's measurements in the order of FEATURES, shape ``(13,)``."""
    if isinstance(data, dict):
        data = _in_order(data)
    if not isinstance(data, list):
        raise ValueError(  # noqa: TRY004 -- the handler answers 400 to a ValueError
            f"found {type(data).__name__}; expected a JSON list of {len(FEATURES)} "
            "numbers, or an object with the measurements by name"
        )
    if len(data) != len(FEATURES):
        raise ValueError(f"found {len(data)} numbers; expected {len(FEATURES)}")
    checked = [
        _number(value, name=name) for name, value in zip(FEATURES, data, strict=True)
    ]
    return np.array(checked, dtype=np.float32)


def postprocess(probabilities: np.ndarray) -> dict[str, object]:
    """Give the answer for one sample from its three probabilities."""
    return {
        "class": CLASSES[int(probabilities.argmax())],
        "probabilities": {
            name: round(float(p), 6)
            for name, p in zip(CLASSES, probabilities, strict=True)
        },
    }


def _in_order(measurements: dict[str, object]) -> list[object]:
    missing = [name for name in FEATURES if name not in measurements]
    unknown = sorted(name for name in measurements if name not in FEATURES)
    if missing or unknown:
        raise ValueError(
            f"missing: {', '.join(missing) or 'none'}; "
            f"unknown: {', '.join(unknown) or 'none':.200}"
        )
    return [measurements[name] for name in FEATURES]


def _number(value: object, *, name: str) -> float:
    match value:
        case bool():  # an int to Python
            pass
        case int() | float() if 0 <= value <= LARGEST:  # which NaN is not
            return float(value)
    raise ValueError(f"{name} is {value!r:.40}; expected a number from 0 to {LARGEST}")


handler = handler_factory(
    init_function=init_function,
    preprocess_function=preprocess,
    postprocess_function=postprocess,
)
