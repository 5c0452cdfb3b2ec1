"""The training of a generative model: epochs of a fixed budget, and a state that it resumes from.

Equal network, recordings, settings and seed give equal bits on one CPU with one number of torch
threads, whether or not the training was interrupted and resumed.
"""

import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.generative.base import (
    EpochEnd,
    GenerativeNetwork,
    GenerativeResult,
    GenerativeSetup,
    Samples,
    Trainer,
)
from melgraph.ml.memory import peak_memory
from melgraph.ml.training.loop import TrainingState
from melgraph.ml.training.train import seeded

_LOG = logging.getLogger("melgraph")
Progress = Callable[[Mapping[str, Any], Samples], None]


def train_generative(
    network: GenerativeNetwork,
    make_trainer: Callable[[GenerativeNetwork, GenerativeSetup], Trainer],
    setup: GenerativeSetup,
    *,
    progress: Progress | None = None,
) -> GenerativeResult:
    """Train a generative network in place, and leave it in evaluation mode.

    The global random state is left as it was.

    Args:
        network: with its initial weights and the statistics of its input.
        make_trainer: the class of the kind.
        setup: the recordings, the settings and where it runs.
        progress: called after each epoch with its row of the curves and its samples.

    Raises:
        UserError: a loss is no longer finite, or memory is exhausted.
    """
    digest = _fingerprint(network, setup)
    network.to(setup.device)
    with peak_memory(setup.device) as peak, seeded(setup.seed, setup.device):
        trainer = make_trainer(network, setup)
        loop = GenerativeLoop(trainer, setup, TrainingState(setup.state, digest))
        loop.run(progress)
        trainer.finish()
    network.eval()
    return GenerativeResult(
        curves=loop.curves,
        samples=loop.samples,
        notes=trainer.notes(loop.curves),
        seconds=sum(row["seconds"] for row in loop.curves),
        peak_memory_bytes=peak.bytes,
    )


class GenerativeLoop:
    """A running training, and what its state holds besides the tensors of the trainer.

    Args:
        trainer: computes the steps.
        setup: the recordings, the settings and where it runs.
        state: from which the training resumes, and to which it saves.
    """

    def __init__(self, trainer: Trainer, setup: GenerativeSetup, state: TrainingState) -> None:
        self.trainer, self.setup, self.state = trainer, setup, state
        self.cuda = torch.device(setup.device).type == "cuda"
        self.rng = np.random.default_rng(setup.seed)
        self.rng_before = self.rng.bit_generator.state  # the draws of this epoch
        self.epoch, self.number = 1, 0  # of the step that comes next
        self.sums: dict[str, float] = {}
        self.curves: list[dict[str, Any]] = []
        self.samples: list[Samples] = []
        self.seconds = 0.0  # of this epoch, before an interruption
        self.saved_at = time.monotonic()

    def run(self, progress: Progress | None) -> None:
        """Train to the end, from the beginning or from where the saved state stands."""
        self._restore()
        while self.epoch <= self.setup.epochs:
            self._run_epoch()
            if progress is not None:
                progress(self.curves[-1], self.samples[-1])

    def _run_epoch(self) -> None:
        self.began = time.perf_counter()
        self.rng_before = self.rng.bit_generator.state
        for module in self.trainer.modules().values():
            module.train()
        self.trainer.begin_epoch(self.epoch, self.rng)
        while self.number < self.trainer.steps_per_epoch:
            for name, value in self._step().items():
                self.sums[name] = self.sums.get(name, 0.0) + value
            self.number += 1
            self._save_if_due()
        self._end_epoch()
        self._save_if_due()

    def _step(self) -> dict[str, float]:
        try:
            losses = self.trainer.step(self.number)
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise UserError(
                f"a step does not fit into memory: {error}",
                where=f"epoch {self.epoch} of the training",
                remedy="use a smaller network or smaller batches",
            ) from None
        for name, value in losses.items():
            if not math.isfinite(value):
                raise UserError(
                    f"the loss {name} is {value}",
                    where=f"epoch {self.epoch}, step {self.number + 1} of the training",
                    remedy="lower training.learning_rate",
                )
        return losses

    def _end_epoch(self) -> None:
        for module in self.trainer.modules().values():
            module.eval()
        with torch.no_grad():
            end = self.trainer.end_epoch(self.epoch)
        means = {name: value / self.number for name, value in self.sums.items()}
        _check_finite(end, self.epoch)
        seconds = self._seconds_of_epoch()
        self.curves.append({"epoch": self.epoch, **means, **end.figures, "seconds": seconds})
        self.samples.append(end.samples)
        self._save_samples(self.epoch, end.samples)
        self.epoch, self.number, self.sums = self.epoch + 1, 0, {}
        self.seconds, self.began = 0.0, time.perf_counter()
        self.rng_before = self.rng.bit_generator.state

    def _seconds_of_epoch(self) -> float:
        return self.seconds + time.perf_counter() - self.began

    def _samples_file(self, epoch: int) -> Path | None:
        folder = self.setup.state
        return None if folder is None else folder / f"samples-{epoch:04d}.npz"

    def _save_samples(self, epoch: int, samples: Samples) -> None:
        """Beside the state, before it: a state never names an epoch whose samples are missing."""
        path = self._samples_file(epoch)
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f"{path.name}.{os.getpid()}.aside")
        with aside.open("wb") as file:
            np.savez(
                file,
                values=samples.values,
                genres=samples.genres,
                tracks=samples.tracks,
                starts=samples.starts,
            )
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)

    def _read_samples(self, epoch: int) -> Samples:
        path = self._samples_file(epoch)
        assert path is not None, "a state was read from this folder"
        with np.load(path, allow_pickle=False) as arrays:
            return Samples(**{name: arrays[name] for name in arrays.files})

    def _save_if_due(self) -> None:
        if time.monotonic() - self.saved_at < self.setup.save_every_s:
            return
        trainer = self.trainer
        self.state.save(
            {
                "modules": {n: m.state_dict() for n, m in trainer.modules().items()},
                "optimisers": {n: o.state_dict() for n, o in trainer.optimisers().items()},
                "memory": trainer.memory(),
                "at": [self.epoch, self.number],
                "seconds": self._seconds_of_epoch(),
                "sums": json.dumps(self.sums),
                "curves": json.dumps(self.curves),
                "rng": json.dumps(self.rng_before),
                "torch_rng": torch.get_rng_state(),
                "cuda_rng": torch.cuda.get_rng_state(self.setup.device) if self.cuda else None,
            }
        )
        self.saved_at = time.monotonic()

    def _restore(self) -> None:
        saved = self.state.load()
        if saved is None:
            return
        curves = json.loads(saved["curves"])
        try:
            samples = [self._read_samples(row["epoch"]) for row in curves]
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            _LOG.warning(
                "the samples of the interrupted training cannot be read (%s): the training starts "
                "from the beginning",
                error,
            )
            return
        trainer = self.trainer
        for name, module in trainer.modules().items():
            module.load_state_dict(saved["modules"][name])
        for name, optimiser in trainer.optimisers().items():
            optimiser.load_state_dict(saved["optimisers"][name])
        trainer.restore_memory(saved["memory"])
        self.epoch, self.number = saved["at"]
        self.seconds = saved["seconds"]
        self.sums, self.curves, self.samples = json.loads(saved["sums"]), curves, samples
        self.rng.bit_generator.state = json.loads(saved["rng"])
        torch.set_rng_state(saved["torch_rng"])
        if self.cuda:
            torch.cuda.set_rng_state(saved["cuda_rng"], self.setup.device)
        _LOG.warning("training resumes in epoch %d, step %d", self.epoch, self.number)


def _check_finite(end: EpochEnd, epoch: int) -> None:
    """Refuse figures and samples that are not finite: the network has diverged."""
    wrong = [name for name, value in end.figures.items() if not math.isfinite(value)]
    if not np.isfinite(end.samples.values.astype(np.float32)).all():
        wrong.append("samples")
    if wrong:
        raise UserError(
            f"not finite: {', '.join(wrong)}",
            where=f"end of epoch {epoch} of the training",
            remedy="lower training.learning_rate",
        )


def _fingerprint(network: GenerativeNetwork, setup: GenerativeSetup) -> str:
    """Digest of what decides a training: the initial weights, the recordings, and the settings."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    described = [
        [list(map(int, tracks.lengths())), tracks.genres.tolist()]
        for tracks in (setup.training, setup.validation)
    ]
    settings = [network.kind, network.options, setup.config.model_dump(mode="json")]
    rest = [described, settings, setup.epochs, setup.seed, setup.device]
    digest.update(json.dumps(rest).encode())
    return digest.hexdigest()
