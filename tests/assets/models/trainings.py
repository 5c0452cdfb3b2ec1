"""A copy of the made home in which a test trains experiments of its own, in this process."""

from pathlib import Path

from melgraph.assets.stage import Stage
from melgraph.assets.stages import DATASETS, EVALUATIONS, TRAINED_MODELS
from melgraph.storage.artifacts import Artifact
from tests.conftest import MadeHome, write_spec


def make(home: MadeHome, stage: Stage, partition: str) -> Artifact:
    """The artifact of a partition, planned and written now."""
    spec = stage.plan(home.context, partition)
    artifact, _ = home.store.produce(spec, lambda work: stage.write(home.store, work))
    return artifact


def make_dataset(home: MadeHome, name: str, **keys: object) -> Artifact:
    """Write the TOML file of a dataset, and make its snapshot."""
    write_spec(home.home, "datasets", name, title=name, **keys)
    return make(home, DATASETS, name)


def write_experiment(home: MadeHome, name: str, **keys: object) -> None:
    """Write the TOML file of an experiment."""
    write_spec(home.home, "experiments", name, title=name, **keys)


def train(home: MadeHome, name: str) -> Artifact:
    """The trained model of an experiment."""
    return make(home, TRAINED_MODELS, name)


def evaluate(home: MadeHome, name: str) -> Artifact:
    """The evaluation of a trained model."""
    return make(home, EVALUATIONS, name)


def write_labels(home: MadeHome, name: str, labels: dict[str, str]) -> Path:
    """Write a table of labels, path -> label, below the home."""
    table = home.root / "metadata" / f"{name}.csv"
    table.parent.mkdir(exist_ok=True)
    rows = [f'"{path}",{label}' for path, label in sorted(labels.items())]
    table.write_text("\n".join(["path,labels", *rows]) + "\n")
    return table
