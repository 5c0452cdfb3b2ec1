"""Training dynamics: how each track was learned, and which tracks to leave out as the hardest."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from melgraph.ml.errors import UserError

Hardness = Literal["aum", "loss", "forgetting"]
LEAST_LEFT = 2  # tracks of a class that are never left out


@dataclass(frozen=True)
class Dynamics:
    """The predictions of each training track by epoch, on the crops that the model learned from.

    Attributes:
        loss: float32 `[epoch, track]`, nats; the mean over the track's crops (and tags).
        margin: float32 `[epoch, track]`: logit of the true class less the largest other; NaN of
            tags, for which it is not defined.
        correct: float32 `[epoch, track]`: share of the crops predicted correctly; NaN of tags.
    """

    loss: np.ndarray
    margin: np.ndarray
    correct: np.ndarray


class DynamicsRecorder:
    """Sums up the dynamics of an epoch, crop by crop."""

    def __init__(self, n_tracks: int) -> None:
        self.epochs: list[Tensor] = []  # float64 [3, track] each
        self.sums = torch.zeros(4, n_tracks, dtype=torch.float64)  # loss, margin, correct, crops

    def add(self, tracks: np.ndarray, logits: Tensor, labels: Tensor) -> None:
        """Add a batch.

        Args:
            tracks: int64 `[crop]`, the row of each crop's track.
            logits: float `[crop, class]`.
            labels: int64 `[crop]`; of tags, float `[crop, class]`.
        """
        logits = logits.detach().double().cpu()
        labels = labels.cpu()
        rows = _of_tags(logits, labels) if labels.ndim == 2 else _of_class(logits, labels)
        self.sums.index_add_(1, torch.as_tensor(tracks), rows)

    def end_epoch(self) -> None:
        """Turn the sums of the epoch into means, and start the next epoch."""
        self.epochs.append(self.sums[:3] / self.sums[3].clamp(min=1))
        self.sums = torch.zeros_like(self.sums)

    def result(self) -> Dynamics:
        """The dynamics of all epochs."""
        stacked = torch.stack(self.epochs).float().numpy()
        return Dynamics(stacked[:, 0], stacked[:, 1], stacked[:, 2])


def _of_class(logits: Tensor, labels: Tensor) -> Tensor:
    """Loss, margin, 1 if correct, and 1, of each crop: float64 `[4, crop]`."""
    loss = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    of_truth = logits.gather(1, labels[:, None])[:, 0]
    others = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    margin = of_truth - others
    return torch.stack([loss, margin, (margin > 0).double(), torch.ones_like(loss)])


def _of_tags(logits: Tensor, labels: Tensor) -> Tensor:
    loss = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, labels.double(), reduction="none"
    ).mean(dim=1)
    undefined = torch.full_like(loss, torch.nan)
    return torch.stack([loss, undefined, undefined, torch.ones_like(loss)])


def at_random(n_tracks: int, seed: int) -> np.ndarray:
    """Random hardness of each track, as a control: float64 `[track]`."""
    return np.random.default_rng(seed).random(n_tracks)


def hardness(dynamics: Dynamics, how: Hardness) -> np.ndarray:
    """How hard each training track was, float64 `[track]`; higher is harder.

    Args:
        dynamics: of a training.
        how: `aum`, the area under the margin, negated (Pleiss et al. 2020, "Identifying mislabeled
            data using the area under the margin ranking"); `loss`, its mean; `forgetting`, how
            often a correct prediction became wrong; a track that was never learned counts as the
            hardest (Toneva et al. 2019, "An empirical study of example forgetting").
    """
    if how == "aum":
        return -dynamics.margin.astype(np.float64).mean(axis=0)
    if how == "loss":
        return dynamics.loss.astype(np.float64).mean(axis=0)
    correct = dynamics.correct > 0.5
    forgotten = (correct[:-1] & ~correct[1:]).sum(axis=0).astype(np.float64)
    return np.where(correct.any(axis=0), forgotten, len(correct))


def easiest(scores: np.ndarray, labels: np.ndarray, *, drop: float) -> np.ndarray:
    """Rows that stay when the hardest share is left out: int64, ascending.

    Every class keeps at least two of its tracks (or all, where it has no more).

    Args:
        scores: float `[track]`, higher is harder.
        labels: int `[track]`.
        drop: share of the tracks to leave out.

    Raises:
        UserError: the share leaves nothing to learn from.
    """
    if not 0 <= drop < 1:
        raise UserError(
            f"{drop:.0%} of the training tracks cannot be left out",
            where="training.drop",
            remedy="give a share from 0 up, below 1",
        )
    remaining = np.bincount(labels)
    dropped: list[int] = []
    for row in np.argsort(-scores, kind="stable").tolist():
        if len(dropped) >= round(drop * len(labels)):
            break
        if remaining[labels[row]] > LEAST_LEFT:
            remaining[labels[row]] -= 1
            dropped.append(row)
    return np.setdiff1d(np.arange(len(labels)), dropped)
