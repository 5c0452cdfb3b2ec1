"""What a training step climbs down, and how fast: loss, parameter groups, schedule."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from ml.training_config import TrainingConfig


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
    """What the loss of these targets is divided by: a scalar."""
    return (targets @ weights if targets.is_floating_point() else weights[targets]).sum()


def parameter_groups(model: nn.Module, config: TrainingConfig) -> list[dict]:
    """Weight decay for matrices and kernels only: not for biases and batch norms."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    return [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def rate(step: int, n_steps: int, warmup: float) -> float:
    """Share of the peak learning rate: a line up, then half a cosine down to 0."""
    n_warmup = warmup * n_steps
    if step < n_warmup:
        return (step + 1) / (n_warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - n_warmup) / max(1.0, n_steps - n_warmup)))
