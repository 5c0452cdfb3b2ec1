"""The training loop, and its state on disk, from which an interrupted training resumes."""

import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from melgraph.ml.errors import UserError
from melgraph.ml.inference.tracks import crop_batch
from melgraph.ml.models.base import Classifier
from melgraph.ml.training.augmentation import augment
from melgraph.ml.training.dynamics import DynamicsRecorder
from melgraph.ml.training.optimisation import objective, parameter_groups, rate
from melgraph.ml.training.setup import Share, TrainingSetup
from melgraph.ml.training.validation import check_finite, validate

_LOG = logging.getLogger("melgraph")
STATE_FILE = "state.pt"


@dataclass(frozen=True)
class EpochReport:
    """The figures of one epoch. Losses are in nats.

    `train_loss` is the weighted, smoothed, augmented loss on crops, `validation_loss` the plain
    negative log-likelihood of whole tracks: compare each with itself, not with the other.
    """

    epoch: int  # from 1
    train_loss: float
    validation_loss: float | None  # None without validation tracks
    validation_accuracy: float | None  # None of tags
    seconds: float  # of this epoch, validation included
    is_best: bool
    crops_per_second: float = 0.0  # of training alone
    validation_roc_auc: float | None = None  # of tags, the mean over them
    validation_pr_auc: float | None = None

    @property
    def validation_score(self) -> float | None:
        """The accuracy; of tags, the PR-AUC."""
        tagger = self.validation_accuracy is None
        return self.validation_pr_auc if tagger else self.validation_accuracy

    def row(self, *, tags: bool) -> dict[str, Any]:
        """A row of the curves: accuracy where a track has one label; ROC-AUC and PR-AUC of tags."""
        others = ("accuracy",) if tags else ("roc_auc", "pr_auc")
        absent = {f"validation_{name}" for name in others}
        return {name: value for name, value in asdict(self).items() if name not in absent}


class TrainingState:
    """The state of one training in a file, written whole or not at all, read without a pickle.

    Args:
        folder: created when something is saved; None saves nothing.
        fingerprint: of all that decides the training; the state of another one is ignored.
    """

    def __init__(self, folder: Path | None, fingerprint: str) -> None:
        self._path = None if folder is None else folder / STATE_FILE
        self._fingerprint = fingerprint

    def save(self, values: dict[str, Any]) -> None:
        """Write the values aside, flush them to the disk, and rename the file."""
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        aside = self._path.with_name(f"{STATE_FILE}.{os.getpid()}.aside")
        with aside.open("wb") as file:
            torch.save({"fingerprint": self._fingerprint, **values}, file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._path)

    def load(self) -> dict[str, Any] | None:
        """The values saved last, tensors on the CPU; None if no state of this training is there."""
        if self._path is None or not self._path.is_file():
            return None
        try:
            values = torch.load(self._path, map_location="cpu", weights_only=True)
            is_same_training = values["fingerprint"] == self._fingerprint
        except Exception as error:  # whatever a damaged file makes torch raise
            _LOG.warning(
                "%s cannot be read (%s): the training starts from the beginning", self._path, error
            )
            return None
        if not is_same_training:
            _LOG.warning(
                "%s is of another training: this one starts from the beginning", self._path
            )
            return None
        return values


def fingerprint(model: nn.Module, arrays: Any, labels: np.ndarray, *rest: object) -> str:
    """Digest of what decides a training: the initial weights, the tracks, and the rest as JSON."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    shapes = [tuple(array.shape) for array in arrays]
    if labels.ndim == 2:  # tags: as JSON they would be large
        digest.update(np.packbits(labels > 0).tobytes())
        labels = np.array(labels.shape)
    digest.update(json.dumps([shapes, labels.tolist(), *rest], default=str).encode())
    return digest.hexdigest()


class TrainingLoop:
    """A running training: everything that changes from step to step, which is what its state holds.

    Args:
        model: on the device of the setup, its normalisation set; trained in place.
        setup: the tracks, the recipe and where it runs.
        state: from which the training resumes, and to which it saves.
        share: the part of every batch that this process computes.
    """

    def __init__(
        self, model: Classifier, setup: TrainingSetup, state: TrainingState, share: Share
    ) -> None:
        self.model, self.setup, self.state = model, setup, state
        self.tracks, self.config, self.device = setup.training, setup.config, setup.device
        self.share, self.network = share, share.wrap(model)
        self.cuda = torch.device(self.device).type == "cuda"
        self.lengths = np.array([len(array) for array in self.tracks.arrays])
        config = self.config
        self.objective = objective(self.tracks, model.n_classes, config, self.device)
        self.n_crops = len(self.tracks) * config.crops_per_track
        self.n_batches = math.ceil(self.n_crops / config.batch_size)
        n_steps = config.epochs * self.n_batches
        self.optimiser = torch.optim.AdamW(parameter_groups(model, config), lr=config.learning_rate)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: rate(step, n_steps, config)
        )
        self.rng = np.random.default_rng(setup.seed)  # which crops, in which order
        self.recorder = DynamicsRecorder(len(self.tracks))
        self.epoch, self.batch, self.loss_sum = 1, 0, 0.0  # of the batch that comes next
        self.rng_before = self.rng.bit_generator.state  # the draws of this epoch
        self.curves: list[dict[str, Any]] = []
        self.best_epoch, self.best_loss, self.best_weights = 0, math.inf, _copy_of(model)
        self.micro_batch = config.batch_size
        self.notes: list[str] = []
        self.saved_at = time.monotonic()

    def run(self, progress: Callable[[EpochReport], None] | None) -> None:
        """Train to the end, from the beginning or from where the saved state stands.

        Args:
            progress: called after each epoch.

        Raises:
            UserError: the loss is not finite, or a single crop does not fit into memory.
        """
        self._restore()
        while self.epoch <= self.config.epochs and not self._is_patience_over():
            report = self._run_epoch()
            if progress is not None:
                progress(report)

    def _is_patience_over(self) -> bool:
        patience, done = self.config.patience, self.epoch - 1
        return patience is not None and done > 0 and done - self.best_epoch >= patience

    def _run_epoch(self) -> EpochReport:
        began = time.perf_counter()
        self.model.train()
        order, starts = self._draw_crops()
        # near-equal batches: a last batch of one crop would upset the batch norms
        whole = np.array_split(np.arange(self.n_crops), self.n_batches)[self.batch :]
        batches = [self.share.rows(rows) for rows in whole]
        with ThreadPoolExecutor(1) as loader:  # reads the next crops while a step is computed
            coming = [loader.submit(self._load, order[rows], starts[rows]) for rows in batches[:1]]
            for number, rows in enumerate(batches):
                x = coming.pop().result()
                if number + 1 < len(batches):
                    after = batches[number + 1]
                    coming.append(loader.submit(self._load, order[after], starts[after]))
                loss = self._step(x.to(self.device).float(), order[rows])
                self.loss_sum += loss * len(whole[number])
                self.batch += 1
                self._save_if_due()
        trained = time.perf_counter() - began
        report = self._end_epoch(began, sum(map(len, batches)) / max(trained, 1e-9))
        self._save_if_due()
        return report

    def _draw_crops(self) -> tuple[np.ndarray, np.ndarray]:
        """The track and the first frame of each crop of the epoch."""
        self.rng_before = self.rng.bit_generator.state
        frames = self.model.shape.frames
        every = np.repeat(np.arange(len(self.tracks)), self.config.crops_per_track)
        order = self.rng.permutation(every)
        starts = self.rng.integers(0, np.maximum(1, self.lengths[order] - frames + 1))
        return order, starts

    def _load(self, tracks: np.ndarray, starts: np.ndarray) -> Tensor:
        """Crops `[crop, channel, bin, frame]`, as stored."""
        x = crop_batch(self.tracks.arrays, tracks, starts, crop_frames=self.model.shape.frames)
        return x.pin_memory() if self.cuda else x

    def _step(self, x: Tensor, tracks: np.ndarray) -> float:
        """One optimiser step on a batch; in halves where it does not fit. Returns its loss."""
        labels = self.objective.targets[tracks].to(self.device)  # [batch], or [batch, class]
        x, targets = augment(
            x, labels, self.config, mean=self.model.mean, n_classes=self.model.n_classes
        )
        while True:
            try:
                self.optimiser.zero_grad()
                loss, logits = self._backward(x, targets)
                break
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                self._halve(error)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        self.optimiser.step()
        self.schedule.step()
        self.recorder.add(tracks, logits, labels)
        return loss

    def _backward(self, x: Tensor, targets: Tensor) -> tuple[float, Tensor]:
        """Gradients of the batch's loss, piece by piece; the loss and the logits."""
        total = self.share.sum(self.objective.size(targets))
        all_logits, loss_sum = [], torch.zeros((), device=x.device)
        for piece, of_piece in zip(
            x.split(self.micro_batch), targets.split(self.micro_batch), strict=True
        ):
            with torch.autocast(self.model.mean.device.type, torch.bfloat16, self._is_mixed()):
                logits = self.network(piece)  # [piece, class]
            loss = self.objective.loss(logits.float(), of_piece)
            if len(piece) < len(x) or self.share.world > 1:
                loss = loss * (self.objective.size(of_piece) / total)
            (loss * self.share.world).backward()  # gradients are averaged over the processes
            loss_sum += loss.detach()
            all_logits.append(logits.detach())
        return self.share.sum(loss_sum).item(), torch.cat(all_logits)

    def _is_mixed(self) -> bool:
        precision = self.config.precision
        return precision == "bfloat16" or (precision == "auto" and self.cuda)

    def _halve(self, error: BaseException) -> None:
        if self.micro_batch == 1:
            raise UserError(
                f"a single crop does not fit into memory: {error}",
                where=f"training, {self.model.shape} through {self.model.architecture}",
                remedy="use shorter crops (input.crop_s), or a smaller architecture",
            ) from None
        self.micro_batch = math.ceil(self.micro_batch / 2)
        note = (
            f"out of memory in epoch {self.epoch}: batches of {self.config.batch_size} crops "
            f"are computed in pieces of {self.micro_batch} from there on"
        )
        _LOG.warning(note)
        self.notes.append(note)
        if self.cuda:
            torch.cuda.empty_cache()

    def _end_epoch(self, began: float, crops_per_second: float) -> EpochReport:
        self.share.synchronise_buffers(self.model)
        train_loss = self.loss_sum / self.n_crops
        figures = validate(self.model, self.setup.validation, self.config, self.device)
        loss = figures.loss
        check_finite(train_loss, loss, self.epoch, self.setup)
        is_best = loss is None or loss < self.best_loss
        if is_best:
            self.best_epoch, self.best_loss = self.epoch, loss or 0.0
            self.best_weights = _copy_of(self.model)
        seconds = time.perf_counter() - began
        report = EpochReport(
            epoch=self.epoch,
            train_loss=train_loss,
            validation_loss=loss,
            validation_accuracy=figures.accuracy,
            seconds=seconds,
            is_best=is_best,
            crops_per_second=crops_per_second,
            validation_roc_auc=figures.roc_auc,
            validation_pr_auc=figures.pr_auc,
        )
        self.curves.append(report.row(tags=self.tracks.has_tags))
        self.recorder.sums = self.share.sum(self.recorder.sums)
        self.recorder.end_epoch()
        self.epoch, self.batch, self.loss_sum = self.epoch + 1, 0, 0.0
        self.rng_before = self.rng.bit_generator.state
        return report

    def _save_if_due(self) -> None:
        if self.share.rank > 0 or time.monotonic() - self.saved_at < self.setup.save_every_s:
            return
        self.state.save(
            {
                "model": self.model.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "schedule": {"last_epoch": self.schedule.last_epoch},
                "best_weights": self.best_weights,
                "best": [self.best_epoch, self.best_loss],
                "at": [self.epoch, self.batch, self.loss_sum, self.micro_batch],
                "curves": json.dumps(self.curves),
                "notes": self.notes,
                "dynamics": [self.recorder.sums, *self.recorder.epochs],
                "rng": json.dumps(self.rng_before),
                "torch_rng": torch.get_rng_state(),
                "cuda_rng": torch.cuda.get_rng_state(self.device) if self.cuda else None,
            }
        )
        self.saved_at = time.monotonic()

    def _restore(self) -> None:
        saved = self.state.load()
        if saved is None:
            return
        self.model.load_state_dict(saved["model"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.schedule.last_epoch = saved["schedule"]["last_epoch"]
        self.best_weights = {k: v.to(self.device) for k, v in saved["best_weights"].items()}
        self.best_epoch, self.best_loss = saved["best"]
        self.epoch, self.batch, self.loss_sum, self.micro_batch = saved["at"]
        self.curves, self.notes = json.loads(saved["curves"]), list(saved["notes"])
        self.recorder.sums, *self.recorder.epochs = saved["dynamics"]
        self.rng.bit_generator.state = json.loads(saved["rng"])
        torch.set_rng_state(saved["torch_rng"])
        if self.cuda:
            torch.cuda.set_rng_state(saved["cuda_rng"], self.device)
        _LOG.warning("training resumes in epoch %d, step %d", self.epoch, self.batch)


def _copy_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the CPU."""
    message = str(error)
    return (
        isinstance(error, torch.OutOfMemoryError | MemoryError)
        or "can't allocate memory" in message
        or "not enough memory" in message
        or "out of memory" in message
    )
