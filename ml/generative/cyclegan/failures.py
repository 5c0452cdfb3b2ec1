"""Failures of a CycleGAN that its loss does not show: how each is measured, and what it says.

Every figure is of one direction, and of validation images. Users of CycleGAN report three failures:
the output equals the input, light and dark are swapped within the first epochs, all outputs look
alike. The others are published: checkerboards (Odena et al. 2016), information hidden in the cycle
(Chu et al. 2017, "CycleGAN, a Master of Steganography"), a smear of the timbre, a drift in level.

The limits are calibrated on networks that have one failure each (`tests/ml/generative/cyclegan/
test_failures.py`), not by listening. The remedies follow from what each term of the loss asks for,
or are those of the sources; how often they help was not measured.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from melgraph.ml.representations.images import ImageMapping

PROBE_NOISE = 0.02  # deviation, relative to the range of a pixel
DIRECTIONS = ("forward", "back")
_RANGE_DB = ImageMapping().high_db - ImageMapping().low_db  # that a pixel shows
_EQUAL_CORRELATION, _EQUAL_CHANGE = 0.98, 0.03  # 0.03 of the range are 3 dB
_SWAPPED_CORRELATION = -0.1
_LEAST_VARIETY = 0.25
_MOST_CHECKERBOARD = 10.0  # texture of recordings alone has about 1
_LEAST_SHARPNESS = 0.25
_MOST_HIDDEN = 3 * PROBE_NOISE * 0.8  # 0.8: mean magnitude of noise with a deviation of 1
_MOST_DRIFT = 0.05  # of the range of a pixel: 5 dB
_TINY = 1e-12


def measure(inputs: Tensor, outputs: Tensor, targets: Tensor) -> dict[str, float]:
    """The figures of one direction that need no further pass through the networks.

    Args:
        inputs: float32 `[image, row, column]` in [0, 1], of the genre that is moved.
        outputs: the same images after they were moved.
        targets: `[image, row, column]`, recordings of the genre that they are moved towards.

    Returns:
        `change`: mean absolute difference of output and input, in the range of a pixel.
        `correlation`: Pearson correlation of the pixels of output and input, mean over images; 0
        for an image of one value.
        `variety`: mean distance of two outputs, relative to the mean distance of two inputs. It is
        absent if there are fewer than two images, or if all inputs are equal.
        `drift`: how far the mean of the outputs is outside the range between the mean of the
        inputs and that of the targets, in the range of a pixel; 0 inside, negative if too dark.
        `checkerboard`: energy of the outputs at the highest spatial frequency of rows and columns,
        in squares of 8 x 8 pixels, relative to that of the inputs or of the targets, whichever is
        larger.
        `sharpness`: energy of the differences between neighbouring rows (bins) of the outputs,
        relative to that of the inputs or of the targets, whichever is smaller. A smear of the
        timbre lowers it.
    """
    means = sorted((float(inputs.mean()), float(targets.mean())))
    level = float(outputs.mean())
    figures = {
        "change": float((outputs - inputs).abs().mean()),
        "correlation": float(_correlations(inputs, outputs).mean()),
        "drift": min(0.0, level - means[0]) + max(0.0, level - means[1]),
        "checkerboard": _checkerboard(outputs)
        / max(_checkerboard(inputs), _checkerboard(targets), _TINY),
        "sharpness": _row_contrast(outputs)
        / max(min(_row_contrast(inputs), _row_contrast(targets)), _TINY),
    }
    among_inputs = _mean_distance(inputs)
    if among_inputs > 0:
        figures["variety"] = _mean_distance(outputs) / among_inputs
    return figures


def _correlations(first: Tensor, second: Tensor) -> Tensor:
    """Pearson correlation of each pair of images: float32 `[image]`."""
    a, b = (x.flatten(1) - x.flatten(1).mean(dim=1, keepdim=True) for x in (first, second))
    products = (a * b).sum(dim=1)
    norms = a.norm(dim=1) * b.norm(dim=1)
    return torch.where(norms > 1e-6, products / norms.clamp_min(1e-6), torch.zeros_like(norms))


def _mean_distance(images: Tensor) -> float:
    """Mean Euclidean distance of two of the images; 0 for one image."""
    return float(torch.pdist(images.flatten(1)).mean()) if len(images) > 1 else 0.0


def _checkerboard(images: Tensor) -> float:
    """Mean energy of a pattern that changes sign with each pixel, in squares of 8 x 8 pixels.

    Within a square, a checkerboard adds up, and the texture of a recording cancels out.
    """
    edges = images.diff(dim=1).diff(dim=2)
    signs = [1.0 - 2.0 * (torch.arange(side) % 2) for side in edges.shape[1:]]
    return float(avg_pool2d(edges * torch.outer(*signs), 8).square().mean())


def _row_contrast(images: Tensor) -> float:
    """Mean energy of the differences between neighbouring rows."""
    return float(images.diff(dim=1).square().mean())


@dataclass(frozen=True)
class Failure:
    """One failure.

    Attributes:
        name: in code.
        happens: whether the figures of one direction show it.
        sentence: what it is, with the figures of the direction and the names `source` and `target`
            of genres in braces.
        remedy: what to change in the TOML file.
    """

    name: str
    happens: Callable[[Mapping[str, float]], bool]
    sentence: str
    remedy: str


FAILURES = (
    Failure(
        "identity",
        lambda of: of["correlation"] > _EQUAL_CORRELATION and of["change"] < _EQUAL_CHANGE,
        "The output equals the input when {source} is moved towards {target}: their correlation "
        "was {correlation:.3f}, and pixels differed by {change:.3f} of their range",
        "Lower training.identity.",
    ),
    Failure(
        "swap",
        lambda of: of["correlation"] < _SWAPPED_CORRELATION,
        "Light and dark are swapped when {source} is moved towards {target}: the correlation of "
        "output and input was {correlation:.2f}",
        "Raise training.identity, or use another seed.",
    ),
    Failure(
        "alike",
        lambda of: of.get("variety", 1.0) < _LEAST_VARIETY,
        "All outputs look alike when {source} is moved towards {target}: the distance between two "
        "of them was {variety:.2f} times the distance between two inputs",
        "Raise training.cycle, so that each input must be recovered from its output.",
    ),
    Failure(
        "checkerboard",
        lambda of: of["checkerboard"] > _MOST_CHECKERBOARD,
        "The outputs have checkerboards when {source} is moved towards {target}: their energy at "
        "the highest spatial frequency was {checkerboard:.1f} times that of recordings",
        "Raise training.epochs; if checkerboards stay, lower training.learning_rate.",
    ),
    Failure(
        "smear",
        lambda of: of["sharpness"] < _LEAST_SHARPNESS,
        "The timbre is smeared when {source} is moved towards {target}: the energy of differences "
        "between neighbouring frequencies was {sharpness:.2f} times that of recordings",
        "Raise training.epochs, or network.width and network.discriminator_width.",
    ),
    Failure(
        "hidden",
        lambda of: of["hidden"] > _MOST_HIDDEN,
        "The output hides information about its input when {source} is moved towards {target}: "
        f"noise with a deviation of {PROBE_NOISE:g} before the second generator raised the cycle "
        "loss by {hidden:.3f}",
        "Raise training.cycle_noise.",
    ),
    Failure(
        "drift",
        lambda of: abs(of["drift"]) > _MOST_DRIFT,
        "The level drifts when {source} is moved towards {target}: the mean level of the outputs "
        "was {drift_db:.1f} dB {direction} genre",
        "Raise training.identity.",
    ),
)


def notes(curves: Sequence[Mapping[str, Any]], genres: Sequence[str]) -> list[str]:
    """A sentence or two for each failure in each direction that the figures of any epoch show.

    Args:
        curves: rows with `epoch` and the figures of both directions, as the trainer names them.
        genres: names, in their order.
    """
    sentences = []
    for direction, (source, target) in zip(DIRECTIONS, (genres, genres[::-1]), strict=True):
        rows = {int(row["epoch"]): _of_direction(row, direction) for row in curves}
        for failure in FAILURES:
            epochs = [epoch for epoch, of in rows.items() if of and failure.happens(of)]
            if epochs:
                sentence = _sentence(failure, rows[epochs[-1]], source, target)
                sentences.append(_with_epochs(sentence, failure.remedy, epochs, max(rows)))
    return sentences


def _of_direction(row: Mapping[str, Any], direction: str) -> dict[str, float]:
    ending = f"_{direction}"
    return {k.removesuffix(ending): float(v) for k, v in row.items() if k.endswith(ending)}


def _sentence(failure: Failure, of: Mapping[str, float], source: str, target: str) -> str:
    drift = of["drift"]
    return failure.sentence.format(
        **of,
        source=source,
        target=target,
        drift_db=abs(drift) * _RANGE_DB,
        direction="above the mean of the louder" if drift > 0 else "below the mean of the quieter",
    )


def _with_epochs(sentence: str, remedy: str, epochs: Sequence[int], last: int) -> str:
    """The sentence about a failure, with the epochs that showed it, and the remedy."""
    first, until = epochs[0], epochs[-1]
    if len(epochs) == 1:
        text = f"{sentence} in epoch {first}."
    elif len(epochs) == until - first + 1:
        text = f"{sentence} in epoch {until}. Epochs {first} to {until} showed this."
    else:
        text = (
            f"{sentence} in epoch {until}. {len(epochs)} of the epochs {first} to {until} showed "
            "this."
        )
    if until == last:
        return f"{text} {remedy}"
    as_condition = remedy[0].lower() + remedy[1:]
    return f"{text} The later epochs did not show it. If the last epoch shows it, {as_condition}"
