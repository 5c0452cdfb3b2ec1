"""A probe that is fitted anew without the artists of the sound that it judges."""

from collections.abc import Collection, Hashable, Sequence

import numpy as np

from melgraph.ml.errors import UserError
from melgraph.ml.inference.track_set import TrackSet
from melgraph.ml.models.probe import Probe
from melgraph.ml.training.logistic_regression import LEAST_STD, choose_strength, solve

MIN_SONGS, MIN_GROUPS = 20, 5  # of each class on the train side; below, a probe is cross-fitted


def too_few(labels: Sequence[str], groups: Sequence[Hashable]) -> list[str]:
    """The classes with fewer than 20 songs or fewer than 5 groups, with both counts, for people.

    Args:
        labels: the class of each song of the train side.
        groups: its artist, or the recordings that it is kept together with.
    """
    counts = []
    for label in sorted(set(labels)):
        its = [group for group, other in zip(groups, labels, strict=True) if other == label]
        if len(its) < MIN_SONGS or len(set(its)) < MIN_GROUPS:
            counts.append(f"{label}: {len(its)} songs in {len(set(its))} groups")
    return counts


class CrossFittedProbe:
    """Logistic regressions on the vectors of all labelled songs but those of some groups.

    The regularisation is chosen once, by grouped folds of all songs. Each set of groups that is
    left out has a regression of its own, standardised by its own songs.

    Args:
        model: the probe, for its options: the strengths that are tried, and the folds.
        vectors: float `[song, dimension]`.
        labels: int64 `[song]`, the index of the class.
        groups: the group of each song.
        class_balance: as in `TrainingConfig`.
        seed: of the folds.
    """

    def __init__(
        self,
        model: Probe,
        vectors: np.ndarray,
        labels: np.ndarray,
        groups: Sequence[Hashable],
        *,
        class_balance: float,
        seed: int,
    ) -> None:
        numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
        self._groups = np.array([numbers[group] for group in groups], np.int64)
        self._numbers = numbers
        self._vectors, self._labels = vectors.astype(np.float64), labels
        self._n_classes, self._class_balance = model.n_classes, class_balance
        tracks = TrackSet(list(self._vectors[:, None]), labels, LEAST_STD, self._groups)
        choice = choose_strength(model, tracks, self._vectors, class_balance, seed)
        self._strength = choice.strength
        self._fits: dict[frozenset[int], tuple[np.ndarray, ...]] = {}

    def probabilities(self, vector: np.ndarray, without: Collection[Hashable]) -> np.ndarray:
        """The class probabilities of a sound: float64 `[class]`.

        Args:
            vector: float `[dimension]`.
            without: the groups of the songs that the sound comes from; unknown groups are allowed.

        Raises:
            UserError: no song is left.
        """
        left_out = frozenset(self._numbers[group] for group in without if group in self._numbers)
        if left_out not in self._fits:
            self._fits[left_out] = self._fit(left_out)
        mean, deviation, weight, bias = self._fits[left_out]
        logits = weight @ ((vector.astype(np.float64) - mean) / deviation) + bias
        shifted = np.exp(logits - logits.max())
        probabilities: np.ndarray = shifted / shifted.sum()
        return probabilities

    def knows(self, number: int, without: Collection[Hashable]) -> bool:
        """Whether songs of a class remain without those of some groups.

        Args:
            number: of the class.
            without: the groups that are left out.
        """
        left_out = [self._numbers[group] for group in without if group in self._numbers]
        return bool((~np.isin(self._groups, left_out) & (self._labels == number)).any())

    def _fit(self, left_out: frozenset[int]) -> tuple[np.ndarray, ...]:
        inside = ~np.isin(self._groups, list(left_out))
        if not inside.any():
            raise UserError(
                "a judge has no training song besides those of the artists that it judges",
                where="cross-fitting of a probe",
                remedy="use a dataset with more artists",
            )
        vectors = self._vectors[inside]
        mean, deviation = vectors.mean(axis=0), np.maximum(vectors.std(axis=0), LEAST_STD)
        weight, bias = solve(
            (vectors - mean) / deviation,
            self._labels[inside],
            self._n_classes,
            self._strength,
            self._class_balance,
        )
        return mean, deviation, weight, bias
