"""The network of an experiment with its initial weights: random, from a file or an experiment.

`model_builder` is how every training makes its network: of an experiment, of the folds of its
cross-validation, and of the trials of studies. No setting of the experiment can be lost on the way.

Planning reads the current TOML files. Training reads only the spec of the artifact, so a model can
be reproduced even if the TOML of the experiment that it started from was deleted.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from melgraph.assets.context import Context
from melgraph.assets.models.trained_model import TrainedModel
from melgraph.assets.settings import weights_folder
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.files import file_sha256
from melgraph.storage.home import Home
from melgraph.storage.records import Reference, Spec

if TYPE_CHECKING:
    from melgraph.ml.models import Classifier, InputShape


def weights_inputs(context: Context, recipe: Mapping[str, Any]) -> tuple[Reference, ...]:
    """The trained model that a recipe starts from; empty unless it names an experiment.

    Raises:
        ArtifactMissing: that experiment is not trained yet.
    """
    name = recipe["model"]["weights"]
    if name not in context.specs.experiments:
        return ()
    return (TrainedModel.current(context.store, name).reference,)


def weights_config(context: Context, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What the initial weights add to the configuration; empty for random weights.

    This is the SHA-256 of a file; and for an experiment, how held-out tracks are chosen. Without
    this key, trainings that held out what their initial weights had seen would count as current.

    Raises:
        UserError: the file does not exist and cannot be downloaded; or it is a checkpoint of this
            home, of which only the name of the experiment tells what it was trained on.
    """
    name = recipe["model"]["weights"]
    if name == "none":
        return {}
    if name in context.specs.experiments:
        return {"held_out": "not seen by the initial weights"}
    path = _file(context.home, recipe)
    sha256 = file_sha256(path)
    _refuse_own_checkpoint(context.store, path, sha256)
    return {"weights_sha256": sha256}


def model_builder(
    store: ArtifactStore,
    training: Spec,
    recipe: Mapping[str, Any],
    shape: "InputShape",
    *,
    n_classes: int,
) -> "Callable[[], Classifier]":
    """A function that makes a fresh network, with the initial weights that a training starts from.

    Args:
        store: of the artifacts.
        training: the spec of the training. It names the seed, and the model or the file that the
            training starts from.
        recipe: of the experiment, or of the trial.
        shape: of a crop.
        n_classes: classes of the dataset.

    Raises:
        UserError: the file of initial weights is missing, or its bytes are not those of the spec.
    """
    from melgraph.ml.weights.experiment_model import build_model

    return partial(
        build_model,
        recipe,
        shape,
        n_classes=n_classes,
        seed=training.seed or 0,
        weights=weights_path(store, training, recipe),
    )


def weights_path(store: ArtifactStore, spec: Spec, recipe: Mapping[str, Any]) -> Path | None:
    """The file or the checkpoint folder to load before training; None for random weights.

    Args:
        store: of the artifacts.
        spec: of the training; names the model if the recipe starts from an experiment.
        recipe: of the experiment.

    Raises:
        UserError: the file is missing, or its bytes are not those of the spec.
    """
    if models := TrainedModel.inputs_of(store, spec):
        (initial_model,) = models
        return initial_model.checkpoint_folder
    if recipe["model"]["weights"] == "none":
        return None
    path = _file(store.home, recipe)
    if file_sha256(path) != spec.config["weights_sha256"]:
        raise UserError(
            "the file of initial weights is no longer the one this was planned with",
            where=str(path),
            remedy="restore the file, or materialize again to train with the new one",
        )
    return path


def _refuse_own_checkpoint(store: ArtifactStore, path: Path, sha256: str) -> None:
    """Refuse a file that an experiment of this home has written, by its place or its bytes."""
    name = None
    if path.resolve().is_relative_to(store.root.resolve()):
        name = path.resolve().relative_to(store.root.resolve()).parts[1]
    for model in TrainedModel.all_current(store):
        if sha256 in (digest for digest, _ in dict(model.artifact.record.files).values()):
            name = model.name
    if name is not None:
        raise UserError(
            f"the initial weights are a file of the experiment {name!r}; only the name of the "
            "experiment tells which tracks they were trained on",
            where=f"model.weights: {path}",
            remedy=f'set weights = "{name}"',
        )


def _file(home: Home, recipe: Mapping[str, Any]) -> Path:
    from melgraph.ml.weights.initial import locate_weights

    model = recipe["model"]
    folder = weights_folder(home)
    return locate_weights(model["weights"], model["architecture"], model["options"], folder)
