"""Trains the wine classifier and writes wine.onnx: python train.py.

Needs scikit-learn, skl2onnx and ONNX Runtime, and a few seconds.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

CHECKPOINT = Path(__file__).with_name("wine.onnx")
SEED = 0
TEST_SHARE = 0.25
# ONNX Runtime 1.23 reads these; a newer converter would otherwise choose newer ones.
OPSETS = {"": 17, "ai.onnx.ml": 3}


class Split(NamedTuple):
    """Samples of shape ``(N, 13)`` and the class of each one."""

    train_samples: np.ndarray
    train_classes: np.ndarray
    test_samples: np.ndarray
    test_classes: np.ndarray


def load_split() -> Split:
    """Give the bundled wines, a quarter of each class held out; always the same."""
    samples, classes = load_wine(return_X_y=True)
    train_samples, test_samples, train_classes, test_classes = train_test_split(
        samples, classes, test_size=TEST_SHARE, random_state=SEED, stratify=classes
    )
    return Split(train_samples, train_classes, test_samples, test_classes)


def untrained() -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression())


def to_onnx(pipeline: Pipeline) -> bytes:
    """Give the pipeline as ONNX: ``measurements (B, 13)`` to ``probabilities``."""
    from skl2onnx import convert_sklearn  # only training needs it
    from skl2onnx.common.data_types import FloatTensorType

    model = convert_sklearn(
        pipeline,
        name="wine",  # else a random one, and other bytes each time
        initial_types=[("measurements", FloatTensorType([None, 13]))],
        options={"zipmap": False},  # an array, not a list of dictionaries
        target_opset=OPSETS,
    )
    return model.SerializeToString()


def main() -> None:
    split = load_split()
    training = split.train_samples, split.train_classes
    folds = cross_val_score(untrained(), *training, cv=5)
    pipeline = untrained().fit(*training)
    model = to_onnx(pipeline)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (answers,) = session.run(
        ["probabilities"], {"measurements": split.test_samples.astype(np.float32)}
    )
    expected = pipeline.predict_proba(split.test_samples)
    np.testing.assert_allclose(answers, expected, atol=1e-5)
    right = int((answers.argmax(axis=1) == split.test_classes).sum())
    total = len(split.test_classes)
    CHECKPOINT.write_bytes(model)
    print(f"accuracy in 5-fold cross-validation on the others: {folds.mean():.4f}")
    print(f"held-out accuracy: {right / total:.4f} ({right} of {total} samples)")
    print(f"wrote {CHECKPOINT.name}, {len(model)} bytes")


if __name__ == "__main__":
    main()
