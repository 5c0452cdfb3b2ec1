"""MLflow's registry: a registered model per experiment, and one per dataset with its champion.

The versions of a dataset's model are the trainings of all experiments on it; the alias `champion`
is where `ml.evaluation.champion` says, and moves at no other time than when a training is logged.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from melgraph.assets.models.tracking.model_code import write_model_code
from melgraph.ml.evaluation.champion import RULE, Contender, Verdict, choose_champion
from melgraph.storage.artifacts import Artifact, Work

CHAMPION = "champion"
EXAMPLE = ["song.mp3"]
# What predicting from a file takes, beside MLflow; the last two, only some architectures.
REQUIREMENTS = ("av", "mutagen", "numpy", "pydantic", "safetensors", "scipy", "soundfile", "soxr",
                "torch", "torchaudio", "timm", "torchvision")  # fmt: skip
_TAG = "melgraph."


def log_model(work: Work) -> Any:
    """Log the model of a training to the active run; what MLflow knows of it is returned.

    Models from code: no pickle is written, and the code that predicts goes with it.
    """
    import mlflow

    with TemporaryDirectory() as folder:
        module, package = write_model_code(Path(folder))
        return mlflow.pyfunc.log_model(
            name="model",
            python_model=str(module),
            artifacts={"checkpoint": str(work.folder / "checkpoint")},
            code_paths=[str(package)],
            pip_requirements=[f"{name}=={_public_version(name)}" for name in REQUIREMENTS],
            input_example=EXAMPLE,
        )


def register(client: Any, name: str, logged: Any, run_id: str, tags: Mapping[str, str]) -> int:
    """Make a logged model the next version of a registered model; its number."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    made = client.create_model_version(
        name, logged.model_uri, run_id, tags=dict(tags), model_id=logged.model_id
    )
    return int(made.version)


def contender_tags(
    work: Work, snapshot: Artifact, curves: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    """What a version says of its training: all that the champion is chosen by."""
    kept = work.facts["best_epoch"]
    (figures,) = [row for row in curves if row["epoch"] == kept]
    tags = {
        "dataset": snapshot.reference.partition,
        "experiment": work.spec.partition,
        "record": str(work.spec.reference),
        "snapshot": snapshot.reference.version,
        "snapshot_at": snapshot.record.finished_at,
        "trained_at": work.started_at,
    }
    for name in ("validation_accuracy", "validation_pr_auc", "validation_loss"):
        if figures.get(name) is not None:
            tags[name] = repr(float(figures[name]))
    return {_TAG + name: value for name, value in tags.items()}


def contenders(client: Any, dataset: str) -> list[Contender]:
    """All trainings on a dataset that its registered model has as versions."""
    found = []
    for version_ in _versions(client, dataset):
        tags = version_.tags
        if tags.get(f"{_TAG}dataset") != dataset:  # an experiment of the same name, say
            continue
        accuracy, pr_auc, loss = (
            tags.get(f"{_TAG}validation_{name}") for name in ("accuracy", "pr_auc", "loss")
        )
        score = pr_auc if accuracy is None else accuracy
        found.append(
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
    return found


def crown(client: Any, dataset: str) -> Verdict:
    """Put the alias `champion` of a dataset's model where the rule says, and write down why."""
    verdict = choose_champion(contenders(client, dataset))
    aliases = client.get_registered_model(dataset).aliases
    before = str(aliases[CHAMPION]) if CHAMPION in aliases else None  # a number, from sqlite
    champion = str(verdict.champion.version) if verdict.champion is not None else None
    if champion != before:
        if before is not None:
            client.update_model_version(dataset, before, f"Champion until: {verdict.reason}.")
        if champion is None:
            client.delete_registered_model_alias(dataset, CHAMPION)
        else:
            client.set_model_version_tag(dataset, champion, f"{_TAG}champion", verdict.reason)
            client.update_model_version(dataset, champion, f"Champion: {verdict.reason}.")
            client.set_registered_model_alias(dataset, CHAMPION, champion)
    client.update_registered_model(
        dataset,
        f"Trainings of all experiments on the dataset {dataset}. Champion: {RULE}.\n\n"
        f"Now: {verdict.reason}.",
    )
    return verdict


def _versions(client: Any, name: str) -> list[Any]:
    found: list[Any] = []
    token = None
    while True:
        page = client.search_model_versions(f"name = '{name}'", page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _public_version(name: str) -> str:
    """Without the local part, which no index has: `2.11.0`, not `2.11.0+cpu`."""
    return version(name).partition("+")[0]
