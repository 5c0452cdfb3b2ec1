"""The results of an evaluation in the MLflow run of its model: figures, pictures and links."""

from typing import Any

from melgraph.assets.models.evaluation import (
    CONFUSION,
    FOLD_REPORT,
    RELIABILITY,
    REPORT,
    TAG_CHART,
    Evaluation,
)
from melgraph.assets.models.tracking.live import milliseconds
from melgraph.assets.models.tracking.runs import NOTE_TAG, dagster_link, log_metrics
from melgraph.assets.settings import pages_url

TEST, FOLDS = "test/", "cross_validation/"  # prefixes of the figures
FOLDER = "evaluation"  # of the files among the MLflow artifacts of the run
FILES = (REPORT, CONFUSION, RELIABILITY, TAG_CHART, FOLD_REPORT)
EVALUATION_TAG = "melgraph.evaluation"
_NOTE = "Test split: "


def log_results(client: Any, run: Any, evaluation: Evaluation, summary: str) -> None:
    """Log an evaluation to a run, unless the run has it already.

    Args:
        client: an `MlflowClient`.
        run: the MLflow run of the model that was evaluated.
        evaluation: the evaluation.
        summary: its result in one line.
    """
    run_id, reference = run.info.run_id, str(evaluation.reference)
    if run.data.tags.get(EVALUATION_TAG) == reference:
        return
    log_metrics(client, run_id, _metrics(run, evaluation))
    for name in FILES:
        if name in evaluation.artifact.record.files:
            client.log_artifact(run_id, str(evaluation.artifact.folder / name), FOLDER)
    client.set_tag(run_id, NOTE_TAG, _note(run, evaluation, summary))
    client.set_tag(run_id, EVALUATION_TAG, reference)  # last: the run has everything


def _metrics(run: Any, evaluation: Evaluation) -> list[Any]:
    """The figures as MLflow metrics of the run and of the model that it logged."""
    from mlflow.entities import Metric

    models = run.outputs.model_outputs if run.outputs else []
    model_id = models[0].model_id if models else None
    at_ms = milliseconds(evaluation.artifact.record.finished_at)
    figures = {TEST + name: value for name, value in evaluation.figures.items()}
    figures |= {FOLDS + name: value for name, value in evaluation.fold_figures.items()}
    return [Metric(name, value, at_ms, 0, model_id=model_id) for name, value in figures.items()]


def _note(run: Any, evaluation: Evaluation, summary: str) -> str:
    """The description of the run, with the result and its links instead of an earlier result."""
    note = run.data.tags.get(NOTE_TAG, "")
    paragraphs = [text for text in note.split("\n\n") if text and not text.startswith(_NOTE)]
    links = [f"record `{evaluation.reference}`", f"[page]({pages_url()}/pages/models.html)"]
    if dagster_run := evaluation.artifact.record.run.get("dagster"):
        links.append(f"Dagster {dagster_link(dagster_run)}")
    return "\n\n".join([*paragraphs, f"{_NOTE}{summary} ({', '.join(links)})"])
