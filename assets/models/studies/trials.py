"""Trials: one arm of a study with one seed.

Each trial is an artifact. An interrupted study therefore resumes with the next trial, a new arm
trains only its own trials, and an arm that two studies share is trained once.
"""

import hashlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from melgraph.assets.context import Context
from melgraph.assets.dataset.datasets import usable_snapshot
from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.materialize import note_threads
from melgraph.assets.models.initial_weights import model_builder, weights_config, weights_inputs
from melgraph.assets.models.seen_tracks import TRAINED_ON, seen_rows, start_notes
from melgraph.assets.models.targets import label_numbers
from melgraph.assets.models.tracking.live import LiveRun, fold_prefix
from melgraph.assets.models.tracking.tracker import Tracker
from melgraph.assets.models.tracking.untracked import UNTRACKED, UntrackedRuns
from melgraph.assets.models.trained_model import device, device_count
from melgraph.assets.models.trained_models import (
    resumable,
    without_times,
)
from melgraph.assets.models.vectors.model_inputs import (
    TAGGERS,
    model_input_references,
    open_inputs,
    taggers_config,
)
from melgraph.assets.models.vectors.published_weights import weight_licences
from melgraph.assets.readers import Reader
from melgraph.assets.stage import Stage
from melgraph.assets.stages import TRIALS
from melgraph.ml.errors import UserError
from melgraph.ml.specs.study import Trial
from melgraph.storage.artifacts import ArtifactStore, Work
from melgraph.storage.records import Spec, canonical_json
from melgraph.storage.tables import read_table, write_table
from melgraph.storage.test_reads import register_read

if TYPE_CHECKING:
    from melgraph.ml.splits.folds import Eligible
    from melgraph.ml.training.loop import EpochReport
    from melgraph.ml.training.trials import TrialResult

PREDICTIONS, CURVES = "predictions.parquet", "curves.parquet"


def trial_spec(context: Context, trial: Trial, dataset: str, seed: int) -> Spec:
    """The spec of an arm with one seed, on the current snapshot of a dataset.

    Raises:
        UserError, StorageError: the dataset is unusable, its representation was not computed, the
            initial weights are missing, or they were trained on every track that it would hold out.
    """
    recipe = trial.recipe
    snapshot = usable_snapshot(context.store, dataset)
    if snapshot.multi_label:
        raise UserError(
            f"the tracks of {dataset!r} have several labels, and a study compares accuracies",
            where="dataset of the study",
            remedy="use a dataset with one label per track; the leaderboard compares tag models",
        )
    batches = snapshot.used()["batch"].to_list()
    inputs = (
        snapshot.reference,
        *model_input_references(context, batches, recipe),
        *weights_inputs(context, recipe),
    )
    config = trial.dump_for_version(mode="json") | weights_config(context, recipe)
    config |= taggers_config(context, recipe)
    digest = hashlib.sha256(canonical_json(trial.dump_for_version())).hexdigest()[:10]
    partition = f"{dataset}-{recipe['model']['architecture']}-{digest}-s{seed}"
    return TRIALS.spec(partition, inputs, config, seed)


def produce_trial(
    store: ArtifactStore,
    spec: Spec,
    *,
    tracker: Tracker | UntrackedRuns = UNTRACKED,
    dagster_run: str | None = None,
    report: Callable[[], None] | None = None,
) -> "TrialReader":
    """Train a trial unless its artifact exists. An interrupted training resumes.

    Args:
        store: of the artifacts.
        spec: of the trial.
        tracker: logs the MLflow run.
        dagster_run: id of the Dagster run that trains it.
        report: called after each epoch.
    """

    def write(work: Work) -> None:
        work.run["dagster"] = dagster_run
        with resumable(store.home, spec) as state:
            write_trial(store, work, tracker=tracker, state=state, report=report)
        note_threads(work)

    artifact, _ = store.produce(spec, write)
    return TrialReader(store, artifact)


def write_trial(
    store: ArtifactStore,
    work: Work,
    *,
    tracker: Tracker | UntrackedRuns = UNTRACKED,
    state: Any = None,
    report: Callable[[], None] | None = None,
) -> None:
    """Train every fold, and write the predictions and the learning curves.

    Args:
        store: of the artifacts.
        work: of the trial.
        tracker: logs the MLflow run.
        state: the folder with the state of an interrupted training, from which it resumes.
        report: called after each epoch.
    """
    with tracker.live_run(store, work) as run:
        result = _train(store, work, run, state, report)
        curves = list(zip(result.folds, result.curves, strict=True))
        figures = {name: work.facts[name] for name in ("accuracy", "macro_f1")}
        work.run["mlflow"] = tracker.log_trial(
            store, work, curves, figures, seconds=result.seconds, run=run
        )


def _train(
    store: ArtifactStore, work: Work, live: LiveRun, state: Any, report: Callable[[], None] | None
) -> "TrialResult":
    """Train every fold, write all files and facts, and log each epoch to the MLflow run."""
    from melgraph.ml.specs.training import TrainingConfig
    from melgraph.ml.training.setup import TrainingSetup
    from melgraph.ml.training.trials import run_trial

    spec = work.spec
    work.licences += weight_licences(spec.config)
    trial = Trial.model_validate({k: v for k, v in spec.config.items() if k in Trial.model_fields})
    snapshot = Snapshot.input_of(store, spec)
    table = snapshot.used()
    taggers = {TAGGERS: spec.config.get(TAGGERS, {})}
    inputs = open_inputs(store, spec, {**trial.recipe, **taggers})
    test_ids, run = snapshot.track_ids("test"), work.run.get("dagster")
    register_read(store.home, snapshot.reference, test_ids, spec.reference, "study", run)
    labels = label_numbers(table, snapshot.classes)
    eligible = _eligible(store, spec, trial, snapshot, table)
    result = run_trial(
        TrainingSetup(
            training=inputs.track_set(table, labels),
            config=TrainingConfig.model_validate(trial.recipe["training"]),
            seed=spec.seed or 0,
            device=device(),
            processes=device_count(),
            state=state,
        ),
        trial=trial,
        groups=table["group"].to_numpy(),
        parts=table["split"].to_list(),
        build=model_builder(
            store, spec, trial.recipe, inputs.shape, n_classes=len(snapshot.classes)
        ),
        n_classes=len(snapshot.classes),
        eligible=eligible,
        progress=partial(_report_epoch, live, report),
    )
    n_left_out = int((~eligible.test).sum())
    result.notes += start_notes(store, spec, n_left_out, table.height, "held-out tracks")
    _write_result(work, table, labels, snapshot.classes, result)
    work.facts["crop_frames"] = inputs.shape.frames
    return result


def _report_epoch(
    live: LiveRun, report: Callable[[], None] | None, fold: int, epoch: "EpochReport"
) -> None:
    """Log an epoch of a fold to MLflow, and report it."""
    live.log_epoch(epoch.row(tags=False), fold_prefix(fold))
    if report is not None:
        report()


def _eligible(
    store: ArtifactStore, spec: Spec, trial: Trial, snapshot: Snapshot, table: pl.DataFrame
) -> "Eligible":
    """The tracks that a trial may hold out: those that its initial weights have not seen."""
    from melgraph.ml.splits.folds import Eligible

    own_split = trial.split == "dataset"
    seen_mask = seen_rows(store, spec.inputs, snapshot, table, own_split=own_split)
    trained_on = seen_rows(
        store, spec.inputs, snapshot, table, own_split=own_split, parts=TRAINED_ON
    )
    return Eligible(test=~seen_mask, validation=~trained_on)


def _write_result(
    work: Work, table: pl.DataFrame, labels: np.ndarray, classes: list[str], result: "TrialResult"
) -> None:
    """Write predictions and curves as tables, figures as facts, and the cost into the run."""
    probabilities = result.probabilities
    prediction_table = table.select("track_id", "path", "label", "group").with_columns(
        pl.Series(f"p_{name}", probabilities[:, i]) for i, name in enumerate(classes)
    )
    write_table(prediction_table, work.folder / PREDICTIONS)
    curves = zip(result.folds, result.curves, strict=True)
    rows = [{"fold": n, **row} for n, curve in curves for row in curve]
    write_table(without_times(rows), work.folder / CURVES)
    predicted = ~np.isnan(probabilities[:, 0])
    predictions = probabilities[predicted].argmax(axis=1)
    work.facts.update(
        accuracy=float((predictions == labels[predicted]).mean()),
        macro_f1=_macro_f1(labels[predicted], predictions),
        n=int(predicted.sum()),
        trainings=len(result.curves),
        n_train=round(result.n_train, 1),
        crops=round(result.crops),
        parameters=result.parameters,
        classes=classes,
        notes=result.notes,
    )
    work.run.update(
        device=device(),
        seconds=f"{result.seconds:.1f}",
        peak_memory_bytes=str(result.peak_memory_bytes),
    )


class TrialReader(Reader):
    """A committed trial."""

    stage: ClassVar[Stage] = TRIALS

    @property
    def seed(self) -> int | None:
        """The seed of its folds and initial weights."""
        return self.spec.seed

    @property
    def macro_f1(self) -> float:
        """Macro-F1 over all predicted tracks."""
        return float(self.facts["macro_f1"])

    @property
    def n_parameters(self) -> int:
        """Number of trainable parameters."""
        return int(self.facts["parameters"])

    @property
    def n_crops(self) -> int:
        """Mean number of crops per training."""
        return int(self.facts["crops"])

    @property
    def n_trainings(self) -> int:
        """Number of trainings: one per fold."""
        return int(self.facts["trainings"])

    @property
    def classes(self) -> list[str]:
        """The classes, in the order of the probabilities."""
        classes: list[str] = self.facts["classes"]
        return classes

    @property
    def notes(self) -> list[str]:
        """Notes of the trainings."""
        notes: list[str] = self.facts["notes"]
        return notes

    @property
    def seconds(self) -> float:
        """Duration of all its trainings together."""
        return float(self.artifact.record.run["seconds"] or 0)

    @property
    def peak_memory_bytes(self) -> int:
        """Peak memory of its trainings."""
        return int(self.artifact.record.run["peak_memory_bytes"] or 0)

    def curves(self) -> list[list[dict[str, Any]]]:
        """Per training a list with the figures of each epoch."""
        table = read_table(self.artifact.folder / CURVES)
        return [part.to_dicts() for part in table.partition_by("fold", maintain_order=True)]

    def correct(self) -> pl.DataFrame:
        """A row per track: `track_id`, `label`, `group`, `answer`, and `right`.

        `answer` is the predicted class, and `right` says whether it is the label. Both are null for
        a track that was not predicted.
        """
        table, classes = read_table(self.artifact.folder / PREDICTIONS), self.classes
        scores = table.select(f"p_{name}" for name in classes).to_numpy()
        predicted = ~np.isnan(scores[:, 0])
        best = np.where(predicted, np.nan_to_num(scores, nan=-1.0).argmax(axis=1), -1)
        names = [classes[i] if i >= 0 else None for i in best.tolist()]
        return table.select("track_id", "label", "group").with_columns(
            answer=pl.Series(names, dtype=pl.String),
            right=pl.Series(names, dtype=pl.String) == pl.col("label"),
        )


def _macro_f1(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Macro-F1 over the classes that occur among the labels."""
    from sklearn.metrics import f1_score

    present = np.unique(labels)
    return float(f1_score(labels, predictions, labels=present, average="macro", zero_division=0.0))
