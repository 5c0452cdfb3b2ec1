"""The measures of failures, on generators that have one failure each, and on one that has none."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d

from melgraph.ml.generative.cyclegan import failures
from melgraph.ml.generative.cyclegan.failures import FAILURES, measure, notes
from melgraph.ml.generative.cyclegan.trainer import CycleGanTrainer
from tests.ml.generative.cyclegan.toys import SIDE, network, recordings, setup, stripes

PATTERN = torch.from_numpy((-1.0) ** np.add.outer(np.arange(SIDE), np.arange(SIDE))).float()
ONE_IMAGE = 2 * stripes(1)[None] - 1


class Function(nn.Module):
    """A generator that computes a function of images in [-1, 1]."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, images):
        return self.function(images)


def shifted(step):
    """Between the genres, which are 0.4 of the range apart: a generator without a failure."""
    return lambda images: images + 2 * step


def blurred(images):
    """Means of 9 neighbouring rows."""
    return avg_pool2d(images, (9, 1), stride=1, padding=(4, 0), count_include_pad=False)


def figures_of(forward, back):
    """What the trainer measures of two generators: `forward` makes light images of dark ones."""
    gan = network()
    gan.generators = nn.ModuleList([Function(back), Function(forward)])
    trainer = CycleGanTrainer.__new__(CycleGanTrainer)
    trainer.network = gan
    trainer.setup = setup(validation=recordings(4, 4))
    with torch.no_grad():
        figures = trainer.end_epoch(1).figures
    return figures, trainer.notes([{"epoch": 1, **figures}])


CASES = {
    "identity": (lambda x: x, "output equals the input", "Lower training.identity"),
    "swap": (lambda x: -x, "Light and dark are swapped", "Raise training.identity"),
    "alike": (lambda x: ONE_IMAGE.expand_as(x), "All outputs look alike", "Raise training.cycle,"),
    "checkerboard": (
        lambda x: x + 0.4 + 0.1 * PATTERN,
        "The outputs have checkerboards",
        "Raise training.epochs",
    ),
    "smear": (lambda x: blurred(x) + 0.8, "The timbre is smeared", "network.width"),
    "drift": (
        lambda x: x - 0.3,
        "dB below the mean of the quieter genre",
        "Raise training.identity",
    ),
    "hidden": (
        lambda x: 0.02 * x + 0.4 + 0.02 * PATTERN,
        "hides information",
        "Raise training.cycle_noise",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_generator_with_a_failure_is_noted_with_figure_and_remedy(name):
    forward, sentence, remedy = CASES[name]
    back = {"hidden": lambda x: 50 * (x - 0.4 - 0.02 * PATTERN)}.get(name, shifted(-0.4))
    figures, sentences = figures_of(forward, back)
    of_forward = failures._of_direction(figures, "forward")
    assert {f.name: f.happens(of_forward) for f in FAILURES}[name]
    (text,) = [t for t in sentences if sentence in t]
    assert "when dark is moved towards light" in text
    assert remedy in text
    assert "in epoch 1." in text
    assert "{" not in text


def test_generators_without_a_failure_have_no_note():
    _, sentences = figures_of(shifted(0.4), shifted(-0.4))
    assert sentences == []


def test_each_figure_has_the_value_that_its_definition_gives():
    images = stripes()
    other = images + 0.25
    figures = measure(images, other, images + 0.2)
    assert figures["change"] == pytest.approx(0.25, abs=1e-6)
    assert figures["correlation"] == pytest.approx(1.0, abs=1e-5)
    assert figures["variety"] == pytest.approx(1.0, rel=1e-4)
    assert figures["drift"] == pytest.approx(0.05, abs=1e-5)
    assert figures["checkerboard"] == pytest.approx(1.0, rel=1e-4)
    assert figures["sharpness"] == pytest.approx(1.0, rel=1e-4)
    assert measure(images, 1 - images, images)["correlation"] == pytest.approx(-1.0, abs=1e-5)
    assert measure(images, images / 2, images)["sharpness"] == pytest.approx(0.25, rel=1e-4)
    assert measure(images, images / 2, images)["variety"] == pytest.approx(0.5, rel=1e-4)
    assert measure(images, images - 0.1, images)["drift"] == pytest.approx(-0.1, abs=1e-5)


def test_recordings_of_the_other_genre_are_no_failure():
    light = torch.from_numpy(np.stack([a[:SIDE, :, 0].T for a in recordings(0, 8).arrays]))
    dark = torch.from_numpy(np.stack([a[:SIDE, :, 0].T for a in recordings(4, 0, seed=1).arrays]))
    figures = {**measure(dark, light[:4], light[4:]), "hidden": 0.0, "correlation": 0.5}
    assert not [failure.name for failure in FAILURES if failure.happens(figures)]


def test_one_image_has_no_variety_and_flat_images_no_correlation():
    figures = measure(stripes(1), torch.zeros(1, SIDE, SIDE), stripes(1))
    assert "variety" not in figures
    assert figures["correlation"] == 0
    assert np.isfinite(list(figures.values())).all()
    flat = torch.zeros(2, SIDE, SIDE)
    assert np.isfinite(list(measure(flat, flat, flat).values())).all()


def row(epoch, correlation):
    """A row in which only the correlation of one direction can be a failure."""
    healthy = {"change": 0.2, "variety": 1.0, "drift": 0.0, "checkerboard": 1.0, "sharpness": 1.0}
    of = {**healthy, "hidden": 0.0, "correlation": correlation}
    named = {f"{name}_forward": value for name, value in of.items()}
    back = {f"{name}_back": value for name, value in {**of, "correlation": 0.5}.items()}
    return {"epoch": epoch, "train_loss": 1.0, **named, **back}


@pytest.mark.parametrize(
    ("correlations", "when"),
    [
        ([0.5, -0.4], "in epoch 2. Raise"),
        ([0.5, -0.3, -0.4], "was -0.40 in epoch 3. Epochs 2 to 3 showed this. Raise"),
        ([-0.5, 0.5, -0.4], "2 of the epochs 1 to 3 showed this. Raise"),
        ([-0.5, 0.5, 0.4], "was -0.50 in epoch 1. The later epochs did not"),
    ],
)
def test_a_note_names_the_epochs_and_whether_the_failure_is_over(correlations, when):
    curves = [row(number, value) for number, value in enumerate(correlations, 1)]
    (text,) = notes(curves, ("dark", "light"))
    assert when in text
    assert notes([row(1, 0.5)], ("dark", "light")) == []
    assert notes([], ("dark", "light")) == []
