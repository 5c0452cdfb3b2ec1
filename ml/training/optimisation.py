"""The loss, the parameter groups and the learning rate schedule of a training."""

import math
from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor, nn

from melgraph.ml.inference.track_set import TrackSet
from melgraph.ml.specs.training import TrainingConfig


class Objective(ABC):
    """The loss of a training, and the divisor of the loss of a batch.

    Attributes:
        targets: of all training tracks, to be indexed by track; on the CPU.
    """

    targets: Tensor

    @abstractmethod
    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean over a batch, nats: logits float `[batch, class]`, targets of the batch."""

    @abstractmethod
    def size(self, targets: Tensor) -> Tensor:
        """The divisor of the loss of these targets: a scalar."""


class OneOfClasses(Objective):
    """Weighted cross entropy: targets int64 `[batch]`, or float `[batch, class]` where mixed."""

    def __init__(self, tracks: TrackSet, n_classes: int, config: TrainingConfig, device: str):
        self.targets = torch.tensor(tracks.labels, dtype=torch.int64)
        weights = class_weights(tracks.labels, n_classes, balance=config.class_balance)
        self.weights, self.smoothing = weights.to(device), config.label_smoothing

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See `classification_loss`."""
        return classification_loss(logits, targets, self.weights, smoothing=self.smoothing)

    def size(self, targets: Tensor) -> Tensor:
        """The sum of the weights."""
        return weight_of(targets, self.weights)


class Tags(Objective):
    """Binary cross entropy of each tag: targets float `[batch, class]`."""

    def __init__(self, tracks: TrackSet, config: TrainingConfig, device: str):
        self.targets = torch.tensor(tracks.labels, dtype=torch.float32)
        weights = positive_weights(tracks.labels, balance=config.class_balance)
        self.weights, self.smoothing = weights.to(device), config.label_smoothing

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See `tagging_loss`."""
        return tagging_loss(logits, targets, self.weights, smoothing=self.smoothing)

    def size(self, targets: Tensor) -> Tensor:
        """The number of crops: every one counts the same."""
        return torch.tensor(float(len(targets)), device=targets.device)


def objective(
    tracks: TrackSet, n_classes: int, config: TrainingConfig, device: str
) -> OneOfClasses | Tags:
    """The objective of these training tracks; tags are predicted independently."""
    if tracks.has_tags:
        return Tags(tracks, config, device)
    return OneOfClasses(tracks, n_classes, config, device)


def class_weights(labels: np.ndarray, n_classes: int, *, balance: float) -> Tensor:
    """Weights of the classes in the loss: float32 `[class]`, 1.0 on average over the tracks.

    Proportional to (1 / tracks of the class) ** `balance`; a class without tracks weighs 0.
    """
    counts = np.bincount(labels, minlength=n_classes).astype(np.float64)
    weights = np.where(counts > 0, np.maximum(counts, 1) ** -balance, 0.0)
    return torch.as_tensor(weights * counts.sum() / (weights * counts).sum(), dtype=torch.float32)


def classification_loss(
    logits: Tensor, targets: Tensor, weights: Tensor, *, smoothing: float
) -> Tensor:
    """Weighted cross entropy with label smoothing (Szegedy et al. 2016, section 7), nats.

    Args:
        logits: float `[batch, class]`.
        targets: int64 `[batch]`; or float `[batch, class]`, rows sum to 1, where crops were mixed.
        weights: float `[class]`.
        smoothing: share of the target that is spread over all classes.

    Returns:
        The mean over the batch by weight: for targets that are not mixed the same as
        `torch.nn.functional.cross_entropy`.
    """
    if not targets.is_floating_point():
        return nn.functional.cross_entropy(
            logits, targets, weight=weights, label_smoothing=smoothing
        )
    spread = targets * (1 - smoothing) + smoothing / logits.shape[1]
    losses = -(weights * spread * torch.log_softmax(logits, dim=1)).sum(dim=1)
    return losses.sum() / weight_of(targets, weights)


def weight_of(targets: Tensor, weights: Tensor) -> Tensor:
    """The divisor of the loss of these targets: a scalar."""
    return (targets @ weights if targets.is_floating_point() else weights[targets]).sum()


def positive_weights(labels: np.ndarray, *, balance: float) -> Tensor:
    """Weight of a tag where a track has it, relative to where it has not: float32 `[class]`.

    (Tracks without it / tracks with it) ** `balance`; 1 for a tag that all or no tracks have.

    Args:
        labels: `[track, class]`, 0 or 1.
        balance: 0 for plain binary cross entropy; at 1 the tracks with and without a tag weigh the
            same in total.
    """
    positives = np.asarray(labels, np.float64).sum(axis=0)
    negatives = len(labels) - positives
    both = (positives > 0) & (negatives > 0)
    ratio = np.divide(negatives, positives, out=np.ones_like(positives), where=both)
    return torch.as_tensor(ratio**balance, dtype=torch.float32)


def tagging_loss(logits: Tensor, targets: Tensor, weights: Tensor, *, smoothing: float) -> Tensor:
    """Binary cross entropy of independent tags, nats: the mean over batch and tags.

    As in Won et al. 2020, "Evaluation of CNN-based automatic music tagging models", who use
    neither weights nor smoothing.

    Args:
        logits: float `[batch, class]`.
        targets: float `[batch, class]` from 0 to 1; between them where crops were mixed.
        weights: float `[class]`, of `positive_weights`.
        smoothing: share by which targets are moved towards 1/2.
    """
    smoothed = targets * (1 - smoothing) + smoothing / 2
    return nn.functional.binary_cross_entropy_with_logits(logits, smoothed, pos_weight=weights)


def parameter_groups(model: nn.Module, config: TrainingConfig) -> list[dict]:
    """Weight decay for matrices and kernels only: not for biases and batch norms."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    return [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def rate(step: int, n_steps: int, config: TrainingConfig) -> float:
    """Share of the peak learning rate: a linear warm-up, then half a cosine down to 0, or 1."""
    n_warmup = config.warmup * n_steps
    if step < n_warmup:
        return (step + 1) / (n_warmup + 1)
    if config.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - n_warmup) / max(1.0, n_steps - n_warmup)))
