"""Trials: one repeat of one arm of a study. An artifact each, so that a study goes on where it was
stopped, a new arm costs only itself, and arms that studies share are trained once.
"""

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from melgraph.assets.dataset.datasets import DATASETS, TABLE, usable_dataset
from melgraph.assets.library.inputs import input_references
from melgraph.assets.materialize import input_of, note_threads
from melgraph.assets.models.initial_weights import weights_config, weights_inputs, weights_path
from melgraph.assets.models.targets import has_tags, label_numbers
from melgraph.assets.models.tracking.tracker import UNTRACKED, Tracker, UntrackedRuns
from melgraph.assets.models.trained_models import (
    build_model,
    device,
    device_count,
    inputs_for,
    resumable,
    without_times,
)
from melgraph.ml.errors import UserError
from melgraph.ml.specs.study import Trial
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.records import Spec, canonical_json
from melgraph.storage.tables import read_table, write_table
from melgraph.storage.test_reads import register_read

STAGE = 1
TRIALS = "trials"
PREDICTIONS, CURVES = "predictions.parquet", "curves.parquet"


def trial_spec(store: ArtifactStore, trial: Trial, dataset: str, seed: int) -> Spec:
    """One repeat of an arm, on the current snapshot of a dataset.

    Raises:
        UserError, StorageError: the dataset cannot be learned from, or lacks the representation, or
            the initial weights are not to be had.
    """
    recipe = trial.recipe
    snapshot = usable_dataset(store, dataset)
    if has_tags(snapshot):
        raise UserError(
            f"the tracks of {dataset!r} have several labels, and a study compares accuracies",
            where="dataset of the study",
            remedy="name a dataset of one label a track; the leaderboard compares taggers",
        )
    table = read_table(snapshot.folder / TABLE).filter(pl.col("split").is_not_null())
    given = input_references(store, table["batch"].to_list(), recipe["input"]["representation"])
    config = trial.model_dump(mode="json") | weights_config(store, recipe)
    inputs = (snapshot.reference, *given, *weights_inputs(store, recipe))
    digest = hashlib.sha256(canonical_json(trial.model_dump())).hexdigest()[:10]
    partition = f"{dataset}-{recipe['model']['architecture']}-{digest}-s{seed}"
    return Spec(TRIALS, partition, STAGE, inputs, config, seed)


def produce_trial(
    store: ArtifactStore,
    spec: Spec,
    *,
    tracker: Tracker | UntrackedRuns = UNTRACKED,
    dagster_run: str | None = None,
    report: Callable[[], None] | None = None,
) -> Artifact:
    """The trial's artifact, made unless it is there; a training that was killed goes on.

    Args:
        store: of the artifacts.
        spec: of the trial.
        tracker: of the MLflow run.
        dagster_run: the run it is made in.
        report: called after each epoch.
    """

    def write(work: Work) -> None:
        work.run["dagster"] = dagster_run
        with resumable(store.home, spec) as state:
            write_trial(store, work, tracker=tracker, state=state, report=report)
        note_threads(work)

    return store.produce(spec, write)[0]


def write_trial(
    store: ArtifactStore,
    work: Work,
    *,
    tracker: Tracker | UntrackedRuns = UNTRACKED,
    state: Any = None,
    report: Callable[[], None] | None = None,
) -> None:
    """Train every fold and write what it answers, and how it learned."""
    from melgraph.ml.training.trials import run_trial

    spec = work.spec
    trial = Trial.model_validate({k: v for k, v in spec.config.items() if k in Trial.model_fields})
    snapshot = input_of(store, spec, DATASETS)
    classes = snapshot.facts["classes"]
    table = read_table(snapshot.folder / TABLE).filter(pl.col("split").is_not_null())
    inputs = inputs_for(store, spec, trial.recipe)
    tested = table.filter(pl.col("split") == "test")["track_id"].to_list()
    run = work.run.get("dagster")
    register_read(store.home, snapshot.reference, tested, spec.reference, "study", run)
    labels = label_numbers(table, classes)
    build = partial(
        build_model,
        {**trial.recipe, "seed": spec.seed or 0},
        inputs.shape,
        n_classes=len(classes),
        weights=weights_path(store, spec, trial.recipe),
    )
    found = run_trial(
        inputs.track_set(table, labels),
        groups=table["group"].to_numpy(),
        parts=table["split"].to_list(),
        trial=trial,
        build=build,
        n_classes=len(classes),
        seed=spec.seed or 0,
        device=device(),
        progress=None if report is None else lambda fold, epoch: report(),
        state=state,
        processes=device_count(),
    )
    predictions = table.select("track_id", "path", "label", "group").with_columns(
        pl.Series(f"p_{name}", found.probabilities[:, i]) for i, name in enumerate(classes)
    )
    write_table(predictions, work.folder / PREDICTIONS)
    rows = [{"fold": n, **row} for n, curve in enumerate(found.curves) for row in curve]
    write_table(without_times(rows), work.folder / CURVES)
    seen = ~np.isnan(found.probabilities[:, 0])
    right = found.probabilities[seen].argmax(axis=1) == labels[seen]
    work.facts.update(
        accuracy=float(right.mean()),
        macro_f1=_macro_f1(labels[seen], found.probabilities[seen].argmax(axis=1)),
        n=int(seen.sum()),
        trainings=len(found.curves),
        n_train=round(found.n_train, 1),
        crops=round(found.crops),
        crop_frames=inputs.shape.frames,
        parameters=found.parameters,
        classes=classes,
        notes=found.notes,
    )
    work.run.update(
        device=device(),
        seconds=f"{found.seconds:.1f}",
        peak_memory_bytes=str(found.peak_memory_bytes),
    )
    curves = list(enumerate(found.curves))
    figures = {name: work.facts[name] for name in ("accuracy", "macro_f1")}
    work.run["mlflow"] = tracker.log_trial(work, curves, figures, seconds=found.seconds)


def right_answers(trial: Artifact) -> pl.DataFrame:
    """Which tracks a trial answered rightly: `track_id`, `label`, `group`, `answer`, `right`."""
    table = read_table(trial.folder / PREDICTIONS)
    classes = trial.facts["classes"]
    scores = table.select(f"p_{name}" for name in classes).to_numpy()
    seen = ~np.isnan(scores[:, 0])
    best = np.where(seen, np.nan_to_num(scores, nan=-1.0).argmax(axis=1), -1)
    answers = [classes[i] if i >= 0 else None for i in best.tolist()]
    return table.select("track_id", "label", "group").with_columns(
        answer=pl.Series(answers, dtype=pl.String),
        right=pl.Series(answers, dtype=pl.String) == pl.col("label"),
    )


def _macro_f1(labels: np.ndarray, answers: np.ndarray) -> float:
    from sklearn.metrics import f1_score

    present = np.unique(labels)
    return float(f1_score(labels, answers, labels=present, average="macro", zero_division=0.0))
