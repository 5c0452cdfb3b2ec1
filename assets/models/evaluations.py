"""`evaluations`: what a trained experiment answers on the test split, read once per model."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from dagster import AssetDep, AssetExecutionContext, MaterializeResult, asset

from melgraph.assets.dataset.datasets import DATASETS, TABLE, artist_caution
from melgraph.assets.library import ingest
from melgraph.assets.library.inputs import input_references
from melgraph.assets.materialize import (
    Metadata,
    input_of,
    markdown_table,
    materialize,
    picture,
    plain_failures,
)
from melgraph.assets.models.tag_evaluations import (
    PREDICTIONS,
    REPORT,
    figures_sentence,
    show_tags,
    write_tag_evaluation,
)
from melgraph.assets.models.targets import has_tags, label_numbers, tag_matrix, targets_of
from melgraph.assets.models.trained_models import (
    GPU_TAGS,
    REPRESENTATIONS,
    TRAINED,
    build_model,
    checkpoint_of,
    device,
    inputs_for,
    part_of,
    write_json,
)
from melgraph.assets.models.wrong_answers import write_wrong_answers
from melgraph.assets.partitions import dataset_to_experiments, experiment_names
from melgraph.assets.progress import progress_bar
from melgraph.assets.resources import HomeResource
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.records import Reference, Spec
from melgraph.storage.tables import read_table, write_table
from melgraph.storage.test_reads import register_read

STAGE = 2
SHOWN_WRONG = 3  # in the Dagster UI; the page shows all
EVALUATIONS = "evaluations"
CONFUSION = "confusion_matrix.png"
RELIABILITY = "reliability.png"
FOLD_PREDICTIONS, FOLD_REPORT = "fold_predictions.parquet", "fold_report.json"
KEPT = ("n", "n_groups", "accuracy", "accuracy_low", "accuracy_high", "macro_f1", "note",
        "chance_uniform", "chance_majority", "above_chance", "small_sample",
        "calibration_error")  # fmt: skip


def evaluation_spec(store: ArtifactStore, name: str) -> Spec:
    """The evaluation of the current model of an experiment, on the dataset it was trained on."""
    model = store.need(TRAINED, name)
    others = [r for r in model.record.spec.inputs if r.asset != TRAINED]
    inputs = (model.reference, *others, *_mel_of_test_tracks(store, model.record.spec, others))
    config = {"part": "test", "folds": model.record.spec.config["folds"]}
    return Spec(EVALUATIONS, name, STAGE, inputs, config, model.record.spec.seed)


def _mel_of_test_tracks(
    store: ArtifactStore, training: Spec, known: Sequence[Reference]
) -> tuple[Reference, ...]:
    """What wrong answers are shown by, where the model itself is given something else."""
    tags = any(r.asset == DATASETS and has_tags(store.get(r)) for r in known)
    if tags or any(reference.asset == ingest.MEL for reference in known):
        return ()
    tested = part_of(store, training, "test")
    return input_references(store, tested["batch"].to_list())


def write_evaluation(store: ArtifactStore, work: Work) -> None:
    """Predict every test track, and write predictions, figures and the confusion matrix.

    Where tracks have several labels, the picture is of the tags, and there is no cross-validation.
    Where the test split is too small to say much, the recipe is also cross-validated over all
    tracks by grouped folds: an estimate of the recipe, beside the one of this very model.
    """
    from melgraph.ml import plots
    from melgraph.ml.evaluation.classification import reliability
    from melgraph.ml.inference.tracks import predict_tracks

    snapshot = input_of(store, work.spec, DATASETS)
    tags = has_tags(snapshot)
    model, meta = checkpoint_of(input_of(store, work.spec, TRAINED))
    classes = meta["classes"]
    recipe = input_of(store, work.spec, TRAINED).record.spec.config
    table = part_of(store, work.spec, work.spec.config["part"])
    _register(store, work, "evaluation")
    inputs = inputs_for(store, work.spec, recipe)
    tracks = inputs.track_set(table, targets_of(table, classes, tags=tags))
    probabilities = predict_tracks(
        model, tracks.arrays, aggregate=meta["aggregate"], device=device()
    )
    everything = read_table(snapshot.folder / TABLE).filter(pl.col("split").is_not_null())
    train = everything.filter(pl.col("split") == "train")
    told = snapshot.facts
    caution = artist_caution(told) if told["artist_known"] < told["used"] else None
    work.facts.update(split_policy=told["policy"], caution=caution)
    if tags:
        known = tag_matrix(train, classes)
        judged = write_tag_evaluation(work, table, probabilities, tracks.labels, known, classes)
        write_json(work.folder / REPORT, judged)
        return
    figures = _judge(work, table, probabilities, classes, train, PREDICTIONS)
    bins = reliability(probabilities, tracks.labels)
    diagram = plots.reliability_diagram(bins, f"{work.spec.partition}, test split: how sure")
    (work.folder / RELIABILITY).write_bytes(diagram)
    wrong = write_wrong_answers(store, work, table, probabilities, tracks.labels, classes)
    work.facts.update(reliability=[asdict(each) for each in bins], wrong=wrong)
    write_json(work.folder / REPORT, figures)
    title = f"{work.spec.partition}, test split: {figures['accuracy']:.0%} of {figures['n']} tracks"
    picture_bytes = plots.confusion_matrix(np.asarray(figures["confusion"]), classes, title)
    (work.folder / CONFUSION).write_bytes(picture_bytes)
    work.facts.update({name: figures[name] for name in KEPT}, per_class=figures["per_class"])
    folds = work.spec.config["folds"]
    work.facts["cross_validation"] = None
    largest_class = int(np.bincount(label_numbers(everything, classes)).max())
    if figures["small_sample"] and 2 <= folds <= min(everything["group"].n_unique(), largest_class):
        tracks = inputs.track_set(everything, label_numbers(everything, classes))
        probabilities = _cross_validated(work.spec, recipe, inputs.shape, tracks, everything)
        found = _judge(work, everything, probabilities, classes, everything, FOLD_PREDICTIONS)
        write_json(work.folder / FOLD_REPORT, found)
        work.facts["cross_validation"] = {"folds": folds, **{name: found[name] for name in KEPT}}


def _register(store: ArtifactStore, work: Work, kind: str) -> None:
    """Note the look at the test split before it is taken."""
    snapshot = input_of(store, work.spec, DATASETS)
    tested = part_of(store, work.spec, "test")["track_id"].to_list()
    run = work.run.get("dagster")
    register_read(store.home, snapshot.reference, tested, work.spec.reference, kind, run)


def _judge(
    work: Work,
    table: pl.DataFrame,
    probabilities: np.ndarray,
    classes: list[str],
    train: pl.DataFrame,
    file: str,
) -> dict[str, Any]:
    """Write the predictions to a file, and return the figures."""
    from melgraph.ml.evaluation.classification import evaluate

    best = probabilities.argmax(axis=1)
    predictions = table.select("track_id", "path", "label", "group").with_columns(
        prediction=pl.Series([classes[i] for i in best], dtype=pl.String),
        probability=pl.Series(probabilities.max(axis=1, initial=0.0), dtype=pl.Float32),
        **{f"p_{name}": probabilities[:, i] for i, name in enumerate(classes)},
    )
    write_table(predictions, work.folder / file)
    return evaluate(
        probabilities,
        label_numbers(table, classes),
        classes=classes,
        groups=table["group"].to_numpy(),
        seed=work.spec.seed or 0,
        train_labels=label_numbers(train, classes),
    ).to_dict()


def _cross_validated(
    spec: Spec, recipe: Mapping[str, Any], shape: Any, tracks: Any, table: pl.DataFrame
) -> np.ndarray:
    from melgraph.ml.specs.training import TrainingConfig
    from melgraph.ml.training.cross_validation import cross_validate

    training = TrainingConfig.model_validate(recipe["training"])
    n_classes = int(tracks.labels.max()) + 1
    with progress_bar(spec.config["folds"] * training.epochs, "epochs", "folds") as bar:
        return cross_validate(
            tracks,
            table["group"].to_numpy(),
            build=partial(build_model, recipe, shape, n_classes=n_classes),
            config=training,
            n_folds=spec.config["folds"],
            seed=spec.seed or 0,
            device=device(),
            progress=lambda fold, epoch: bar.update(),
        )


@asset(
    partitions_def=experiment_names,
    deps=[
        TRAINED,
        AssetDep(DATASETS, partition_mapping=dataset_to_experiments),
        *REPRESENTATIONS,
    ],
    group_name="models",
    code_version=str(STAGE),
    kinds={"pytorch"},
    pool="gpu",
    op_tags=GPU_TAGS,
)
def evaluations(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult:
    """Track-level results on the test split: accuracy with a 95 % interval over artists, macro-F1,
    per-class report, confusion matrix, calibration; the predictions are kept for later tests.

    Where tracks have several labels: macro ROC-AUC and PR-AUC with intervals, and every tag's.
    """
    with plain_failures():
        store = home.store()
        spec = evaluation_spec(store, context.partition_key)
    return materialize(context, store, spec, write_evaluation, _show)


def sentence(facts: Metadata) -> str:
    """The result on the test split in one line, with all that makes it honest."""
    small = ", a small sample" if facts["small_sample"] else ""
    caution = f"; {facts['caution']}" if facts["caution"] else ""
    figures = figures_sentence(facts) if facts.get("multi_label") else _accuracy(facts)
    return f"{figures}; {facts['split_policy']} split{small}{caution}"


def fold_sentence(facts: Metadata) -> str | None:
    """The cross-validated result in one line, where there is one."""
    found = facts["cross_validation"]
    if found is None:
        return None
    return f"{_accuracy(found)}; {found['folds']} grouped folds over all tracks, one seed"


def _accuracy(found: Metadata) -> str:
    verdict = "above chance" if found["above_chance"] else "not shown to be above chance"
    chance = max(found["chance_uniform"], found["chance_majority"])
    return (
        f"accuracy {found['accuracy']:.1%} (95 % interval {found['accuracy_low']:.1%} to "
        f"{found['accuracy_high']:.1%}; chance {chance:.1%}): {verdict}; "
        f"n = {found['n']} tracks of {found['n_groups']} groups"
    )


def _show(artifact: Artifact) -> Metadata:
    facts = artifact.facts
    if facts.get("multi_label"):
        return show_tags(artifact, sentence(facts))
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
        "calibration": picture(artifact.folder / RELIABILITY),
    }
    for wrong in facts["wrong"][:SHOWN_WRONG]:
        title = f"wrong: {wrong['label']} taken for {wrong['prediction']}"
        shown.setdefault(title, picture(artifact.folder / wrong["picture"]))
    if facts["note"]:
        shown["note"] = facts["note"]
    if told := fold_sentence(facts):
        shown["cross-validation of the recipe"] = told
    return shown
