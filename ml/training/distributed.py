"""Training on several devices at once: each takes its share of every batch, by accelerate.

All processes draw the same crops from the same seed; process r of n takes every n-th of a batch
from the r-th on, and gradients are averaged, so that a step is that of the whole batch. What
differs from one device: batch norm sees the share alone, and every process has its own dropout.
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from melgraph.ml.errors import UserError
from melgraph.ml.inference.track_set import TrackSet
from melgraph.ml.models.base import Classifier
from melgraph.ml.specs.training import TrainingConfig
from melgraph.ml.training.dynamics import Dynamics


@dataclass(frozen=True)
class Share:
    """What one process of several does of a training.

    Attributes:
        rank: its number, from 0.
        world: how many there are.
        accelerator: accelerate's; None for a process alone.
    """

    rank: int = 0
    world: int = 1
    accelerator: Any = None

    def rows(self, batch: np.ndarray) -> np.ndarray:
        """Its part of a batch."""
        return batch[self.rank :: self.world]

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all processes."""
        return value if self.world == 1 else self.accelerator.reduce(value, reduction="sum")

    def wrapped(self, model: Classifier) -> nn.Module:
        """The model whose backward pass averages gradients."""
        return model if self.world == 1 else self.accelerator.prepare_model(model)

    def same_buffers(self, model: Classifier) -> None:
        """Give all processes the running statistics of the first: they are to decide alike."""
        if self.world > 1:
            for buffer in model.buffers():
                torch.distributed.broadcast(buffer, 0)


ALONE = Share()


def train_in_parallel(
    build: Callable[[], Classifier],
    training: TrackSet,
    validation: TrackSet | None,
    *,
    config: TrainingConfig,
    seed: int,
    processes: int,
    device: str,
    state: Path | None = None,
) -> tuple[Classifier, Any]:
    """Train a fresh model by several processes, one per device; on the CPU too, to try it.

    The processes are forked, so that mapped spectrograms are shared, not copied.

    Args:
        build: a model with initial weights.
        training: tracks to learn from.
        validation: tracks that choose the epoch.
        config: the recipe; its batch is shared among the processes.
        seed: of crops, order and augmentation.
        processes: how many.
        device: `cuda` or `cpu`.
        state: as of `ml.training.train.train`.

    Returns:
        The trained model on the CPU, and its `TrainingResult`.

    Raises:
        UserError: there are fewer devices than processes, or batches are smaller than that.
    """
    from melgraph.ml.training.train import TrainingResult

    _check(processes, device, config)
    with tempfile.TemporaryDirectory() as folder:
        work = (build, training, validation, config, seed, device, state, Path(folder))
        _launcher(device)(_train_share, args=work, num_processes=processes)
        model = build()
        model.multi_label = training.has_tags
        model.load_state_dict(torch.load(Path(folder) / "model.pt", weights_only=True))
        told = json.loads((Path(folder) / "result.json").read_text())
        with np.load(Path(folder) / "dynamics.npz") as arrays:
            dynamics = Dynamics(**{name: arrays[name] for name in arrays.files})
    return model.eval(), TrainingResult(**{**told, "dynamics": dynamics})


def _launcher(device: str) -> Callable[..., Any]:
    from accelerate import debug_launcher, notebook_launcher

    return notebook_launcher if device == "cuda" else debug_launcher


def _check(processes: int, device: str, config: TrainingConfig) -> None:
    there = torch.cuda.device_count() if device == "cuda" else processes
    if processes > there:
        raise UserError(
            f"training on {processes} devices, and there are {there}",
            where="the number of devices",
            remedy=f"use at most {there}",
        )
    if config.batch_size < 2 * processes:
        raise UserError(
            f"a batch of {config.batch_size} crops cannot be shared by {processes} processes",
            where="training.batch_size",
            remedy=f"use at least {2 * processes}, or fewer devices",
        )


def _train_share(
    build: Callable[[], Classifier],
    training: TrackSet,
    validation: TrackSet | None,
    config: TrainingConfig,
    seed: int,
    device: str,
    state: Path | None,
    folder: Path,
) -> None:
    """What each process does; the first leaves the result."""
    from accelerate import Accelerator

    from melgraph.ml.training.train import train

    accelerator = Accelerator(cpu=device == "cpu")
    share = Share(accelerator.process_index, accelerator.num_processes, accelerator)
    model = build()
    result = train(
        model,
        training,
        validation,
        config=config,
        seed=seed,
        device=str(accelerator.device),
        state=state,
        share=share,
    )
    if accelerator.is_main_process:
        weights = {name: value.cpu() for name, value in model.state_dict().items()}
        torch.save(weights, folder / "model.pt")
        told = asdict(result)
        np.savez(folder / "dynamics.npz", **told.pop("dynamics"))
        (folder / "result.json").write_text(json.dumps(told))
    accelerator.wait_for_everyone()
    accelerator.end_training()
