import io

import numpy as np
import pytest
from PIL import Image

from melgraph.ml import plots
from melgraph.ml.plots.spectrograms import average_frames, readable_ticks
from melgraph.ml.spectral import MelTransform, mel_frequencies

TRANSFORM = MelTransform()
RNG = np.random.default_rng(0)
SOUND = RNG.normal(-40, 10, (100, 128)).astype(np.float32)
POINTS = RNG.normal(size=(60, 2))
LABELS = [None if i % 7 == 0 else f"label {i % 30}" for i in range(60)]
CURVES = [
    {
        "epoch": n,
        "train_loss": 1 / n,
        "validation_loss": 1.2 / n,
        "validation_accuracy": 0.1 * n,
        "is_best": n == 2,
    }
    for n in (1, 2, 3)
]
UNVALIDATED = [c | {"validation_loss": None, "validation_accuracy": None} for c in CURVES]


def counts(n: int) -> np.ndarray:
    return np.arange(n * n).reshape(n, n)


PICTURES = {
    "two classes": lambda: plots.confusion_matrix(counts(2), ["a", "b"], "t"),
    "two long names": lambda: plots.confusion_matrix(counts(2), ["progressive", "classical"], "t"),
    "thirty classes": lambda: plots.confusion_matrix(
        counts(30), [f"class {i}" for i in range(30)], "t"
    ),
    "a class without tracks": lambda: plots.confusion_matrix(np.zeros((3, 3), int), "abc", "t"),
    "curves": lambda: plots.training_curves(CURVES),
    "curves without validation": lambda: plots.training_curves(UNVALIDATED),
    "spectrogram": lambda: plots.mel_spectrogram(SOUND, TRANSFORM, "t"),
    "silence": lambda: plots.mel_spectrogram(np.full((9, 128), -100.0), TRANSFORM, "t"),
    "triptych": lambda: plots.spectrogram_triptych(SOUND, 0.1 * SOUND, SOUND, TRANSFORM),
    "no edit": lambda: plots.spectrogram_triptych(SOUND, 0 * SOUND, SOUND, TRANSFORM),
    "grid": lambda: plots.spectrogram_grid([("a", SOUND), ("b", SOUND), ("c", SOUND)], TRANSFORM),
    "map": lambda: plots.scatter_map(POINTS, LABELS, "t"),
    "map of nothing": lambda: plots.scatter_map(POINTS[:0], [], "t"),
    "histogram": lambda: plots.histogram(np.append(POINTS[:, 0], np.nan), "x", "t"),
    "histogram of nothing": lambda: plots.histogram(np.array([np.nan]), "x", "t"),
    "bars": lambda: plots.bars(["a", "b"], [0.2, 0.5], [(0.1, 0.3), None], title="t"),
    "no bars": lambda: plots.bars([], [], title="t"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_is_a_palette_png_of_the_common_width(name):
    picture = Image.open(io.BytesIO(PICTURES[name]()))
    assert (picture.format, picture.mode, picture.width) == ("PNG", "P", 840)
    assert picture.info.keys() <= {"transparency"}  # no date, no version: the bytes can repeat
    assert len(picture.convert("RGB").getcolors(1 << 20)) > 2


@pytest.mark.parametrize("name", ["curves", "map", "spectrogram"])
def test_the_same_inputs_give_the_same_bytes(name):
    assert PICTURES[name]() == PICTURES[name]()


def test_inputs_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 2\) for 3 classes"):
        plots.confusion_matrix(counts(2), ["a", "b", "c"], "t")
    with pytest.raises(ValueError, match="no epoch"):
        plots.training_curves([])
    with pytest.raises(ValueError, match="no spectrogram"):
        plots.spectrogram_grid([], TRANSFORM)
    with pytest.raises(ValueError, match=r"shape \(100, 128\) for 40 rows"):
        plots.mel_spectrogram(SOUND, MelTransform(n_mels=40), "t")
    with pytest.raises(ValueError, match="for 2 labels"):
        plots.scatter_map(POINTS, ["a", "b"], "t")
    with pytest.raises(ValueError, match="2 names, 1 values"):
        plots.bars(["a", "b"], [1.0])


def pixels(picture: bytes) -> set[tuple[int, int, int]]:
    coloured = Image.open(io.BytesIO(picture)).convert("RGB").getcolors(1 << 20)
    assert coloured is not None
    return {colour for _, colour in coloured}


def test_pictures_of_thirty_seconds_are_light_enough_for_a_page():
    """Noise packs worse than music: three panels of music are about 93 kB."""
    noise = RNG.normal(-40, 10, (1292, 128)).astype(np.float32)
    assert len(plots.mel_spectrogram(noise, TRANSFORM, "t")) < 50_000
    assert len(plots.spectrogram_triptych(noise, noise + 40, noise, TRANSFORM)) < 120_000


def test_the_palette_keeps_the_colours_of_both_maps():
    """No edit is white, up is red and down is blue, also beside the colours of the sound."""
    ramp = np.tile(np.linspace(-6, 6, 128), (100, 1))
    colours = pixels(plots.spectrogram_triptych(SOUND, ramp, SOUND, TRANSFORM))
    assert any(r > 90 and g < 20 and b < 50 for r, g, b in colours)  # the red end of the map
    assert any(r < 20 and 30 < g < 60 and b > 80 for r, g, b in colours)  # the blue end


@pytest.mark.parametrize("frames", [350, 351, 1292, 20000])
def test_a_long_sound_is_averaged_and_no_frame_is_left_out(frames):
    ramp = np.tile(np.arange(frames, dtype=np.float32)[:, None], (1, 2))
    columns = average_frames(ramp, most=350)
    assert columns.shape == (350, 2)
    assert (np.diff(columns[:, 0]) > 0).all()
    ends = np.append(np.arange(350) * frames // 350, frames)  # of the stretches
    assert (columns[:, 0] * np.diff(ends)).sum() == pytest.approx(ramp[:, 0].sum(dtype=np.float64))


def test_a_short_sound_is_drawn_as_it_is():
    assert np.array_equal(average_frames(SOUND, most=100), SOUND)


def test_ticks_do_not_overlap():
    ticks = readable_ticks(mel_frequencies(TRANSFORM))
    at = np.interp(ticks, mel_frequencies(TRANSFORM), np.arange(128))
    assert len(ticks) >= 5
    assert np.diff(at).max() <= -128 / 12  # from the top down


@pytest.mark.parametrize("n", [1, 7, 200])
def test_tags_are_drawn_a_row_each_and_of_many_the_best_and_the_worst(n):
    rows = [
        {"name": f"tag {i}", "positives": i, "prevalence": 0.1, "roc_auc": 0.5 + i / 500,
         "pr_auc": i / 250}
        for i in range(n)
    ]  # fmt: skip
    nobody = {"name": "nobody's", "positives": 0, "prevalence": 0.0, "roc_auc": None,
              "pr_auc": None}  # fmt: skip
    picture = plots.tag_chart([*rows, nobody], "t")
    assert picture == plots.tag_chart([*rows, nobody], "t")
    height = Image.open(io.BytesIO(picture)).height
    assert height < 1800
    if n == 1:
        with pytest.raises(ValueError, match="no tag"):
            plots.tag_chart([nobody], "t")


def test_curves_of_tags_have_both_areas():
    curves = [
        {"epoch": e, "train_loss": 1 / e, "validation_loss": 1.1 / e, "validation_roc_auc": 0.7,
         "validation_pr_auc": None if e == 1 else 0.3, "is_best": True}
        for e in (1, 2, 3)
    ]  # fmt: skip
    assert plots.training_curves(curves).startswith(b"\x89PNG")
