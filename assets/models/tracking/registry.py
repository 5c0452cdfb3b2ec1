"""The MLflow registry: a registered model per experiment, and one per dataset with its champion.

The versions of the registered model of a dataset are the trainings of all experiments on it.
`ml.evaluation.champion` chooses which of them has the alias `champion`. The alias moves only when a
training is logged.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.models.tracking.model_code import write_model_code
from melgraph.assets.models.tracking.runs import row_of
from melgraph.assets.models.trained_model import CHECKPOINT
from melgraph.assets.ui import licence_text
from melgraph.ml.evaluation.champion import RULE, ChampionChoice, Contender, choose_champion
from melgraph.storage.artifacts import Work

CHAMPION = "champion"
EXAMPLE = ["song.mp3"]
# The packages that a prediction needs besides MLflow; some architectures need the last two.
REQUIREMENTS = ("av", "mutagen", "numpy", "pydantic", "pydantic_core", "safetensors", "scipy",
                "soundfile", "soxr", "torch", "torchaudio", "timm", "torchvision")  # fmt: skip
_TAG = "melgraph."
CHAMPION_TAG = f"{_TAG}{CHAMPION}"
_SEE = "The description of the registered model names the champion and the reason."


def log_model(work: Work) -> Any:
    """Log the model of a training to the active run.

    It is an MLflow model from code: no pickle is written, and the model carries the code that
    predicts.

    Returns:
        MLflow's `ModelInfo`.
    """
    import mlflow

    with TemporaryDirectory() as folder:
        module, package = write_model_code(Path(folder))
        return mlflow.pyfunc.log_model(
            name="model",
            python_model=str(module),
            artifacts={"checkpoint": str(work.folder / CHECKPOINT)},
            code_paths=[str(package)],
            pip_requirements=[f"{name}=={_public_version(name)}" for name in REQUIREMENTS],
            input_example=EXAMPLE,
        )


def register(client: Any, name: str, logged: Any, run_id: str, tags: Mapping[str, str]) -> int:
    """Register a logged model as the next version of a registered model.

    Returns:
        The number of the version.
    """
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    new_version = client.create_model_version(
        name, logged.model_uri, run_id, tags=dict(tags), model_id=logged.model_id
    )
    return int(new_version.version)


def contender_tags(
    work: Work, snapshot: Snapshot, curves: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    """The MLflow tags of a version: all facts of its training that decide about the champion."""
    figures = row_of(curves, work.facts["best_epoch"])
    tags = {
        "dataset": snapshot.name,
        "experiment": work.spec.partition,
        "record": str(work.spec.reference),
        "snapshot": snapshot.reference.version,
        "snapshot_at": snapshot.artifact.record.finished_at,
        "trained_at": work.started_at,
    }
    for name in ("validation_accuracy", "validation_pr_auc", "validation_loss"):
        if figures.get(name) is not None:
            tags[name] = repr(float(figures[name]))
    if licences := licence_text(snapshot.store, work):
        tags["licences"] = licences
    return {_TAG + name: value for name, value in tags.items()}


def contenders(client: Any, dataset: str) -> list[Contender]:
    """All trainings on a dataset that are versions of its registered model."""
    rows = []
    for version_ in _versions(client, dataset):
        tags = version_.tags
        # An experiment on another dataset can have the name of this dataset.
        if tags.get(f"{_TAG}dataset") != dataset:
            continue
        accuracy, pr_auc, loss = (
            tags.get(f"{_TAG}validation_{name}") for name in ("accuracy", "pr_auc", "loss")
        )
        score = pr_auc if accuracy is None else accuracy
        rows.append(
            Contender(
                version=int(version_.version),
                experiment=tags[f"{_TAG}experiment"],
                snapshot=tags[f"{_TAG}snapshot"],
                snapshot_at=tags[f"{_TAG}snapshot_at"],
                trained_at=tags[f"{_TAG}trained_at"],
                accuracy=None if score is None else float(score),
                loss=None if loss is None else float(loss),
                measure="accuracy" if pr_auc is None else "macro PR-AUC",
            )
        )
    return rows


def update_champion(client: Any, dataset: str, logged: int | None = None) -> ChampionChoice:
    """Move the alias `champion` of a dataset's model to the version that the rule chooses.

    The reason is written anew into the description of the registered model, and into the
    description and the tags of the champion and its run: a further training changes it even if the
    champion remains. A former champion and the version that was just logged say that they are not
    champion, without the reason, which the next training would make untrue.

    Args:
        client: an `MlflowClient`.
        dataset: name of the registered model.
        logged: the version that was just logged; None for none.
    """
    choice = choose_champion(contenders(client, dataset))
    aliases = client.get_registered_model(dataset).aliases
    before = int(aliases[CHAMPION]) if CHAMPION in aliases else None
    champion = choice.champion.version if choice.champion is not None else None
    if champion is None and before is not None:
        client.delete_registered_model_alias(dataset, CHAMPION)
    elif champion is not None and champion != before:
        client.set_registered_model_alias(dataset, CHAMPION, str(champion))
    texts = {before: f"Champion until {_now()}. {_SEE}", logged: f"Not champion. {_SEE}"}
    texts[champion] = f"Champion: {choice.reason}."
    for number, text in texts.items():
        if number is not None:
            _describe(client, dataset, number, text)
    client.update_registered_model(
        dataset,
        f"Trainings of all experiments on the dataset {dataset}. Champion: {RULE}.\n\n"
        f"Now: {choice.reason}.",
    )
    return choice


def _describe(client: Any, dataset: str, number: int, text: str) -> None:
    """Write whether a version is champion onto the version and onto its run."""
    from mlflow.exceptions import MlflowException

    client.update_model_version(dataset, str(number), text)
    client.set_model_version_tag(dataset, str(number), CHAMPION_TAG, text)
    if run_id := client.get_model_version(dataset, str(number)).run_id:
        with suppress(MlflowException):  # the user deleted the run
            client.set_tag(run_id, CHAMPION_TAG, text)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _versions(client: Any, name: str) -> list[Any]:
    """All versions of a registered model; MLflow returns them in pages."""
    versions: list[Any] = []
    token = None
    while True:
        page = client.search_model_versions(f"name = '{name}'", page_token=token)
        versions += page
        token = page.token
        if not token:
            return versions


def _public_version(name: str) -> str:
    """The version of a package without its local part, which no package index has.

    For example `2.11.0` instead of `2.11.0+cpu`.
    """
    return version(name).partition("+")[0]
