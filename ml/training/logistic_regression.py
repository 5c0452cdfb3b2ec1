"""Fitting a probe: logistic regression whose regularisation nested cross-validation chooses."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from melgraph.ml.inference.track_set import TrackSet
from melgraph.ml.memory import peak_memory
from melgraph.ml.models.base import bin_statistics
from melgraph.ml.models.probe import Probe
from melgraph.ml.splits.folds import grouped_folds
from melgraph.ml.training.dynamics import DynamicsRecorder
from melgraph.ml.training.loop import EpochReport
from melgraph.ml.training.setup import TrainingSetup, check_setup
from melgraph.ml.training.train import TrainingResult
from melgraph.ml.training.validation import validate

LEAST_STD = 1e-6  # of a dimension that is constant in the training tracks
NEVER = -30.0  # logit of a class that no training track has
MAX_ITERATIONS = 2000


@dataclass(frozen=True)
class Choice:
    """The regularisation that was chosen.

    Attributes:
        strength: C, scikit-learn's inverse of the L2 penalty.
        losses: C -> mean negative log-likelihood of held-out training tracks, nats; empty if there
            were too few groups to compare.
    """

    strength: float
    losses: dict[float, float]

    def sentence(self, folds: int) -> str:
        """How it was chosen, for people."""
        if not self.losses:
            return f"C = {self.strength:g}: too few groups of training tracks to choose it by folds"
        return (
            f"C = {self.strength:g} of {len(self.losses)}, chosen by {folds} grouped folds of the "
            f"training tracks: held-out loss {self.losses[self.strength]:.3f}"
        )


def fit_probe(
    model: Probe,
    setup: TrainingSetup,
    *,
    progress: Callable[[EpochReport], None] | None = None,
) -> TrainingResult:
    """Fit a probe in place and leave it on the device in evaluation mode.

    Vectors are standardised by the training tracks. C is the one with the lowest log loss over
    `inner_folds` grouped folds of the training tracks; each fold is standardised by its own part.
    With `fusion = "separate"`, this is done for each source alone, and their logits are averaged.
    Validation tracks choose nothing: their figures are reported. Of the recipe, `class_balance`
    counts. Where the tracks have tags, each tag has a regression of its own, with one C for all.

    Args:
        model: its normalisation and its weights are set.
        setup: the tracks, with their groups (else each track is a group of its own), the recipe,
            and the seed of the folds.
        progress: called once, at the end.

    Raises:
        UserError: labels or vectors do not fit the model.
    """
    check_setup(model, setup)
    began = time.perf_counter()
    tracks, config = setup.training, setup.config
    if tracks.has_tags:
        config = config.for_tags()
    with peak_memory("cpu") as peak:
        vectors = vectors_of(tracks)
        model.multi_label = tracks.has_tags
        mean, std = bin_statistics(tracks.arrays, least_std=LEAST_STD)
        model.set_normalisation(mean, std)
        scaled = (vectors - mean[0]) / std[0]
        weight, bias, notes = _fit_blocks(model, tracks, vectors, scaled, config.class_balance,
                                          setup.seed)  # fmt: skip
    with torch.no_grad():
        model.head.weight.copy_(torch.from_numpy(weight))
        model.head.bias.copy_(torch.from_numpy(bias))
    model.to(setup.device).eval()
    recorder = DynamicsRecorder(len(tracks))
    logits = torch.from_numpy(scaled @ weight.T + bias)
    recorder.add(np.arange(len(tracks)), logits, torch.tensor(tracks.labels))
    recorder.end_epoch()
    dynamics = recorder.result()
    figures = validate(model, setup.validation, config, setup.device)
    report = EpochReport(
        epoch=1,
        train_loss=float(dynamics.loss.mean()),
        validation_loss=figures.loss,
        validation_accuracy=figures.accuracy,
        seconds=time.perf_counter() - began,
        is_best=True,
        validation_roc_auc=figures.roc_auc,
        validation_pr_auc=figures.pr_auc,
    )
    if progress is not None:
        progress(report)
    return TrainingResult(
        curves=[report.row(tags=tracks.has_tags)],
        best_epoch=1,
        n_parameters=model.n_parameters,
        seconds=time.perf_counter() - began,
        dynamics=dynamics,
        peak_memory_bytes=peak.bytes,
        notes=notes,
    )


def _fit_blocks(
    model: Probe,
    tracks: TrackSet,
    vectors: np.ndarray,
    scaled: np.ndarray,
    class_balance: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Weights `[class, dimension]`, biases `[class]`, and how each C was chosen, for people.

    Of several blocks, each has a regression of its own, and the logits are averaged.
    """
    blocks = tracks.blocks if model.options["fusion"] == "separate" else ()
    edges = np.cumsum([0, *(blocks or (vectors.shape[1],))])
    weights, biases, notes = [], [], []
    for number, (start, end) in enumerate(pairwise(edges.tolist()), start=1):
        choice = choose_strength(model, tracks, vectors[:, start:end], class_balance, seed)
        weight, bias = solve(
            scaled[:, start:end], tracks.labels, model.n_classes, choice.strength, class_balance
        )
        weights.append(weight)
        biases.append(bias)
        source = f"source {number}: " if blocks else ""
        notes.append(source + choice.sentence(_inner_folds(model)))
    n = len(weights)
    return np.concatenate(weights, axis=1) / n, np.sum(biases, axis=0) / n, notes


def vectors_of(tracks: TrackSet) -> np.ndarray:
    """The vectors of tracks whose arrays are `[1, dimension]`: float64 `[track, dimension]`."""
    return np.stack([np.asarray(array[0], np.float64) for array in tracks.arrays])


def choose_strength(
    model: Probe, tracks: TrackSet, vectors: np.ndarray, class_balance: float, seed: int
) -> Choice:
    """The value of C with the lowest log loss over grouped folds of the training tracks.

    If there are fewer groups than folds, or fewer tracks in every class, there are fewer folds.
    With fewer than two groups or classes nothing can be compared, and the middle value is used.
    """
    strengths = sorted(cast(list[float], model.options["strengths"]))
    groups = tracks.groups if tracks.groups is not None else np.arange(len(tracks))
    strata = tracks.labels if not tracks.has_tags else np.zeros(len(tracks), np.int64)
    n_folds = min(_inner_folds(model), len(np.unique(groups)), int(np.bincount(strata).max()))
    if len(strengths) == 1 or n_folds < 2 or (np.asarray(tracks.labels) == tracks.labels[0]).all():
        return Choice(strengths[len(strengths) // 2], {})
    fold = grouped_folds(strata, groups, n_folds=n_folds, seed=seed)
    losses = dict.fromkeys(strengths, 0.0)
    for number in np.unique(fold):
        inside = fold != number
        mean, std = vectors[inside].mean(axis=0), vectors[inside].std(axis=0)
        scaled = (vectors - mean) / np.maximum(std, LEAST_STD)
        for strength in strengths:
            weight, bias = solve(scaled[inside], tracks.labels[inside], model.n_classes, strength,
                                 class_balance)  # fmt: skip
            logits = torch.from_numpy(scaled[~inside] @ weight.T + bias)
            losses[strength] += _loss(logits, tracks.labels[~inside]) / len(tracks)
    return Choice(min(strengths, key=lambda c: (losses[c], c)), losses)


def solve(
    scaled: np.ndarray, labels: np.ndarray, n_classes: int, strength: float, class_balance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weights `[class, dimension]` and biases `[class]`, float64, of a logistic regression.

    Args:
        scaled: float64 `[track, dimension]`, standardised.
        labels: int `[track]`; or of tags, `[track, class]`, 1 for each tag that the track has.
        n_classes: classes of the output. One that no track has is never predicted.
        strength: C.
        class_balance: as in `TrainingConfig`.
    """
    if labels.ndim == 2:
        return _solve_tags(scaled, labels.astype(bool), strength, class_balance)
    weight, bias = np.zeros((n_classes, scaled.shape[1])), np.full(n_classes, NEVER)
    present = np.unique(labels)
    if len(present) == 1:
        bias[present] = 0.0
        return weight, bias
    coefficients, intercepts = _regression(scaled, labels, strength, class_balance)
    if len(present) == 2:  # one row: the logit of the second class over the first
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercepts = np.concatenate([-intercepts, intercepts]) / 2
    weight[present], bias[present] = coefficients, intercepts
    return weight, bias


def _solve_tags(
    scaled: np.ndarray, tags: np.ndarray, strength: float, class_balance: float
) -> tuple[np.ndarray, np.ndarray]:
    n, n_tags = tags.shape
    positives = tags.sum(axis=0)
    weight = np.zeros((n_tags, scaled.shape[1]))
    bias = np.log((positives + 0.5) / (n - positives + 0.5))
    for tag in np.flatnonzero((positives > 0) & (positives < n)):
        coefficients, intercepts = _regression(
            scaled, tags[:, tag].astype(np.int64), strength, class_balance
        )
        weight[tag], bias[tag] = coefficients[0], intercepts[0]
    return weight, bias


def _regression(
    scaled: np.ndarray, labels: np.ndarray, strength: float, class_balance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and intercepts, as scikit-learn gives them, of the classes that occur."""
    classes, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    of_class = (len(labels) / (len(classes) * counts)) ** class_balance
    weights = of_class[numbers] * len(labels) / of_class[numbers].sum()
    rotated, back = _rotate(scaled)
    regression: Any = LogisticRegression(C=strength, max_iter=MAX_ITERATIONS, tol=1e-5)
    with warnings.catch_warnings():  # the iterations of a weak penalty end within 1e-3 of the loss
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(rotated, labels, sample_weight=weights)
    coefficients = regression.coef_ if back is None else regression.coef_ @ back
    return coefficients, regression.intercept_


def _rotate(scaled: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """The vectors in the space that they span, and the way back: `rotated @ back` is `scaled`.

    None stands for no rotation.

    An L2 penalty does not change under a rotation, so the solution is the same. With fewer tracks
    than dimensions it takes a fraction of the time.
    """
    if scaled.shape[1] <= len(scaled):
        return scaled, None
    u, values, back = np.linalg.svd(scaled, full_matrices=False)
    return u * values, back


def _loss(logits: torch.Tensor, labels: np.ndarray) -> float:
    """The summed negative log-likelihood of tracks, nats; of tags, the mean over the tags."""
    if labels.ndim == 2:
        truth = torch.from_numpy(labels.astype(np.float64))
        each = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        return float(each.mean(dim=1).sum())
    truth = torch.from_numpy(np.asarray(labels, np.int64))
    return float(torch.nn.functional.cross_entropy(logits, truth, reduction="sum"))


def _inner_folds(model: Probe) -> int:
    return int(cast(int, model.options["inner_folds"]))
