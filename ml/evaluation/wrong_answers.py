"""Chooses wrong predictions to look at, and typical tracks to compare them with."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class WrongAnswer:
    """One track that was classified wrongly. Rows are those of the arrays that were passed in.

    Attributes:
        row: of the track.
        typical_of_truth: row of a typical track of its true class; None if that has no other track.
        typical_of_answer: row of a typical track of the predicted class; None if that has no track.
    """

    row: int
    typical_of_truth: int | None
    typical_of_answer: int | None


def wrong_answers(
    probabilities: np.ndarray, labels: np.ndarray, *, most: int = 6
) -> list[WrongAnswer]:
    """The wrong predictions of highest probability, each with a typical track of both classes.

    >>> wrong_answers(np.array([[0.9, 0.1], [0.7, 0.3]]), np.array([0, 1]))
    [WrongAnswer(row=1, typical_of_truth=None, typical_of_answer=0)]

    Args:
        probabilities: float `[track, class]`.
        labels: int `[track]`.
        most: largest number of tracks to return.

    Returns:
        The tracks, by decreasing probability of the wrong class.
    """
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    order = wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")][:most]
    return [
        WrongAnswer(
            row,
            typical(probabilities, labels, int(labels[row]), but=row),
            typical(probabilities, labels, int(predicted[row]), but=row),
        )
        for row in order.tolist()
    ]


def typical(
    probabilities: np.ndarray, labels: np.ndarray, label: int, *, but: int | None = None
) -> int | None:
    """Row of a typical track of a class; None if the class has no track.

    Of the tracks that were classified correctly, this is the one whose probabilities are nearest to
    their mean. The track with the highest probability would be an extreme example instead. If no
    track was classified correctly, it is the one with the highest probability of the class.

    Args:
        probabilities: float `[track, class]`.
        labels: int `[track]`.
        label: the class.
        but: a row that must not be chosen.
    """
    rows = np.flatnonzero((labels == label) & (np.arange(len(labels)) != but))
    if not len(rows):
        return None
    right = rows[probabilities[rows].argmax(axis=1) == label]
    if not len(right):
        return int(rows[probabilities[rows, label].argmax()])
    distance = np.square(probabilities[right] - probabilities[right].mean(axis=0)).sum(axis=1)
    return int(right[distance.argmin()])
