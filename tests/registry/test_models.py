"""The example models: how good they are, what they refuse, what they answer."""

import io
import re
import sys
from collections import Counter

import numpy as np
import pytest
import yaml
from PIL import Image

from registry.model_code import REGISTRY, ModelCode, cases, decoded

NAMES = ("digits", "my_network", "wine")
CASES = [
    pytest.param(name, case, id=f"{name}-{case.stem}")
    for name in NAMES
    for case in sorted((REGISTRY / name / "golden").glob("*.yaml"))
]
ROWS = [[0] * 8 for _ in range(8)]
SAMPLE = [13.32, 3.24, 2.38, 21.5, 92, 1.93, 0.76, 0.45, 1.25, 8.42, 0.55, 1.62, 650]


@pytest.fixture(scope="module")
def models():
    return {name: ModelCode.load(REGISTRY / name) for name in NAMES}


@pytest.fixture
def digits(models):
    return models["digits"]


@pytest.fixture
def wine(models):
    return models["wine"]


def stated_accuracy(readme):
    pattern = r"Held-out accuracy: \*\*([\d.]+)\*\* \((\d+) of (\d+) "
    accuracy, right, total = re.search(pattern, readme).groups()
    return accuracy, int(right), int(total)


def accuracy_of(answers, expected):
    right = sum(a == b for a, b in zip(answers, expected, strict=True))
    return f"{right / len(expected):.4f}", right, len(expected)


# How good they are


def test_digits_is_as_good_on_held_out_images_as_its_card_says(digits):
    split = digits.training.load_split()

    answers = digits.answer(*split.test_images.tolist())

    found = accuracy_of([a["digit"] for a in answers], split.test_digits.tolist())
    assert found == stated_accuracy(digits.readme)
    assert float(found[0]) >= 0.98


def test_wine_is_as_good_on_held_out_samples_as_its_card_says(wine):
    split = wine.training.load_split()

    answers = wine.answer(*split.test_samples.tolist())

    expected = [f"class_{number}" for number in split.test_classes]
    found = accuracy_of([a["class"] for a in answers], expected)
    assert found == stated_accuracy(wine.readme)
    assert float(found[0]) >= 0.95


@pytest.mark.parametrize(
    ("name", "train_size", "test_size"),
    [
        pytest.param("digits", 1437, 360, id="digits"),
        pytest.param("wine", 133, 45, id="wine"),
    ],
)
def test_no_held_out_sample_was_trained_on(models, name, train_size, test_size):
    train, train_labels, test, test_labels = models[name].training.load_split()

    seen = {np.asarray(sample).tobytes() for sample in train}
    held_out = {np.asarray(sample).tobytes() for sample in test}
    assert (len(seen), len(held_out)) == (train_size, test_size)
    assert not seen & held_out
    share = test_size / (train_size + test_size)
    for label, count in Counter(np.asarray(test_labels).tolist()).items():
        both = count + Counter(np.asarray(train_labels).tolist())[label]
        assert count == pytest.approx(both * share, abs=1)


def test_training_wine_again_gives_the_committed_checkpoint(wine):
    training = wine.training
    split = training.load_split()
    pipeline = training.untrained().fit(split.train_samples, split.train_classes)

    answers = wine.answer(*split.test_samples.tolist())

    expected = pipeline.predict_proba(split.test_samples)
    found = [list(answer["probabilities"].values()) for answer in answers]
    np.testing.assert_allclose(found, expected, atol=1e-5)


# What they answer


@pytest.mark.parametrize(("name", "case"), CASES)
def test_the_golden_answer_is_what_the_functions_give(models, name, case):
    (answer,) = models[name].answer(decoded(case))

    golden = yaml.safe_load(case.read_text())
    assert_near(answer, golden["expect"]["json"], **golden["tolerance"]["cpu"])


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_does_not_depend_on_its_neighbours_in_the_batch(models, name):
    requests = [decoded(case) for case in cases(models[name])]

    together = models[name].answer(*requests)

    alone = [models[name].answer(data)[0] for data in requests]
    assert_near(together, alone, absolute=1e-5, relative=0)


def test_the_golden_rows_and_images_are_held_out_ones(digits):
    split = digits.training.load_split()
    golden = digits.directory / "golden"

    for name, place in {"seven": 0, "unclear_eight": 333}.items():
        rows = decoded(golden / f"{name}_as_rows.yaml")
        assert rows == split.test_images[place].tolist()
    five = digits.preprocess(decoded(golden / "five_as_png.yaml"))
    held_out = digits.preprocess(split.test_images[14].tolist())
    np.testing.assert_allclose(five, held_out, atol=0.5 / 255)


def test_the_golden_wines_are_held_out_ones(wine):
    held_out = wine.training.load_split().test_samples.tolist()

    samples = [wine.preprocess(decoded(case)).tolist() for case in cases(wine)]

    expected = [np.float32(held_out[place]).tolist() for place in (3, 0, 40)]
    assert samples == expected


def test_a_wine_by_name_is_the_same_in_any_order(wine):
    by_name = dict(zip(feature_names(wine), SAMPLE, strict=True))
    backwards = dict(reversed(by_name.items()))

    assert wine.answer(backwards) == wine.answer(SAMPLE)


def test_my_network_answers_with_the_ten_outputs_of_its_last_layer(models):
    (answer,) = models["my_network"].answer([0.5, -1.0, 2.0, 0.25])

    assert [type(number) for number in answer] == [float] * 10


# Images


def white_square(mode, colour):
    image = Image.new(mode, (32, 32))
    image.paste(colour, (8, 8, 24, 24))
    return image


SQUARE = np.pad(np.ones((4, 4)), 2)


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(white_square("L", 255), id="greyscale"),
        pytest.param(white_square("1", 1), id="black and white"),
        pytest.param(white_square("RGB", (255, 255, 255)), id="colour"),
        pytest.param(white_square("L", 255).convert("P"), id="palette"),
        pytest.param(white_square("RGB", "white").convert("CMYK"), id="CMYK"),
        pytest.param(white_square("RGBA", (255,) * 4), id="black is transparent"),
        pytest.param(white_square("LA", (255, 255)), id="grey with transparency"),
        pytest.param(white_square("L", 255).resize((512, 16), 0), id="stretched"),
    ],
)
def test_an_image_of_any_kind_and_size_gives_the_same_pixels(digits, image):
    pixels = digits.preprocess(image)

    np.testing.assert_allclose(pixels, SQUARE[None], atol=2 / 255)


def test_what_is_transparent_is_background_whatever_its_colour(digits):
    image = white_square("RGBA", (255,) * 4)
    image.putpixel((0, 0), (255, 255, 255, 0))

    np.testing.assert_array_equal(digits.preprocess(image), SQUARE[None])


def test_a_jpeg_is_read_like_a_png(digits):
    body = io.BytesIO()
    white_square("L", 255).save(body, "JPEG", quality=95)

    pixels = digits.preprocess(Image.open(body))

    np.testing.assert_allclose(pixels, SQUARE[None], atol=0.05)


def test_a_damaged_image_is_the_callers_mistake(digits):
    whole = (digits.directory / "golden" / "three.png").read_bytes()
    damaged = Image.open(io.BytesIO(whole[: len(whole) // 2]))

    with pytest.raises(ValueError, match=r"^the image cannot be read: .*truncated"):
        digits.preprocess(damaged)


# What they refuse


def changed(rows, row, value):
    return [*rows[:row], value, *rows[row + 1 :]]


def at(row, column, value):
    return changed(ROWS, row, changed(ROWS[row], column, value))


def feature_names(wine):
    return wine.handler["preprocess_function"].__globals__["FEATURES"]


NOT_AN_IMAGE = (
    "expected a PNG or JPEG image, or a JSON list of 8 rows of 8 numbers from 0 to 16, "
    "or of all 64"
)
NOT_64 = "expected 8 rows of 8, or 64 numbers"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param("7", f"found str; {NOT_AN_IMAGE}", id="text"),
        pytest.param(b"7", f"found bytes; {NOT_AN_IMAGE}", id="bytes"),
        pytest.param({"image": ROWS}, f"found dict; {NOT_AN_IMAGE}", id="object"),
        pytest.param(None, f"found NoneType; {NOT_AN_IMAGE}", id="null"),
        pytest.param(
            [], "found 0 rows; expected 8 rows of 8, or 64 numbers", id="no rows"
        ),
        pytest.param(
            [0] * 63,
            "found 63 rows; expected 8 rows of 8, or 64 numbers",
            id="a number less",
        ),
        pytest.param(
            [0] * 8, "row 0 is int; expected a list of 8 numbers", id="rows of no list"
        ),
        pytest.param(
            changed(ROWS, 3, [0] * 9), "row 3 has 9 values; expected 8", id="a long row"
        ),
        pytest.param(
            at(3, 2, 17),
            "row 3, column 2 is 17; expected a number from 0 to 16",
            id="too much ink",
        ),
        pytest.param(
            at(0, 7, -0.5),
            "row 0, column 7 is -0.5; expected a number from 0 to 16",
            id="negative",
        ),
        pytest.param(
            at(7, 0, float("nan")),
            "row 7, column 0 is nan; expected a number from 0 to 16",
            id="no number: NaN",
        ),
        pytest.param(
            at(1, 1, "5"),
            "row 1, column 1 is '5'; expected a number from 0 to 16",
            id="no number: text",
        ),
        pytest.param(
            at(1, 1, "x" * 1000),
            f"row 1, column 1 is '{'x' * 39}; expected a number from 0 to 16",
            id="a long text is cut short",
        ),
        pytest.param(
            at(1, 1, value=True),
            "row 1, column 1 is True; expected a number from 0 to 16",
            id="no number: true",
        ),
        pytest.param(
            Image.new("I;16", (8, 8)),
            "the image has Pillow mode 'I;16'; "
            "expected 8 bits a channel, greyscale or colour",
            id="16 bits",
        ),
    ],
)
def test_digits_refuses_and_says_why(digits, data, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        digits.preprocess(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(
            "13.32",
            "found str; expected a JSON list of 13 numbers, "
            "or an object with the measurements by name",
            id="text",
        ),
        pytest.param(
            SAMPLE[:12], "found 12 numbers; expected 13", id="one number too few"
        ),
        pytest.param([SAMPLE], "found 1 numbers; expected 13", id="a batch of one"),
        pytest.param(
            [*SAMPLE[:12], "650"],
            "proline is '650'; expected a number from 0 to 100000",
            id="no number: text",
        ),
        pytest.param(
            [None, *SAMPLE[1:]],
            "alcohol is None; expected a number from 0 to 100000",
            id="no number: null",
        ),
        pytest.param(
            [True, *SAMPLE[1:]],
            "alcohol is True; expected a number from 0 to 100000",
            id="no number: true",
        ),
        pytest.param(
            [*SAMPLE[:12], float("inf")],
            "proline is inf; expected a number from 0 to 100000",
            id="infinite",
        ),
        pytest.param(
            [*SAMPLE[:12], -1],
            "proline is -1; expected a number from 0 to 100000",
            id="negative",
        ),
    ],
)
def test_wine_refuses_and_says_why(wine, data, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        wine.preprocess(data)


def test_wine_names_what_is_missing_and_what_it_does_not_know(wine):
    measurements = dict(zip(feature_names(wine), SAMPLE, strict=True))
    measurements["alkohol"] = measurements.pop("alcohol")

    with pytest.raises(ValueError, match=r"^missing: alcohol; unknown: alkohol$"):
        wine.preprocess(measurements)


# What they are made of


def test_the_names_of_the_wine_features_are_those_of_the_data(wine):
    from sklearn.datasets import load_wine  # noqa: PLC0415 -- slow to import

    assert list(feature_names(wine)) == load_wine().feature_names


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_is_small_enough_for_git(models, name):
    assert models[name].checkpoint.stat().st_size < 300_000


def test_wine_brings_its_own_exact_packages_and_not_torch(wine):
    requirements = (wine.directory / "requirements.txt").read_text().splitlines()

    assert all(re.fullmatch(r"[a-z]+==[\d.]+", line) for line in requirements)
    assert not any(line.startswith("torch") for line in requirements)


def test_the_code_of_one_model_cannot_be_imported_by_another(models):
    own = {"handler_model", "model", "train", "digits_model"}

    assert not {name.split(".")[0] for name in sys.modules} & own
    assert not any(path.startswith(str(REGISTRY)) for path in sys.path)


def assert_near(found, expected, *, absolute, relative):
    """Compare as golden cases are compared: floats by tolerance, all else exactly."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, list):
        for one, other in zip(found, expected, strict=True):
            assert_near(one, other, absolute=absolute, relative=relative)
    elif isinstance(expected, float):
        assert abs(found - expected) <= absolute + relative * abs(expected)
    else:
        assert found == expected
