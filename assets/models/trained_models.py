"""`trained_models`: the classifier of an experiment, with its learning curves and MLflow run."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from dagster import AssetExecutionContext, MaterializeResult

from melgraph.assets.context import Context
from melgraph.assets.dataset.datasets import usable_snapshot
from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.library.inputs import TrackInputs
from melgraph.assets.materialize import (
    plain_failures,
    produce,
    stage_asset,
    with_mlflow_run,
)
from melgraph.assets.models.initial_weights import model_builder, weights_config, weights_inputs
from melgraph.assets.models.seen_tracks import TRAINED_ON, seen_rows, start_notes
from melgraph.assets.models.targets import targets_of
from melgraph.assets.models.tracking.live import LiveRun
from melgraph.assets.models.tracking.tracker import Tracker
from melgraph.assets.models.tracking.untracked import UNTRACKED, UntrackedRuns
from melgraph.assets.models.trained_model import (
    CHECKPOINT,
    CURVES,
    CURVES_PICTURE,
    TrainedModel,
    device,
    device_count,
)
from melgraph.assets.models.vectors.explanations import explain_probe, explanation_rows
from melgraph.assets.models.vectors.model_inputs import (
    VectorInputs,
    model_input_references,
    open_inputs,
    taggers_config,
)
from melgraph.assets.models.vectors.published_weights import weight_licences
from melgraph.assets.partitions import partition_of
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import Metadata
from melgraph.assets.stages import TRAINED_MODELS
from melgraph.assets.ui import markdown_table, picture, progress_bar
from melgraph.ml.errors import UserError
from melgraph.ml.specs.experiment import for_tags
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.home import Home
from melgraph.storage.records import Reference, Spec
from melgraph.storage.tables import write_table

if TYPE_CHECKING:
    from melgraph.ml.inference.track_set import TrackSet
    from melgraph.ml.training.loop import EpochReport
    from melgraph.ml.training.train import TrainingResult

Inputs = TrackInputs | VectorInputs
TIMES = ("seconds", "crops_per_second")
SCORES = {  # of the epoch whose weights are written, by whether tracks have several labels
    False: ("validation_accuracy",),
    True: ("validation_pr_auc", "validation_roc_auc"),
}


def plan_trained_model(context: Context, name: str) -> Spec:
    """The training of an experiment on the current snapshot of its dataset.

    Raises:
        UserError: the dataset or the experiment cannot be used, or the initial weights were trained
            on every test track.
    """
    experiment = context.specs.experiments[name]
    snapshot = usable_snapshot(context.store, experiment.dataset)
    if snapshot.multi_label:
        experiment = for_tags(experiment, name)
    batches = snapshot.used()["batch"].unique().to_list()
    recipe = experiment.dump_for_version(mode="json")
    initial_models = weights_inputs(context, recipe)
    _check_test_tracks(snapshot, initial_models, name)
    inputs = (
        snapshot.reference,
        *model_input_references(context, batches, recipe),
        *initial_models,
    )
    config = recipe | weights_config(context, recipe) | taggers_config(context, recipe)
    return TRAINED_MODELS.spec(name, inputs, config, experiment.seed)


def _check_test_tracks(
    snapshot: Snapshot, initial_models: tuple[Reference, ...], name: str
) -> None:
    """Refuse initial weights that leave no test track on which the model could be evaluated."""
    test = snapshot.part("test")
    if not initial_models or not test.height:
        return
    if seen_rows(snapshot.store, initial_models, snapshot, test, own_split=True).all():
        (initial_model,) = initial_models
        raise UserError(
            f"the initial weights, those of {initial_model.partition!r}, were trained on every "
            f"test track of {snapshot.name!r}, or on tracks of the same groups",
            where=f"experiment {name}: model.weights",
            remedy=f"train {initial_model.partition!r} on the same dataset and snapshot (melgraph "
            f"run --experiment {initial_model.partition}), or start from weights that were "
            "trained on other artists",
        )


def write_trained_model(
    store: ArtifactStore,
    work: Work,
    tracker: Tracker | UntrackedRuns = UNTRACKED,
    state: Path | None = None,
) -> None:
    """Train, and write the checkpoint, the curves and their picture.

    Args:
        store: of the artifacts.
        work: of the trained model.
        tracker: logs the MLflow run.
        state: the folder with the state of an interrupted training, from which it resumes.
    """
    with tracker.live_run(store, work) as run:
        result = _train(store, work, run, state)
        work.run["mlflow"] = tracker.log_training(
            store, work, result.curves, seconds=result.seconds, run=run
        )


def _train(store: ArtifactStore, work: Work, run: LiveRun, state: Path | None) -> "TrainingResult":
    """Train, write all files and facts, and log the figures of each epoch to the MLflow run."""
    from melgraph.ml.models.probe import Probe
    from melgraph.ml.specs.training import TrainingConfig
    from melgraph.ml.training.fitting import fit
    from melgraph.ml.training.setup import TrainingSetup

    config = work.spec.config
    work.licences += weight_licences(config)
    snapshot = Snapshot.input_of(store, work.spec)
    inputs = open_inputs(store, work.spec, config)
    training_set = _track_set(inputs, snapshot, snapshot.part("train"))
    assert training_set is not None, "a usable dataset has training tracks"
    validation_set, notes = _validation_set(store, work.spec, inputs, snapshot)
    training = TrainingConfig.model_validate(config["training"])
    with progress_bar(training.epochs, "epochs", "training") as bar:
        model, result = fit(
            model_builder(store, work.spec, config, inputs.shape, n_classes=len(snapshot.classes)),
            TrainingSetup(
                training=training_set,
                config=training,
                seed=work.spec.seed or 0,
                validation=validation_set,
                device=device(),
                processes=device_count(),
                state=state,
            ),
            progress=partial(_report_epoch, bar, run),
        )
    _write_checkpoint(work, model, snapshot, inputs)
    write_table(without_times(result.curves), work.folder / CURVES)
    (work.folder / CURVES_PICTURE).write_bytes(_curves_picture(result.curves))
    result.notes.extend(notes)
    work.facts.update(_facts(result, training_set, validation_set, snapshot))
    if isinstance(inputs, VectorInputs) and isinstance(model, Probe):
        table = snapshot.part("train")
        work.facts["explanation"] = explain_probe(model, inputs, table, snapshot.classes)
    work.run.update(
        device=device(),
        seconds=f"{result.seconds:.1f}",
        peak_memory_bytes=str(result.peak_memory_bytes),
    )
    return result


def _facts(
    result: "TrainingResult",
    training_set: "TrackSet",
    validation_set: "TrackSet | None",
    snapshot: Snapshot,
) -> Metadata:
    """Sizes and notes of the training, and the scores of the epoch whose weights are written."""
    best = result.curves[result.best_epoch - 1]
    facts: Metadata = {
        "classes": snapshot.classes,
        "n_train": len(training_set),
        "n_validation": len(validation_set) if validation_set else 0,
        "parameters": result.n_parameters,
        "best_epoch": result.best_epoch,
        "epochs": len(result.curves),
        "notes": result.notes,
        **{name: best[name] for name in SCORES[snapshot.multi_label]},
    }
    if snapshot.multi_label:
        facts["multi_label"] = True
        facts["notes"] = result.notes + _unlearned_tags(training_set, snapshot.classes)
    return facts


def _validation_set(
    store: ArtifactStore, spec: Spec, inputs: Inputs, snapshot: Snapshot
) -> tuple["TrackSet | None", list[str]]:
    """The validation tracks that the initial weights have not seen, and notes about the weights."""
    table = snapshot.part("validation")
    seen_mask = seen_rows(store, spec.inputs, snapshot, table, own_split=True, parts=TRAINED_ON)
    notes = start_notes(store, spec, int(seen_mask.sum()), table.height, "validation tracks")
    return _track_set(inputs, snapshot, table.filter(~seen_mask)), notes


def _track_set(inputs: Inputs, snapshot: Snapshot, table: pl.DataFrame) -> "TrackSet | None":
    """The tracks of a table with their targets; None if the table is empty."""
    if not table.height:
        return None
    labels = targets_of(table, snapshot.classes, tags=snapshot.multi_label)
    return inputs.track_set(table, labels)


def _report_epoch(bar: Any, run: LiveRun, epoch: "EpochReport") -> None:
    """Log an epoch to MLflow, advance the progress bar, and show loss and score there."""
    run.log_epoch(epoch.row(tags=epoch.validation_accuracy is None))
    bar.update()
    score = epoch.validation_score or 0
    bar.set_postfix_str(f"loss {epoch.train_loss:.2f}, validation {score:.0%}")


def _write_checkpoint(work: Work, model: Any, snapshot: Snapshot, inputs: Inputs) -> None:
    from melgraph.ml.weights import checkpoints

    description = {
        "classes": snapshot.classes,
        "input": inputs.describe(),
        "aggregate": model.aggregate,
        "experiment": work.spec.partition,
        "version": work.spec.version,
    }
    checkpoints.save(work.folder / CHECKPOINT, model, description)
    if isinstance(inputs, VectorInputs):
        inputs.extractor.save_taggers(work.folder / CHECKPOINT)


def _curves_picture(curves: Sequence[Mapping[str, Any]]) -> bytes:
    from melgraph.ml import plots

    return plots.training_curves(curves)


def _unlearned_tags(training_set: "TrackSet", classes: Sequence[str]) -> list[str]:
    """A note that lists the tags of no training track; empty if there are none."""
    present = set(np.flatnonzero(training_set.labels.any(axis=0)).tolist())
    absent = [name for number, name in enumerate(classes) if number not in present]
    return [f"no training track has {', '.join(absent)}"] if absent else []


@contextmanager
def resumable(home: Home, spec: Spec) -> Iterator[Path]:
    """A folder for the state of a training, so that an interrupted training can resume.

    It is deleted when the training is finished.
    """
    folder = home.root / "unfinished" / spec.asset / spec.version
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def without_times(curves: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """The curves as a table without times, because times would change the bytes of an artifact."""
    table = pl.DataFrame(list(curves))
    return table.drop(name for name in TIMES if name in table.columns)


@stage_asset(TRAINED_MODELS)
def trained_models(
    context: AssetExecutionContext, home: HomeResource, tracking: Tracker
) -> MaterializeResult[None]:
    """The classifier of an experiment, trained on the dataset that the experiment names.

    `checkpoint/` has the weights as safetensors (no pickle) and their description as JSON. The
    learning curves are in `curves.parquet` and `curves.png`, one row per epoch. Each training is
    logged as an MLflow run, with a registered model that predicts from audio files. An interrupted
    training resumes and ends with bit-identical weights.
    """
    with plain_failures():
        opened = home.context()
        spec = plan_trained_model(opened, partition_of(context))
        existing = opened.store.find(spec.reference)
        with resumable(opened.home, spec) as state:
            write = partial(write_trained_model, tracker=tracking, state=state)
            result = produce(context, opened, TRAINED_MODELS, spec, write)
    if existing is None:
        return result
    # MLflow may have been unavailable when the existing artifact was written: log its run now.
    run = tracking.log_again(TrainedModel(opened.store, existing))
    return with_mlflow_run(result, run)


def show(artifact: Artifact) -> Metadata:
    """Sizes, scores of the best epoch, classes and learning curves."""
    facts = artifact.facts
    names = ("n_train", "n_validation", "parameters", "best_epoch", "epochs")
    scores = SCORES[bool(facts.get("multi_label"))]
    explanation = explanation_rows(facts)
    return {
        **{name: facts[name] for name in (*names, *scores) if facts[name] is not None},
        "classes": ", ".join(facts["classes"]),
        "curves": picture(artifact.folder / CURVES_PICTURE),
        **({"what speaks for each class": markdown_table(explanation)} if explanation else {}),
    }
