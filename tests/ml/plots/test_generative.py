"""Charts of generative models: palette PNGs with equal bytes for equal values."""

import io

import numpy as np
import pytest
from PIL import Image

from melgraph.ml import plots
from melgraph.ml.plots import Panel

RNG = np.random.default_rng(0)
SOUND = RNG.normal(-40, 10, (60, 64)).astype(np.float16)
MFCC = RNG.normal(size=(500, 20)).astype(np.float16)
POINTS = RNG.normal(size=(12, 2))
GENRES = ["rock", "jazz", "pop"] * 4
ROWS = [
    {
        "epoch": n,
        "train_loss": 1 / n,
        "validation_loss": 1.2 / n,
        "kad": None if n == 2 else 0.1 * n,
        "copies": float("nan"),
    }
    for n in (1, 2, 3, 4)
]
PANELS = [
    Panel("KAD", {"kad": "KAD"}, "KAD", from_zero=False),
    Panel("Failures", {"copies": "copies", "absent": "collapse"}, "share of the samples"),
]

PICTURES = {
    "losses alone": lambda: plots.generative_curves(ROWS),
    "one epoch": lambda: plots.generative_curves(ROWS[:1]),
    "three panels": lambda: plots.generative_curves(ROWS, PANELS),
    "one training": lambda: plots.loss_curves_side_by_side({"a": ROWS}),
    "four trainings": lambda: plots.loss_curves_side_by_side(dict.fromkeys("abcd", ROWS)),
    "one sample": lambda: plots.sample_sheet([SOUND], ["rock"], unit="dB"),
    "samples": lambda: plots.sample_sheet([SOUND] * 6, GENRES[:6], unit="dB", title="epoch 3"),
    "samples of constant value": lambda: plots.sample_sheet([0 * SOUND], ["rock"], unit="dB"),
    "samples and originals": lambda: plots.sample_sheet(
        [SOUND] * 5, GENRES[:5], unit="dB", originals=[SOUND, None, SOUND, SOUND, None]
    ),
    "MFCC": lambda: plots.sample_sheet(
        [MFCC] * 2,
        GENRES[:2],
        unit="MFCC, dB",
        originals=[MFCC] * 2,
        scale="signed",
        first_bin=1,
        frames_per_second=43.07,
    ),
    "pair": lambda: plots.mfcc_pair(MFCC, 0.5 * MFCC, frames_per_second=43.07, title="rock"),
    "pair of one frame": lambda: plots.mfcc_pair(MFCC[:1], MFCC[:1], frames_per_second=43.07),
    "PCA": lambda: plots.pca_scatter(POINTS, 0.5 * POINTS, GENRES, (0.6, 0.2)),
}


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_is_a_palette_png_and_the_same_bytes_again(name):
    content = PICTURES[name]()
    picture = Image.open(io.BytesIO(content))
    assert (picture.format, picture.mode, picture.width) == ("PNG", "P", 840)
    assert picture.info.keys() <= {"transparency"}  # no date, no version: the bytes can repeat
    assert PICTURES[name]() == content


def test_other_values_give_another_picture():
    chart = plots.sample_sheet([SOUND, SOUND], ["a", "b"], unit="dB")
    assert plots.sample_sheet([SOUND, SOUND[::-1]], ["a", "b"], unit="dB") != chart
    rows = [ROWS[0] | {"validation_loss": 3.0}, *ROWS[1:]]
    assert plots.generative_curves(rows) != plots.generative_curves(ROWS)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.generative_curves([]),
        lambda: plots.loss_curves_side_by_side({}),
        lambda: plots.loss_curves_side_by_side({"a": ROWS, "b": []}),
        lambda: plots.sample_sheet([], [], unit="dB"),
        lambda: plots.sample_sheet([SOUND], ["a", "b"], unit="dB"),
        lambda: plots.sample_sheet([SOUND], ["a"], unit="dB", originals=[]),
        lambda: plots.mfcc_pair(MFCC, MFCC[1:], frames_per_second=43.07),
        lambda: plots.pca_scatter(POINTS, POINTS[1:], GENRES, (0.6, 0.2)),
    ],
)
def test_nothing_to_draw_and_shapes_that_do_not_fit_are_refused(draw):
    with pytest.raises(ValueError, match=r"no epoch|titles|of shape"):
        draw()
