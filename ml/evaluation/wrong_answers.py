"""Which answers to look at, and what to hold them against."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class WrongAnswer:
    """One track that was answered wrongly; rows count the tracks given.

    Attributes:
        row: of the track.
        typical_of_truth: row of a typical track of its true class; None where no other is there.
        typical_of_answer: row of a typical track of the class it was taken for; None likewise.
    """

    row: int
    typical_of_truth: int | None
    typical_of_answer: int | None


def wrong_answers(
    probabilities: np.ndarray, labels: np.ndarray, *, most: int = 6
) -> list[WrongAnswer]:
    """The most confidently wrong tracks, each with a typical one of both classes.

    Args:
        probabilities: float `[track, class]`.
        labels: int `[track]`.
        most: how many.

    Returns:
        By falling probability of the wrong answer.
    """
    answers = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(answers != labels)
    order = wrong[np.argsort(-probabilities[wrong, answers[wrong]], kind="stable")][:most]
    return [
        WrongAnswer(
            row,
            typical(probabilities, labels, int(labels[row]), but=row),
            typical(probabilities, labels, int(answers[row]), but=row),
        )
        for row in order.tolist()
    ]


def typical(
    probabilities: np.ndarray, labels: np.ndarray, label: int, *, but: int | None = None
) -> int | None:
    """Row of a typical track of a class; None where it has no track.

    Of its rightly answered tracks the one that the model answers most like all of them: nearest to
    the mean of their probabilities. The surest answer would be the most extreme example instead.
    Where none is answered rightly, the one that comes nearest to it.

    Args:
        probabilities: float `[track, class]`.
        labels: int `[track]`.
        label: the class.
        but: a row that is not to be chosen.
    """
    rows = np.flatnonzero((labels == label) & (np.arange(len(labels)) != but))
    if not len(rows):
        return None
    right = rows[probabilities[rows].argmax(axis=1) == label]
    if not len(right):
        return int(rows[probabilities[rows, label].argmax()])
    distance = np.square(probabilities[right] - probabilities[right].mean(axis=0)).sum(axis=1)
    return int(right[distance.argmin()])
