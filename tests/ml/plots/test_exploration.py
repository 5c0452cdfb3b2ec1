import io

import numpy as np
import pytest
from PIL import Image

from melgraph.ml.plots import exploration as plots
from melgraph.ml.spectral import MelTransform

RNG = np.random.default_rng(0)
CLASSES = [f"class {i}" for i in range(9)] + ["a very long name of a class that has no end"]
VALUES = {name: RNG.gamma(3, 20, 5 * i) for i, name in enumerate(CLASSES)}  # the first is empty
BANDS = RNG.normal(-20, 5, (3, 128)).cumsum(axis=0)
PARTS = ("train", "test", "left out")


def correlations(n: int) -> np.ndarray:
    matrix = np.corrcoef(np.random.default_rng(n).normal(size=(n, 50)))
    return np.atleast_2d(matrix)


def names(n: int) -> list[str]:
    return [f"feature_{i}" for i in range(n)]


PICTURES = {
    "balance": lambda: plots.class_balance(
        {n: {"train": 3, "left out": 1} for n in CLASSES}, PARTS
    ),
    "balance of one class": lambda: plots.class_balance({"a": {"train": 1}}, PARTS),
    "histograms": lambda: plots.histograms_by_class(VALUES, xlabel="seconds", title="t"),
    "one value": lambda: plots.histograms_by_class({"a": np.ones(1)}, xlabel="s", title="t"),
    "boxes": lambda: plots.boxes_by_class({"x": VALUES, "y": VALUES, "z": VALUES}, title="t"),
    "one box": lambda: plots.boxes_by_class({"x": {"a": np.ones(1)}}),
    "spectra": lambda: plots.mean_spectra(dict.fromkeys(CLASSES, BANDS), MelTransform(), "t"),
    "one spectrum": lambda: plots.mean_spectra({"a": BANDS}, MelTransform(), "t"),
    "map": lambda: plots.correlation_map(correlations(76), names(76), "t"),
    "map of one feature": lambda: plots.correlation_map(correlations(1), names(1), "t"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_is_a_palette_png_of_the_common_width_and_repeats(name):
    data = PICTURES[name]()
    picture = Image.open(io.BytesIO(data))
    assert (picture.format, picture.mode, picture.width) == ("PNG", "P", 840)
    assert picture.height < 1300
    assert picture.info.keys() <= {"transparency"}
    assert len(picture.convert("RGB").getcolors(1 << 20)) > 2
    if name in ("boxes", "map"):
        assert PICTURES[name]() == data


def test_inputs_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="nothing to draw"):
        plots.class_balance({}, PARTS)
    with pytest.raises(ValueError, match="nothing to draw"):
        plots.histograms_by_class({"a": np.empty(0)}, xlabel="s", title="t")
    with pytest.raises(ValueError, match="nothing to draw"):
        plots.boxes_by_class({"x": {"a": np.empty(0)}})
    with pytest.raises(ValueError, match="nothing to draw"):
        plots.mean_spectra({}, MelTransform(), "t")
    with pytest.raises(ValueError, match=r"shape \(3, 3\) for 2 features"):
        plots.correlation_map(correlations(3), names(2), "t")


@pytest.mark.parametrize("count", range(1, 25))
def test_panels_fill_their_rows(count):
    across = plots._panels_across(count)
    rows = -(-count // across)
    assert 1 <= across <= 5
    assert rows * across - count < across / 2 + 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.25, "0.25"), (-750, "-750"), (9000, "9000"), (3e4, "30k"), (-1.5e6, "-1.5M")],
)
def test_axes_have_no_exponents(value, text):
    assert plots._plain_number(value) == text
