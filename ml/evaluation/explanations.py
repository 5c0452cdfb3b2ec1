"""Which dimensions and which tags speak for a class of a linear classifier."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_NAMED = 5  # dimensions and tags of a class
LEAST_TRACKS = 3  # for a correlation


@dataclass(frozen=True)
class ClassExplanation:
    """What speaks for one class.

    Attributes:
        name: of the class.
        dimensions: (name, weight): the dimensions with the largest weights for the class. The
            weight is the change of its logit, relative to the mean of all classes, per standard
            deviation of the dimension. Negative ones speak against it.
        tags: (name, correlation): the tags whose logits correlate most with that of the class.
        shares: source -> its share of the class's squared weights; sums to 1.
    """

    name: str
    dimensions: list[tuple[str, float]]
    tags: list[tuple[str, float]]
    shares: dict[str, float]


def explain_classes(
    weight: np.ndarray,
    scaled: np.ndarray,
    tags: np.ndarray,
    *,
    classes: Sequence[str],
    dimension_names: Sequence[str],
    tag_names: Sequence[str],
    most: int = MOST_NAMED,
) -> list[ClassExplanation]:
    """Explain each class of a multinomial logistic regression on standardised vectors.

    Args:
        weight: float `[class, dimension]`.
        scaled: float `[track, dimension]`, standardised vectors of the tracks.
        tags: float `[track, tag]`, the logits of tags for the same tracks; may have no columns.
        classes: names of the classes.
        dimension_names: names of the dimensions, `SOURCE: REST`.
        tag_names: names of the tags.
        most: how many dimensions and tags to name per class.
    """
    centred = weight - weight.mean(axis=0)  # a constant over the classes changes no probability
    logits = scaled @ centred.T
    sources = [name.partition(": ")[0] for name in dimension_names]
    correlations = _correlations(logits, tags)
    explanations = []
    for number, name in enumerate(classes):
        squares = centred[number] ** 2
        total = squares.sum() or 1.0
        largest = np.argsort(-np.abs(centred[number]), kind="stable")[:most]
        strongest = np.argsort(-correlations[number], kind="stable")[:most]
        explanations.append(
            ClassExplanation(
                name,
                [(dimension_names[i], round(float(centred[number, i]), 4)) for i in largest],
                [(tag_names[i], round(float(correlations[number, i]), 3)) for i in strongest
                 if correlations[number, i] > 0],
                {
                    source: round(float(squares[[s == source for s in sources]].sum() / total), 4)
                    for source in dict.fromkeys(sources)
                },
            )
        )  # fmt: skip
    return explanations


def _correlations(logits: np.ndarray, tags: np.ndarray) -> np.ndarray:
    """Pearson's correlation `[class, tag]` over tracks; 0 where one of both is constant."""
    if len(logits) < LEAST_TRACKS or not tags.shape[1]:
        return np.zeros((logits.shape[1], tags.shape[1]))
    of_class, of_tag = _standardised(logits), _standardised(tags.astype(np.float64))
    correlations: np.ndarray = of_class.T @ of_tag / len(logits)
    return correlations


def _standardised(values: np.ndarray) -> np.ndarray:
    deviation = values.std(axis=0)
    scale = np.where(deviation > 1e-9, deviation, np.inf)
    scaled: np.ndarray = (values - values.mean(axis=0)) / scale
    return scaled
