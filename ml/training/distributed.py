"""Training on several devices at once: each takes its share of every batch, by accelerate.

All processes draw the same crops from the same seed; process r of n takes every n-th crop of a
batch from the r-th on, and gradients are averaged, so that a step is that of the whole batch. Two
things differ from one device: batch norm sees only the share, and each process draws its own
dropout.
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.memory import keep_freed_memory
from melgraph.ml.models.base import Classifier
from melgraph.ml.training.dynamics import Dynamics
from melgraph.ml.training.setup import Share, TrainingSetup
from melgraph.ml.training.train import TrainingResult, train


def train_in_parallel(
    build: Callable[[], Classifier], setup: TrainingSetup
) -> tuple[Classifier, TrainingResult]:
    """Train a fresh model by several processes, one per device; on the CPU too, for tests.

    The processes are forked, so that mapped spectrograms are shared, not copied.

    Args:
        build: a model with initial weights.
        setup: of the training. `processes` share every batch, on the device `cuda` or `cpu`.

    Returns:
        The trained model on the CPU, and the result of the training.

    Raises:
        UserError: there are fewer devices than processes, or a batch has fewer than two crops for
            each process.
    """
    _check_processes(setup)
    with tempfile.TemporaryDirectory() as folder:
        launch = _launcher(setup.device)
        launch(_train_share, args=(build, setup, Path(folder)), num_processes=setup.processes)
        model = build()
        model.multi_label = setup.training.has_tags
        model.load_state_dict(torch.load(Path(folder) / "model.pt", weights_only=True))
        fields = json.loads((Path(folder) / "result.json").read_text())
        with np.load(Path(folder) / "dynamics.npz") as arrays:
            dynamics = Dynamics(**{name: arrays[name] for name in arrays.files})
    return model.eval(), TrainingResult(**fields, dynamics=dynamics)


def _launcher(device: str) -> Callable[..., Any]:
    from accelerate import debug_launcher, notebook_launcher

    return notebook_launcher if device == "cuda" else debug_launcher


def _check_processes(setup: TrainingSetup) -> None:
    processes, batch_size = setup.processes, setup.config.batch_size
    available = torch.cuda.device_count() if setup.device == "cuda" else processes
    if processes > available:
        raise UserError(
            f"training on {processes} devices, and there are {available}",
            where="the number of devices",
            remedy=f"use at most {available}",
        )
    if batch_size < 2 * processes:
        raise UserError(
            f"a batch of {batch_size} crops cannot be shared by {processes} processes",
            where="training.batch_size",
            remedy=f"use at least {2 * processes}, or fewer devices",
        )


def _train_share(build: Callable[[], Classifier], setup: TrainingSetup, folder: Path) -> None:
    """The program of each process; the first writes the result into `folder`."""
    from accelerate import Accelerator

    keep_freed_memory()
    accelerator = Accelerator(cpu=setup.device == "cpu")
    share = Share(accelerator.process_index, accelerator.num_processes, accelerator)
    model = build()
    result = train(model, replace(setup, device=str(accelerator.device)), share=share)
    if accelerator.is_main_process:
        weights = {name: value.cpu() for name, value in model.state_dict().items()}
        torch.save(weights, folder / "model.pt")
        fields = asdict(result)
        np.savez(folder / "dynamics.npz", **fields.pop("dynamics"))
        (folder / "result.json").write_text(json.dumps(fields))
    accelerator.wait_for_everyone()
    accelerator.end_training()
