"""`trained_models`: a classifier per experiment, with its curves, its MLflow run and its model."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from dagster import (
    AllPartitionMapping,
    AssetDep,
    AssetExecutionContext,
    MaterializeResult,
    asset,
)

from melgraph.assets.dataset.datasets import DATASETS, TABLE, usable_dataset
from melgraph.assets.library import ingest
from melgraph.assets.library.inputs import TrackInputs, input_references
from melgraph.assets.materialize import (
    Metadata,
    input_of,
    inputs_of,
    materialize,
    picture,
    plain_failures,
    with_mlflow_run,
)
from melgraph.assets.models.initial_weights import weights_config, weights_inputs, weights_path
from melgraph.assets.models.targets import has_tags, targets_of
from melgraph.assets.models.tracking.tracker import UNTRACKED, Tracker, UntrackedRuns
from melgraph.assets.partitions import SPECS, dataset_to_experiments, experiment_names
from melgraph.assets.progress import progress_bar
from melgraph.assets.resources import HomeResource
from melgraph.ml.specs.experiment import for_tags
from melgraph.ml.specs.model_input import InputSpec
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.home import Home
from melgraph.storage.records import Spec
from melgraph.storage.tables import read_table, write_table

STAGE = 2
TRAINED = "trained_models"
TIMES = ("seconds", "crops_per_second")
SCORES = {  # of the epoch whose weights are kept, by whether tracks have tags
    False: ("validation_accuracy",),
    True: ("validation_pr_auc", "validation_roc_auc"),
}
CHECKPOINT, CURVES, CURVES_PICTURE = "checkpoint", "curves.parquet", "curves.png"


def training_spec(store: ArtifactStore, name: str) -> Spec:
    """The training of an experiment on the current snapshot of its dataset."""
    experiment = SPECS.experiments[name]
    snapshot = usable_dataset(store, experiment.dataset)
    if has_tags(snapshot):
        experiment = for_tags(experiment, name)
    batches = read_table(snapshot.folder / TABLE).filter(pl.col("split").is_not_null())["batch"]
    kind = experiment.input.representation
    recipe = experiment.model_dump(mode="json")
    given = input_references(store, batches.unique().to_list(), kind)
    inputs = (snapshot.reference, *given, *weights_inputs(store, recipe))
    config = recipe | weights_config(store, recipe)
    return Spec(TRAINED, name, STAGE, inputs, config, experiment.seed)


def part_of(store: ArtifactStore, spec: Spec, part: str) -> pl.DataFrame:
    """The tracks of one split of the dataset a spec names."""
    snapshot = input_of(store, spec, DATASETS)
    return read_table(snapshot.folder / TABLE).filter(pl.col("split") == part)


def inputs_for(store: ArtifactStore, spec: Spec, recipe: Mapping[str, Any]) -> TrackInputs:
    """What a recipe's model is given of the tracks that a spec names."""
    how = InputSpec.model_validate(recipe["input"])
    return TrackInputs(inputs_of(store, spec, how.representation), how)


def write_trained_model(
    store: ArtifactStore,
    work: Work,
    tracker: Tracker | UntrackedRuns = UNTRACKED,
    state: Path | None = None,
) -> None:
    """Train, and write the checkpoint, the curves and their picture.

    Args:
        store: of the artifacts.
        work: the model in the making.
        tracker: of the MLflow run.
        state: a folder in which a killed training is taken up again.
    """
    from melgraph.ml import plots
    from melgraph.ml.inference.track_set import TrackSet
    from melgraph.ml.specs.training import TrainingConfig
    from melgraph.ml.training.fitting import fit
    from melgraph.ml.training.train import EpochReport
    from melgraph.ml.weights import checkpoints

    config = work.spec.config
    snapshot = input_of(store, work.spec, DATASETS)
    classes, tags = snapshot.facts["classes"], has_tags(snapshot)
    inputs = inputs_for(store, work.spec, config)
    sets: dict[str, TrackSet | None] = {}
    for part in ("train", "validation"):
        table = part_of(store, work.spec, part)
        labels = targets_of(table, classes, tags=tags)
        sets[part] = inputs.track_set(table, labels) if table.height else None
    training_set, validation_set = sets["train"], sets["validation"]
    assert training_set is not None, "a usable dataset has training tracks"
    training = TrainingConfig.model_validate(config["training"])
    build = partial(
        build_model,
        config,
        inputs.shape,
        n_classes=len(classes),
        weights=weights_path(store, work.spec, config),
    )
    with progress_bar(training.epochs, "epochs", "training") as bar:

        def report(epoch: EpochReport) -> None:
            bar.update()
            bar.set_postfix_str(
                f"loss {epoch.train_loss:.2f}, validation {epoch.validation_score or 0:.0%}"
            )

        model, trained = fit(
            build,
            training_set,
            validation_set,
            config=training,
            seed=work.spec.seed or 0,
            device=device(),
            progress=report,
            state=state,
            processes=device_count(),
        )
    meta = {
        "classes": classes,
        "input": inputs.describe(),
        "aggregate": config["aggregate"],
        "experiment": work.spec.partition,
        "version": work.spec.version,
    }
    checkpoints.save(work.folder / CHECKPOINT, model, meta)
    write_table(without_times(trained.curves), work.folder / CURVES)
    (work.folder / CURVES_PICTURE).write_bytes(plots.training_curves(trained.curves))
    work.facts.update(
        classes=classes,
        n_train=len(training_set),
        n_validation=len(validation_set) if validation_set else 0,
        parameters=trained.n_parameters,
        best_epoch=trained.best_epoch,
        epochs=len(trained.curves),
        **{name: trained.curves[trained.best_epoch - 1][name] for name in SCORES[tags]},
    )
    work.facts["notes"] = trained.notes
    if tags:
        work.facts["multi_label"] = True
        known = np.flatnonzero(training_set.labels.any(axis=0)).tolist()
        never = [name for number, name in enumerate(classes) if number not in known]
        if never:
            work.facts["notes"] = [*trained.notes, f"no training track has {', '.join(never)}"]
    work.run.update(
        device=device(),
        seconds=f"{trained.seconds:.1f}",
        peak_memory_bytes=str(trained.peak_memory_bytes),
    )
    work.run["mlflow"] = tracker.log_training(work, trained.curves, seconds=trained.seconds)


def build_model(
    recipe: Mapping[str, Any], shape: Any, *, n_classes: int, weights: Path | None = None
) -> Any:
    """The untrained network of an experiment: its initial weights drawn by the recipe's seed, or
    those of a file or a checkpoint, but for the head.
    """
    from melgraph.ml import models

    model = models.build(
        recipe["model"]["architecture"],
        shape,
        n_classes=n_classes,
        seed=recipe["seed"],
        **recipe["model"]["options"],
    )
    if weights is not None:
        from melgraph.ml.weights.initial import load_weights

        load_weights(model, weights)
    return model


@contextmanager
def resumable(home: Home, spec: Spec) -> Iterator[Path]:
    """A folder in which a training that is killed leaves its state; gone when it is finished."""
    folder = home.root / "unfinished" / spec.asset / spec.version
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def without_times(curves: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Curves as a table, without times: they are no part of the content, and change its bytes."""
    table = pl.DataFrame(list(curves))
    return table.drop(name for name in TIMES if name in table.columns)


def device() -> str:
    """`cuda` where there is one, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def device_count() -> int:
    """How many devices a training is spread over: all CUDA devices there are, or the one CPU."""
    import torch

    return max(1, torch.cuda.device_count()) if torch.cuda.is_available() else 1


REPRESENTATIONS = [  # an experiment reads one of them, as its TOML says
    AssetDep(name, partition_mapping=AllPartitionMapping())
    for name in (*ingest.DEFAULT, *ingest.ON_DEMAND)
]
GPU_TAGS: dict[str, Any] = {
    "dagster-k8s/config": {"container_config": {"resources": {"limits": {"nvidia.com/gpu": "1"}}}}
}


@asset(
    partitions_def=experiment_names,
    deps=[
        AssetDep(DATASETS, partition_mapping=dataset_to_experiments),
        *REPRESENTATIONS,
    ],
    group_name="models",
    code_version=str(STAGE),
    kinds={"pytorch", "mlflow"},
    pool="gpu",
    op_tags=GPU_TAGS,
)
def trained_models(
    context: AssetExecutionContext, home: HomeResource, tracking: Tracker
) -> MaterializeResult:
    """A classifier trained by a named experiment on a named dataset.

    Folder: `checkpoint/` (safetensors and its description: no pickle), the curves as a table and a
    picture. Each training is an MLflow run, and a registered model that predicts from audio files.
    """
    with plain_failures():
        store = home.store()
        spec = training_spec(store, context.partition_key)
        before = store.find(spec.reference)
        with resumable(store.home, spec) as state:
            write = partial(write_trained_model, tracker=tracking, state=state)
            result = materialize(context, store, spec, write, _show)
    # One that was there already, and that MLflow did not take when it was made, it may take now.
    return result if before is None else with_mlflow_run(result, tracking.log_again(before))


def _show(artifact: Artifact) -> Metadata:
    facts = artifact.facts
    names = ("n_train", "n_validation", "parameters", "best_epoch", "epochs")
    scores = SCORES[bool(facts.get("multi_label"))]
    return {
        **{name: facts[name] for name in (*names, *scores) if facts[name] is not None},
        "classes": ", ".join(facts["classes"]),
        "curves": picture(artifact.folder / CURVES_PICTURE),
    }


def checkpoint_of(artifact: Artifact) -> tuple[Any, dict[str, Any]]:
    """The model of a trained experiment, and what its checkpoint says of it."""
    from melgraph.ml.weights import checkpoints

    return checkpoints.load(artifact.folder / CHECKPOINT, device())


def write_json(path: Any, value: object) -> None:
    """Write JSON that reads the same every time; NaN is refused."""
    path.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False))
