"""Training a classifier: a plain loop over random crops."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import numpy as np
import torch
import torchaudio
from torch import Tensor, nn

from ml.errors import UserError
from ml.inference import crop_batch, predict_tracks
from ml.models.base import Classifier, bin_statistics
from ml.track_set import TrackSet, width_of
from ml.training_config import TrainingConfig


@dataclass(frozen=True)
class EpochReport:
    """What one epoch did. Losses are in nats.

    `train_loss` is the weighted, smoothed, augmented loss on crops, `validation_loss` the plain
    negative log-likelihood of whole tracks: compare each with itself, not with the other.
    """

    epoch: int  # from 1
    train_loss: float
    validation_loss: float | None  # None without validation tracks
    validation_accuracy: float | None
    seconds: float  # of this epoch, validation included
    is_best: bool


@dataclass(frozen=True)
class TrainingResult:
    """What training did; the weights are in the model."""

    curves: list[dict[str, float | int | bool | None]]  # one EpochReport per epoch, as a dict
    best_epoch: int  # the epoch the model's weights are from
    n_parameters: int
    seconds: float


def train(
    model: Classifier,
    train: TrackSet,
    validation: TrackSet | None,
    *,
    config: TrainingConfig,
    seed: int,
    device: str = "cpu",
    progress: Callable[[EpochReport], None] | None = None,
) -> TrainingResult:
    """Trains `model` in place and leaves it on `device` in evaluation mode.

    With validation tracks the weights of the epoch with the lowest validation loss are kept (and
    training stops early, see `TrainingConfig.patience`); without, those of the last epoch. Equal
    model, data, config and seed give equal bits on one CPU with one number of torch threads. The
    global random state is as before afterwards.

    Args:
        model: from `ml.models.build`; its normalisation is set from the training tracks.
        train: tracks to learn from.
        validation: tracks that choose the epoch; never the test part.
        config: the recipe.
        seed: of the crops, masks, dropout and order.
        device: torch device.
        progress: called after each epoch.

    Raises:
        UserError: labels or arrays do not fit the model, or the loss is no longer finite.
    """
    _check_fit(model, train, "train")
    if validation is not None:
        _check_fit(model, validation, "validation")
    began = time.perf_counter()
    model.to(device)
    model.set_normalisation(*bin_statistics(train.arrays, least_std=train.least_std))

    frames = model.shape.frames
    rng = np.random.default_rng(seed)  # which crops, in which order
    lengths = np.array([len(s) for s in train.arrays])
    labels = torch.tensor(train.labels, dtype=torch.int64)
    weights = class_weights(train.labels, model.n_classes, balance=config.class_balance).to(device)

    n_crops = len(train) * config.crops_per_track
    n_batches = math.ceil(n_crops / config.batch_size)
    optimiser = torch.optim.AdamW(_parameter_groups(model, config), lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: _rate(step, config.epochs * n_batches, config.warmup)
    )
    curves: list[EpochReport] = []
    best_epoch, best_loss, best_weights = 0, math.inf, _copy_of(model)

    with _seeded(seed, device):  # dropout and masks
        for epoch in range(1, config.epochs + 1):
            epoch_began = time.perf_counter()
            model.train()
            loss_sum = 0.0
            order = rng.permutation(np.repeat(np.arange(len(train)), config.crops_per_track))
            starts = rng.integers(0, np.maximum(1, lengths[order] - frames + 1))
            # near-equal batches: a last batch of one crop would upset the batch norms
            for batch in np.array_split(np.arange(n_crops), n_batches):
                x = crop_batch(train.arrays, order[batch], starts[batch], crop_frames=frames).to(
                    device
                )  # [batch, channel, bin, frame]
                y = labels[order[batch]].to(device)  # [batch]
                logits = model(_mask(x, model.mean, config))  # [batch, class]
                loss = nn.functional.cross_entropy(
                    logits, y, weight=weights, label_smoothing=config.label_smoothing
                )
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
                optimiser.step()
                schedule.step()
                loss_sum += loss.item() * len(batch)

            train_loss = loss_sum / n_crops
            loss_now, accuracy = _validate(model, validation, config, device)
            _check_finite(train_loss, loss_now, epoch, config)
            is_best = loss_now is None or loss_now < best_loss
            if is_best:
                best_epoch, best_loss, best_weights = epoch, loss_now or 0.0, _copy_of(model)
            seconds = time.perf_counter() - epoch_began
            report = EpochReport(epoch, train_loss, loss_now, accuracy, seconds, is_best)
            curves.append(report)
            if progress is not None:
                progress(report)
            if config.patience is not None and epoch - best_epoch >= config.patience:
                break

    model.load_state_dict(best_weights)
    model.eval()
    return TrainingResult(
        curves=[asdict(report) for report in curves],
        best_epoch=best_epoch,
        n_parameters=model.n_parameters,
        seconds=time.perf_counter() - began,
    )


def class_weights(labels: np.ndarray, n_classes: int, *, balance: float) -> Tensor:
    """Weights of the classes in the loss: float32 `[class]`, 1.0 on average over the tracks.

    Proportional to (1 / tracks of the class) ** `balance`; a class without tracks weighs 0.
    """
    counts = np.bincount(labels, minlength=n_classes).astype(np.float64)
    weights = np.where(counts > 0, np.maximum(counts, 1) ** -balance, 0.0)
    return torch.as_tensor(weights * counts.sum() / (weights * counts).sum(), dtype=torch.float32)


def _validate(
    model: Classifier, tracks: TrackSet | None, config: TrainingConfig, device: str
) -> tuple[float | None, float | None]:
    """Negative log-likelihood (nats) and accuracy of whole tracks, as they are used later."""
    if tracks is None:
        return None, None
    probabilities = predict_tracks(
        model,
        tracks.arrays,
        batch_size=config.batch_size,
        max_segments=config.validation_segments,
        device=device,
    )
    of_truth = probabilities[np.arange(len(tracks)), tracks.labels].astype(np.float64)
    loss = float(-np.log(np.maximum(of_truth, 1e-12)).mean())
    return loss, float((probabilities.argmax(axis=1) == tracks.labels).mean())


def _mask(x: Tensor, mean: Tensor, config: TrainingConfig) -> Tensor:
    """SpecAugment (Park et al. 2019, section 2): one time and one frequency mask per crop.

    Masked values become the mean of their mel band, which is 0 once normalised.
    """
    if config.time_mask_frames == 0 and config.mel_mask_bands == 0:
        return x
    x = x - mean[:, :, None]  # [batch, channel, bin, frame]
    for axis, width in ((3, config.time_mask_frames), (2, config.mel_mask_bands)):
        width = min(width, x.shape[axis] // 2)  # never most of a short crop
        if width > 0:
            x = torchaudio.functional.mask_along_axis_iid(
                x, mask_param=width, mask_value=0.0, axis=axis
            )
    return x + mean[:, :, None]


def _parameter_groups(model: nn.Module, config: TrainingConfig) -> list[dict]:
    """Weight decay for matrices and kernels only: not for biases and batch norms."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    return [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def _rate(step: int, n_steps: int, warmup: float) -> float:
    """Share of the peak learning rate: a line up, then half a cosine down to 0."""
    n_warmup = warmup * n_steps
    if step < n_warmup:
        return (step + 1) / (n_warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - n_warmup) / max(1.0, n_steps - n_warmup)))


@contextmanager
def _seeded(seed: int, device: str) -> Iterator[None]:
    """Seeds torch's generators of the CPU and `device`, and puts their state back at the end."""
    cuda = torch.device(device).type == "cuda"
    devices = [torch.device(device)] if cuda else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.manual_seed(seed)
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            yield


def _copy_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _check_fit(model: Classifier, tracks: TrackSet, part: str) -> None:
    bins, channels = width_of(tracks.arrays[0])
    if (bins, channels) != (model.shape.bins, model.shape.channels):
        raise UserError(
            f"the tracks have {bins} bins and {channels} channels, the model takes {model.shape}",
            where=f"the {part} tracks",
            remedy="build the model with the shape of the tracks",
        )
    low, high = int(np.min(tracks.labels)), int(np.max(tracks.labels))
    if low < 0 or high >= model.n_classes:
        raise UserError(
            f"labels go from {low} to {high}, the model has {model.n_classes} classes",
            where=f"the {part} tracks",
            remedy="number the classes from 0, and build the model with as many",
        )


def _check_finite(
    train_loss: float, validation_loss: float | None, epoch: int, config: TrainingConfig
) -> None:
    if not math.isfinite(train_loss) or not math.isfinite(validation_loss or 0.0):
        raise UserError(
            f"training diverged: the loss is {train_loss} (validation: {validation_loss})",
            where=f"epoch {epoch}, learning_rate = {config.learning_rate}",
            remedy="lower learning_rate, or raise warmup",
        )
