"""`evaluations`: what a trained experiment answers on the test split, read once per model."""

import numpy as np
import polars as pl
from dagster import AssetDep, AssetExecutionContext, MaterializeResult, asset

from assets.datasets import DATASETS, TABLE
from assets.materialize import (
    Metadata,
    input_of,
    markdown_table,
    materialize,
    picture,
    plain_failures,
)
from assets.partitions import dataset_to_experiments, experiment_names
from assets.resources import HomeResource
from assets.trained_models import (
    GPU_TAGS,
    TRAINED,
    checkpoint_of,
    device,
    part_of,
    write_json,
)
from storage.artifacts import Artifact, ArtifactStore, Work
from storage.records import Spec
from storage.tables import read_table, write_table

STAGE = 1
EVALUATIONS = "evaluations"
PREDICTIONS, REPORT, CONFUSION = "predictions.parquet", "report.json", "confusion_matrix.png"


def evaluation_spec(store: ArtifactStore, name: str) -> Spec:
    """The evaluation of the current model of an experiment, on the dataset it was trained on."""
    model = store.need(TRAINED, name)
    inputs = (model.reference, *model.record.spec.inputs)
    return Spec(EVALUATIONS, name, STAGE, inputs, {"part": "test"}, 0)


def write_evaluation(store: ArtifactStore, work: Work) -> None:
    """Predict every test track, and write predictions, figures and the confusion matrix."""
    from ml import plots
    from ml.evaluation import evaluate
    from ml.inference import predict_tracks

    model, meta = checkpoint_of(input_of(store, work.spec, TRAINED))
    classes = meta["classes"]
    table, spectrograms = part_of(store, work.spec, work.spec.config["part"])
    views = spectrograms.tracks(table["batch"].to_list(), table["track_id"].to_list())
    probabilities = predict_tracks(model, views, crop_frames=meta["crop_frames"], device=device())
    everything = read_table(input_of(store, work.spec, DATASETS).folder / TABLE)
    train = everything.filter(pl.col("split") == "train")
    figures = evaluate(
        probabilities,
        _numbers(table, classes),
        classes=classes,
        groups=table["group"].to_numpy(),
        seed=work.spec.seed or 0,
        train_labels=_numbers(train, classes),
    )
    best = probabilities.argmax(axis=1)
    predictions = table.select("track_id", "path", "label", "group").with_columns(
        prediction=pl.Series([classes[i] for i in best], dtype=pl.String),
        probability=pl.Series(probabilities.max(axis=1, initial=0.0), dtype=pl.Float32),
        **{f"p_{name}": probabilities[:, i] for i, name in enumerate(classes)},
    )
    write_table(predictions, work.folder / PREDICTIONS)
    report = figures.to_dict()
    write_json(work.folder / REPORT, report)
    title = f"{work.spec.partition}, test split: {figures.accuracy:.0%} of {figures.n} tracks"
    picture_bytes = plots.confusion_matrix(np.asarray(figures.confusion), classes, title)
    (work.folder / CONFUSION).write_bytes(picture_bytes)
    kept = ("n", "n_groups", "accuracy", "accuracy_low", "accuracy_high", "macro_f1", "note",
            "chance_uniform", "chance_majority", "above_chance", "small_sample",
            "calibration_error")  # fmt: skip
    work.facts.update({name: report[name] for name in kept}, per_class=report["per_class"])
    work.facts.update(split_policy=input_of(store, work.spec, DATASETS).facts["policy"])


def _numbers(table: pl.DataFrame, classes: list[str]) -> np.ndarray:
    codes = table["label"].replace_strict(classes, range(len(classes)), return_dtype=pl.Int64)
    return codes.to_numpy()


@asset(
    partitions_def=experiment_names,
    deps=[TRAINED, AssetDep(DATASETS, partition_mapping=dataset_to_experiments)],
    group_name="models",
    code_version=str(STAGE),
    kinds={"pytorch"},
    pool="gpu",
    op_tags=GPU_TAGS,
)
def evaluations(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult:
    """Track-level results on the test split: accuracy with a 95 % interval over artists, macro-F1,
    per-class report, confusion matrix, calibration; the predictions are kept for later tests.
    """
    with plain_failures():
        store = home.store()
        spec = evaluation_spec(store, context.partition_key)
    return materialize(context, store, spec, write_evaluation, _show)


def sentence(facts: Metadata) -> str:
    """The result in one line, with all that makes it honest."""
    verdict = "above chance" if facts["above_chance"] else "not shown to be above chance"
    chance = max(facts["chance_uniform"], facts["chance_majority"])
    small = ", a small sample" if facts["small_sample"] else ""
    return (
        f"accuracy {facts['accuracy']:.1%} (95 % interval {facts['accuracy_low']:.1%} to "
        f"{facts['accuracy_high']:.1%}; chance {chance:.1%}): {verdict}; "
        f"n = {facts['n']} tracks of {facts['n_groups']} groups{small}; "
        f"{facts['split_policy']} split"
    )


def _show(artifact: Artifact) -> Metadata:
    facts = artifact.facts
    rows = [
        {k: f"{v:.2f}" if isinstance(v, float) else ("-" if v is None else v) for k, v in c.items()}
        for c in facts["per_class"]
    ]
    shown: Metadata = {
        "result": sentence(facts),
        "accuracy": facts["accuracy"],
        "macro F1": facts["macro_f1"],
        "confusion matrix": picture(artifact.folder / CONFUSION),
        "per class": markdown_table(rows),
    }
    if facts["note"]:
        shown["note"] = facts["note"]
    return shown
