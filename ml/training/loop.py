"""The loop of a training, and all of its state: what a kill leaves behind to go on from."""

import json
import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from melgraph.ml.errors import UserError
from melgraph.ml.inference.track_set import TrackSet
from melgraph.ml.inference.tracks import crop_batch
from melgraph.ml.models.base import Classifier
from melgraph.ml.specs.training import TrainingConfig
from melgraph.ml.training.augmentation import augment
from melgraph.ml.training.checks import check_finite, out_of_memory
from melgraph.ml.training.distributed import Share
from melgraph.ml.training.dynamics import DynamicsRecorder
from melgraph.ml.training.optimisation import objective, parameter_groups, rate
from melgraph.ml.training.state import TrainingState
from melgraph.ml.training.validation import validate

_LOG = logging.getLogger("melgraph")


@dataclass(frozen=True)
class EpochReport:
    """What one epoch did. Losses are in nats.

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
        """As a row of the curves: accuracy where a track has one label, else the two areas."""
        others = ("accuracy",) if tags else ("roc_auc", "pr_auc")
        absent = {f"validation_{name}" for name in others}
        return {name: value for name, value in asdict(self).items() if name not in absent}


class TrainingLoop:
    """A training under way: all that changes while it runs, which is what its state keeps."""

    def __init__(
        self,
        model: Classifier,
        train: TrackSet,
        validation: TrackSet | None,
        config: TrainingConfig,
        seed: int,
        device: str,
        kept: TrainingState,
        save_every_s: float,
        share: Share,
    ) -> None:
        self.model, self.train, self.validation = model, train, validation
        self.config, self.device = config, device
        self.kept, self.save_every_s = kept, save_every_s
        self.share, self.network = share, share.wrapped(model)
        self.cuda = torch.device(device).type == "cuda"
        self.lengths = np.array([len(array) for array in train.arrays])
        self.objective = objective(train, model.n_classes, config, device)
        self.n_crops = len(train) * config.crops_per_track
        self.n_batches = math.ceil(self.n_crops / config.batch_size)
        n_steps = config.epochs * self.n_batches
        self.optimiser = torch.optim.AdamW(parameter_groups(model, config), lr=config.learning_rate)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: rate(step, n_steps, config.warmup)
        )
        self.rng = np.random.default_rng(seed)  # which crops, in which order
        self.recorder = DynamicsRecorder(len(train))
        self.epoch, self.batch, self.loss_sum = 1, 0, 0.0  # of the batch that comes next
        self.rng_before = self.rng.bit_generator.state  # the draws of this epoch
        self.curves: list[dict[str, Any]] = []
        self.best_epoch, self.best_loss, self.best_weights = 0, math.inf, _copy_of(model)
        self.micro_batch = config.batch_size
        self.notes: list[str] = []
        self.saved_at = time.monotonic()

    def run(self, progress: Callable[[EpochReport], None] | None) -> None:
        """Go on from where the state stands, to the end."""
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
        with ThreadPoolExecutor(1) as loader:  # cuts the next crops while a step is computed
            coming = [loader.submit(self._load, order[rows], starts[rows]) for rows in batches[:1]]
            for number, rows in enumerate(batches):
                x = coming.pop().result()
                if number + 1 < len(batches):
                    after = batches[number + 1]
                    coming.append(loader.submit(self._load, order[after], starts[after]))
                loss = self._step(x.to(self.device).float(), order[rows])
                self.loss_sum += loss * len(whole[number])
                self.batch += 1
                self._save_now_and_then()
        trained = time.perf_counter() - began
        report = self._end_epoch(began, sum(map(len, batches)) / max(trained, 1e-9))
        self._save_now_and_then()
        return report

    def _draw_crops(self) -> tuple[np.ndarray, np.ndarray]:
        """The track and the first frame of each crop of the epoch."""
        self.rng_before = self.rng.bit_generator.state
        frames = self.model.shape.frames
        every = np.repeat(np.arange(len(self.train)), self.config.crops_per_track)
        order = self.rng.permutation(every)
        starts = self.rng.integers(0, np.maximum(1, self.lengths[order] - frames + 1))
        return order, starts

    def _load(self, tracks: np.ndarray, starts: np.ndarray) -> Tensor:
        """Crops `[crop, channel, bin, frame]`, as stored."""
        x = crop_batch(self.train.arrays, tracks, starts, crop_frames=self.model.shape.frames)
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
                if not out_of_memory(error):
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
        seen, loss_sum = [], torch.zeros((), device=x.device)
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
            seen.append(logits.detach())
        return self.share.sum(loss_sum).item(), torch.cat(seen)

    def _is_mixed(self) -> bool:
        wanted = self.config.precision
        return wanted == "bfloat16" or (wanted == "auto" and self.cuda)

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
        self.share.same_buffers(self.model)
        train_loss = self.loss_sum / self.n_crops
        found = validate(self.model, self.validation, self.config, self.device)
        loss = found.loss
        check_finite(train_loss, loss, self.epoch, self.config, self.train, self.validation)
        is_best = loss is None or loss < self.best_loss
        if is_best:
            self.best_epoch, self.best_loss = self.epoch, loss or 0.0
            self.best_weights = _copy_of(self.model)
        seconds = time.perf_counter() - began
        report = EpochReport(
            self.epoch,
            train_loss,
            loss,
            found.accuracy,
            seconds,
            is_best,
            crops_per_second,
            found.roc_auc,
            found.pr_auc,
        )
        self.curves.append(report.row(tags=self.train.has_tags))
        self.recorder.sums = self.share.sum(self.recorder.sums)
        self.recorder.end_epoch()
        self.epoch, self.batch, self.loss_sum = self.epoch + 1, 0, 0.0
        self.rng_before = self.rng.bit_generator.state
        return report

    def _save_now_and_then(self) -> None:
        if self.share.rank > 0 or time.monotonic() - self.saved_at < self.save_every_s:
            return
        self.kept.save(
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
        found = self.kept.load(self.device)
        if found is None:
            return
        self.model.load_state_dict(found["model"])
        self.optimiser.load_state_dict(found["optimiser"])
        self.schedule.last_epoch = found["schedule"]["last_epoch"]
        self.best_weights = {k: v.to(self.device) for k, v in found["best_weights"].items()}
        self.best_epoch, self.best_loss = found["best"]
        self.epoch, self.batch, self.loss_sum, self.micro_batch = found["at"]
        self.curves, self.notes = json.loads(found["curves"]), list(found["notes"])
        self.recorder.sums, *self.recorder.epochs = found["dynamics"]
        self.rng.bit_generator.state = json.loads(found["rng"])
        torch.set_rng_state(found["torch_rng"])
        if self.cuda:
            torch.cuda.set_rng_state(found["cuda_rng"], self.device)
        _LOG.warning("training goes on from epoch %d, step %d", self.epoch, self.batch)


def _copy_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
