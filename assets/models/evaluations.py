"""`evaluations`: the predictions of a trained model on the test split, and their figures."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from dagster import AssetExecutionContext, MaterializeResult

from melgraph.assets.context import Context
from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.library.inputs import input_references
from melgraph.assets.materialize import materialize, stage_asset, with_mlflow_run
from melgraph.assets.models.evaluation import (
    CONFUSION,
    FOLD_PREDICTIONS,
    FOLD_REPORT,
    PREDICTIONS,
    RELIABILITY,
    REPORT,
    Evaluation,
)
from melgraph.assets.models.initial_weights import model_builder
from melgraph.assets.models.seen_tracks import seen_rows, start_notes
from melgraph.assets.models.tag_evaluations import figures_sentence, show_tags, write_tag_evaluation
from melgraph.assets.models.targets import label_numbers, tag_matrix, targets_of
from melgraph.assets.models.tracking.tracker import Tracker
from melgraph.assets.models.trained_model import TrainedModel, device
from melgraph.assets.models.trained_models import Inputs
from melgraph.assets.models.vectors.explanations import explanation_rows
from melgraph.assets.models.vectors.model_inputs import open_inputs
from melgraph.assets.models.wrong_answers import write_wrong_answers
from melgraph.assets.partitions import partition_of
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import Metadata
from melgraph.assets.stages import EVALUATIONS, MEL_SPECTROGRAMS, TRAINED_MODELS
from melgraph.assets.ui import markdown_table, picture, progress_bar
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.files import write_json
from melgraph.storage.records import Reference, Spec
from melgraph.storage.tables import write_table
from melgraph.storage.test_reads import register_read

SHOWN_WRONG = 3  # wrong predictions in the Dagster UI; the page shows all
IN_FACTS = ("n", "n_groups", "accuracy", "accuracy_low", "accuracy_high", "macro_f1", "note",
        "chance_uniform", "chance_majority", "above_chance", "small_sample",
        "calibration_error")  # fmt: skip


def plan_evaluation(context: Context, name: str) -> Spec:
    """The evaluation of the current model of an experiment, on the dataset it was trained on."""
    model = TrainedModel.current(context.store, name)
    others = [r for r in model.spec.inputs if not TRAINED_MODELS.owns(r)]
    inputs = (model.reference, *others, *_mel_of_test_tracks(model, others))
    config = {"part": "test", "folds": model.recipe["folds"]}
    return EVALUATIONS.spec(name, inputs, config, model.spec.seed)


def _mel_of_test_tracks(model: TrainedModel, inputs: Sequence[Reference]) -> tuple[Reference, ...]:
    """The mel spectrograms that show wrong predictions, if the model itself takes another input."""
    if any(map(MEL_SPECTROGRAMS.owns, inputs)) or model.snapshot.multi_label:
        return ()
    return input_references(model.store, model.snapshot.part("test")["batch"].to_list())


def write_evaluation(store: ArtifactStore, work: Work) -> None:
    """Predict every test track, and write predictions, figures and the confusion matrix.

    Test tracks that the initial weights of the model have seen are left out.

    If the test split is small, the experiment is also cross-validated over all tracks with grouped
    folds. This estimates the accuracy of the experiment, not of this one model. Models that predict
    tags have a chart of the tags instead of a confusion matrix, and no cross-validation.
    """
    from melgraph.ml.inference.tracks import predict_tracks

    snapshot = Snapshot.input_of(store, work.spec)
    trained = TrainedModel.input_of(store, work.spec)
    model, meta = trained.load()
    classes: list[str] = meta["classes"]
    table, notes = _unseen(trained, snapshot.part(work.spec.config["part"]), own_split=True)
    _register(store, work, snapshot)
    inputs = open_inputs(store, work.spec, trained.recipe)
    targets = targets_of(table, classes, tags=snapshot.multi_label)
    tracks = inputs.track_set(table, targets)
    probabilities = predict_tracks(model, tracks.arrays, device=device())
    cautions = [*filter(None, [snapshot.caution]), *notes]
    work.facts.update(split_policy=snapshot.policy, caution="; ".join(cautions) or None)
    if "explanation" in trained.facts:
        work.facts["explanation"] = trained.facts["explanation"]
    if snapshot.multi_label:
        train = tag_matrix(snapshot.part("train"), classes)
        figures = write_tag_evaluation(work, table, probabilities, tracks.labels, train, classes)
        write_json(work.folder / REPORT, figures)
        return
    predictions = Predictions(table, probabilities, classes)
    figures = _write_test_figures(work, predictions, snapshot)
    wrong = write_wrong_answers(store, work, table, probabilities, tracks.labels, classes)
    work.facts.update(wrong=wrong, cross_validation=None)
    if figures["small_sample"]:
        _write_cross_validation(work, trained, inputs, classes)


def _unseen(
    trained: TrainedModel, table: pl.DataFrame, *, own_split: bool
) -> tuple[pl.DataFrame, list[str]]:
    """The tracks of a table that the initial weights of a model have not seen, and notes on them.

    Args:
        trained: the model; it was trained on the snapshot that the table is from.
        table: rows of this snapshot.
        own_split: whether the tracks are the test split of the snapshot; False for all its tracks.
    """
    store, training = trained.store, trained.spec
    seen_mask = seen_rows(store, training.inputs, trained.snapshot, table, own_split=own_split)
    notes = start_notes(store, training, int(seen_mask.sum()), table.height, "test tracks")
    return table.filter(~seen_mask), notes


@dataclass(frozen=True)
class Predictions:
    """The predictions of a model.

    Attributes:
        table: a row per track, with `label` and `group`.
        probabilities: float `[track, class]`.
        classes: names of the classes, in the order of the columns of `probabilities`.
    """

    table: pl.DataFrame
    probabilities: np.ndarray
    classes: list[str]


def _register(store: ArtifactStore, work: Work, snapshot: Snapshot) -> None:
    """Note the look at the test split before it happens."""
    test_ids, run = snapshot.track_ids("test"), work.run.get("dagster")
    register_read(store.home, snapshot.reference, test_ids, work.spec.reference, "evaluation", run)


def _write_test_figures(work: Work, predictions: Predictions, snapshot: Snapshot) -> dict[str, Any]:
    """Write the figures, the confusion matrix and the calibration of the test split."""
    from melgraph.ml import plots
    from melgraph.ml.evaluation.classification import reliability

    classes = predictions.classes
    figures = _write_predictions(work, predictions, snapshot.part("train"), PREDICTIONS)
    bins = reliability(predictions.probabilities, label_numbers(predictions.table, classes))
    diagram = plots.reliability_diagram(bins, f"{work.spec.partition}, test split: how sure")
    (work.folder / RELIABILITY).write_bytes(diagram)
    write_json(work.folder / REPORT, figures)
    title = f"{work.spec.partition}, test split: {figures['accuracy']:.0%} of {figures['n']} tracks"
    confusion = np.asarray(figures["confusion"])
    (work.folder / CONFUSION).write_bytes(plots.confusion_matrix(confusion, classes, title))
    work.facts.update({name: figures[name] for name in IN_FACTS}, per_class=figures["per_class"])
    work.facts["reliability"] = [asdict(each) for each in bins]
    return figures


def _write_predictions(
    work: Work, predictions: Predictions, train: pl.DataFrame, file: str
) -> dict[str, Any]:
    """Write the predictions to a file, and return their figures."""
    from melgraph.ml.evaluation.classification import evaluate

    table, classes = predictions.table, predictions.classes
    probabilities = predictions.probabilities
    best = probabilities.argmax(axis=1)
    rows = table.select("track_id", "path", "label", "group").with_columns(
        prediction=pl.Series([classes[i] for i in best], dtype=pl.String),
        probability=pl.Series(probabilities.max(axis=1, initial=0.0), dtype=pl.Float32),
        **{f"p_{name}": probabilities[:, i] for i, name in enumerate(classes)},
    )
    write_table(rows, work.folder / file)
    return evaluate(
        probabilities,
        label_numbers(table, classes),
        classes=classes,
        groups=table["group"].to_numpy(),
        seed=work.spec.seed or 0,
        train_labels=label_numbers(train, classes),
    ).to_dict()


def _write_cross_validation(
    work: Work, trained: TrainedModel, inputs: Inputs, classes: list[str]
) -> None:
    """Cross-validate the experiment over all tracks, unless they are too few for its folds.

    Each fold starts from the initial weights of the experiment. Tracks that these weights have seen
    are trained on but not predicted; if no track is left, there is no cross-validation.
    """
    table, folds = trained.snapshot.used(), work.spec.config["folds"]
    labels = label_numbers(table, classes)
    largest_class = int(np.bincount(labels).max())
    if not 2 <= folds <= min(table["group"].n_unique(), largest_class):
        return
    unseen, _ = _unseen(trained, table, own_split=False)
    eligible = table["track_id"].is_in(unseen["track_id"].to_list()).to_numpy()
    if not eligible.any():
        return
    tracks = inputs.track_set(table, labels)
    probabilities = _predict_by_folds(trained, folds, inputs, tracks, table, eligible)
    predictions = Predictions(table.filter(eligible), probabilities[eligible], classes)
    figures = _write_predictions(work, predictions, table, FOLD_PREDICTIONS)
    write_json(work.folder / FOLD_REPORT, figures)
    estimates = {name: figures[name] for name in IN_FACTS}
    work.facts["cross_validation"] = {"folds": folds, **estimates}


def _predict_by_folds(
    trained: TrainedModel,
    folds: int,
    inputs: Inputs,
    tracks: Any,
    table: pl.DataFrame,
    eligible: np.ndarray,
) -> np.ndarray:
    """Float `[track, class]`: the predictions of each fold by a model trained on the others.

    The models are made as that of the experiment was, with its initial weights and its settings.
    """
    from melgraph.ml.specs.training import TrainingConfig
    from melgraph.ml.training.cross_validation import cross_validate
    from melgraph.ml.training.setup import TrainingSetup

    recipe, spec = trained.recipe, trained.spec
    training = TrainingConfig.model_validate(recipe["training"])
    n_classes = len(trained.classes)
    with progress_bar(folds * training.epochs, "epochs", "folds") as bar:
        return cross_validate(
            TrainingSetup(tracks, training, seed=spec.seed or 0, device=device()),
            table["group"].to_numpy(),
            build=model_builder(trained.store, spec, recipe, inputs.shape, n_classes=n_classes),
            n_folds=folds,
            eligible=eligible,
            progress=lambda fold, epoch: bar.update(),
        )


@stage_asset(EVALUATIONS)
def evaluations(
    context: AssetExecutionContext, home: HomeResource, tracking: Tracker
) -> MaterializeResult[None]:
    """Results of a trained model on the tracks of the test split, one partition per experiment.

    `report.json` has the accuracy with a 95 % confidence interval over groups of tracks, macro-F1
    and figures per class. `predictions.parquet` has the predicted probabilities of each track, so
    that models can be compared by paired tests. The confusion matrix and the calibration are PNG
    files. If tracks have several tags, the figures are macro ROC-AUC and PR-AUC with 95 %
    confidence intervals, and both areas of each tag. The results are also logged to the MLflow run
    of the model.
    """
    result = materialize(context, home, EVALUATIONS)
    evaluation = Evaluation.current(home.store(), partition_of(context))
    return with_mlflow_run(result, tracking.log_evaluation(evaluation, sentence(evaluation.facts)))


def sentence(facts: Mapping[str, Any]) -> str:
    """The result on the test split in one line, with its interval, chance level and cautions."""
    small = ", a small sample" if facts["small_sample"] else ""
    caution = f"; {facts['caution']}" if facts["caution"] else ""
    figures = figures_sentence(facts) if facts.get("multi_label") else _accuracy(facts)
    return f"{figures}; {facts['split_policy']} split{small}{caution}"


def fold_sentence(facts: Mapping[str, Any]) -> str | None:
    """The cross-validated result in one line; None if there is none."""
    figures = facts["cross_validation"]
    if figures is None:
        return None
    return f"{_accuracy(figures)}; {figures['folds']} grouped folds over all tracks, one seed"


def _accuracy(figures: Mapping[str, Any]) -> str:
    verdict = "above chance" if figures["above_chance"] else "not shown to be above chance"
    chance = max(figures["chance_uniform"], figures["chance_majority"])
    return (
        f"accuracy {figures['accuracy']:.1%} (95 % confidence interval "
        f"{figures['accuracy_low']:.1%} to {figures['accuracy_high']:.1%}; chance {chance:.1%}): "
        f"{verdict}; "
        f"n = {figures['n']} tracks of {figures['n_groups']} groups"
    )


def show(artifact: Artifact) -> Metadata:
    """The result in a sentence, the confusion matrix, and the most confident wrong predictions."""
    facts = artifact.facts
    if facts.get("multi_label"):
        return show_tags(artifact, sentence(facts))
    rows = [
        {k: f"{v:.2f}" if isinstance(v, float) else ("-" if v is None else v) for k, v in c.items()}
        for c in facts["per_class"]
    ]
    explanation = explanation_rows(facts)
    metadata: Metadata = {
        "result": sentence(facts),
        "accuracy": facts["accuracy"],
        "macro F1": facts["macro_f1"],
        "confusion matrix": picture(artifact.folder / CONFUSION),
        "per class": markdown_table(rows),
        **({"what speaks for each class": markdown_table(explanation)} if explanation else {}),
        "calibration": picture(artifact.folder / RELIABILITY),
    }
    for wrong in facts["wrong"][:SHOWN_WRONG]:
        title = f"wrong prediction: {wrong['label']} classified as {wrong['prediction']}"
        metadata.setdefault(title, picture(artifact.folder / wrong["picture"]))
    if facts["note"]:
        metadata["note"] = facts["note"]
    if cross_validation := fold_sentence(facts):
        metadata["cross-validation of the experiment"] = cross_validation
    return metadata
