"""Training a classifier: a plain loop over random crops that resumes after an interruption."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from melgraph.ml.memory import peak_memory
from melgraph.ml.models.base import Classifier, bin_statistics
from melgraph.ml.training.dynamics import Dynamics
from melgraph.ml.training.loop import EpochReport as EpochReport
from melgraph.ml.training.loop import TrainingLoop, TrainingState, fingerprint
from melgraph.ml.training.setup import ALONE, Share, TrainingSetup, check_setup


@dataclass(frozen=True)
class TrainingResult:
    """The figures of a training; the weights are in the model."""

    curves: list[dict[str, Any]]  # one EpochReport per epoch, as a dict
    best_epoch: int  # the epoch the model's weights are from
    n_parameters: int
    seconds: float
    dynamics: Dynamics
    peak_memory_bytes: int  # of the process on the CPU, of torch on CUDA
    notes: list[str] = field(
        default_factory=list
    )  # what a reader of the figures must know, such as a halved batch


def train(
    model: Classifier,
    setup: TrainingSetup,
    *,
    progress: Callable[[EpochReport], None] | None = None,
    share: Share = ALONE,
) -> TrainingResult:
    """Train `model` in place and leave it on the device in evaluation mode.

    With validation tracks the model ends with the weights of the epoch with the lowest validation
    loss (and training stops early, see `TrainingConfig.patience`); without, with those of the last
    epoch. Equal model, tracks, config and seed give equal bits on one CPU with one number of torch
    threads, whether or not the training was interrupted and resumed. The global random state is
    left as it was. A batch that does not fit into memory is computed in halves.

    Where the tracks have tags, the model predicts each of them on its own (`model.multi_label`),
    and the recipe is that of `TrainingConfig.for_tags`.

    Args:
        model: from `ml.models.build`; its normalisation is set from the training tracks.
        setup: the tracks, the recipe and where it runs; one process trains, see
            `ml.training.fitting.fit` for several.
        progress: called after each epoch.
        share: the part of every batch that this process computes, see `ml.training.distributed`.

    Raises:
        UserError: labels or arrays do not fit the model, the loss is no longer finite, or a single
            crop does not fit into memory.

    >>> import numpy as np
    >>> from melgraph.ml.inference.track_set import TrackSet
    >>> from melgraph.ml.models import InputShape, build
    >>> from melgraph.ml.specs.training import TrainingConfig
    >>> tracks = TrackSet([np.zeros((40, 64)), np.ones((40, 64))], np.array([0, 1]))
    >>> model = build("small_cnn", InputShape(channels=1, bins=64, frames=32), n_classes=2)
    >>> train(model, TrainingSetup(tracks, TrainingConfig(epochs=2), seed=0)).best_epoch
    2
    """
    if setup.training.has_tags:
        setup = replace(setup, config=setup.config.for_tags())
    check_setup(model, setup)
    tracks, device = setup.training, setup.device
    model.multi_label = tracks.has_tags
    began = time.perf_counter()
    settings = (setup.config.model_dump(), model.options, model.aggregate)
    decided_by = (*settings, setup.seed, device, str(model.shape))
    digest = fingerprint(model, tracks.arrays, tracks.labels, *decided_by)
    model.to(device)
    if model.learns_normalisation:
        model.set_normalisation(*bin_statistics(tracks.arrays, least_std=tracks.least_std))
    with peak_memory(device) as peak, seeded(setup.seed + share.rank, device):
        loop = TrainingLoop(model, setup, TrainingState(setup.state, digest), share)
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
def seeded(seed: int, device: str) -> Iterator[None]:
    """Seed torch's generators of the CPU and of `device`, and restore their state at the end."""
    cuda = torch.device(device).type == "cuda"
    devices = [torch.device(device)] if cuda else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.manual_seed(seed)
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            yield
