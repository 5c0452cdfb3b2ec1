"""Training a classifier: a plain loop over random crops, that a kill cannot set back."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from melgraph.ml.inference.track_set import TrackSet
from melgraph.ml.memory import keep_freed_memory, peak_memory
from melgraph.ml.models.base import Classifier, bin_statistics
from melgraph.ml.specs.training import TrainingConfig
from melgraph.ml.training.checks import check_fit, check_same_kind
from melgraph.ml.training.distributed import ALONE, Share
from melgraph.ml.training.dynamics import Dynamics
from melgraph.ml.training.loop import EpochReport as EpochReport
from melgraph.ml.training.loop import TrainingLoop
from melgraph.ml.training.state import TrainingState, fingerprint

SAVE_EVERY_S = 20.0  # of a training that can be taken up again


@dataclass(frozen=True)
class TrainingResult:
    """What training did; the weights are in the model."""

    curves: list[dict[str, Any]]  # one EpochReport per epoch, as a dict
    best_epoch: int  # the epoch the model's weights are from
    n_parameters: int
    seconds: float
    dynamics: Dynamics
    peak_memory_bytes: int  # of the process on the CPU, of torch on CUDA
    notes: list[str] = field(default_factory=list)  # what a reader must know of


def train(
    model: Classifier,
    train: TrackSet,
    validation: TrackSet | None,
    *,
    config: TrainingConfig,
    seed: int,
    device: str = "cpu",
    progress: Callable[[EpochReport], None] | None = None,
    state: Path | None = None,
    save_every_s: float = SAVE_EVERY_S,
    share: Share = ALONE,
) -> TrainingResult:
    """Trains `model` in place and leaves it on `device` in evaluation mode.

    With validation tracks the weights of the epoch with the lowest validation loss are kept (and
    training stops early, see `TrainingConfig.patience`); without, those of the last epoch. Equal
    model, data, config and seed give equal bits on one CPU with one number of torch threads,
    whether or not the training was killed and taken up again in between. The global random state
    is as before afterwards. What does not fit into memory is done in halves of a batch.

    Where the tracks have tags, the model answers each of them for itself (`model.multi_label`), and
    the recipe is that of `TrainingConfig.for_tags`.

    Args:
        model: from `ml.models.build`; its normalisation is set from the training tracks.
        train: tracks to learn from.
        validation: tracks that choose the epoch; never the test part.
        config: the recipe.
        seed: of the crops, augmentation, dropout and order.
        device: torch device.
        progress: called after each epoch.
        state: a folder in which the training leaves where it stands, and from which it goes on.
        save_every_s: seconds between two such notes.
        share: what this process does of it, see `ml.training.distributed`.

    Raises:
        UserError: labels or arrays do not fit the model, the loss is no longer finite, or a single
            crop does not fit into memory.
    """
    if train.has_tags:
        config = config.for_tags()
    check_fit(model, train, "train")
    if validation is not None:
        check_fit(model, validation, "validation")
        check_same_kind(train, validation)
    model.multi_label = train.has_tags
    began = time.perf_counter()
    decided_by = (config.model_dump(), seed, device, model.options, str(model.shape))
    kept = TrainingState(state, fingerprint(model, train.arrays, train.labels, *decided_by))
    keep_freed_memory()
    model.to(device)
    if model.learns_normalisation:
        model.set_normalisation(*bin_statistics(train.arrays, least_std=train.least_std))
    with peak_memory(device) as peak, _seeded(seed + share.rank, device):
        loop = TrainingLoop(
            model, train, validation, config, seed, device, kept, save_every_s, share
        )
        loop.run(progress)
    model.load_state_dict(loop.best_weights)
    model.eval()
    return TrainingResult(
        curves=loop.curves,
        best_epoch=loop.best_epoch,
        n_parameters=model.n_parameters,
        seconds=time.perf_counter() - began,
        dynamics=loop.recorder.result(),
        peak_memory_bytes=peak.bytes,
        notes=loop.notes,
    )


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
