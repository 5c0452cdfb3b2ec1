"""The initial weights of an experiment: random, from a file, or from another experiment.

Planning reads the current TOML files. Training reads only the spec of the artifact, so a model can
be reproduced even if the TOML of the experiment that it started from was deleted.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from melgraph.assets.context import Context
from melgraph.assets.models.trained_model import TrainedModel
from melgraph.assets.settings import weights_folder
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.files import file_sha256
from melgraph.storage.home import Home
from melgraph.storage.records import Reference, Spec


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
    """The SHA-256 of the file that a recipe starts from; empty if it names no file.

    Raises:
        UserError: the file does not exist and cannot be downloaded.
    """
    name = recipe["model"]["weights"]
    if name == "none" or name in context.specs.experiments:
        return {}
    return {"weights_sha256": file_sha256(_file(context.home, recipe))}


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


def _file(home: Home, recipe: Mapping[str, Any]) -> Path:
    from melgraph.ml.weights.initial import locate_weights

    model = recipe["model"]
    folder = weights_folder(home)
    return locate_weights(model["weights"], model["architecture"], model["options"], folder)
