"""Where the initial weights of an experiment come from: nowhere, a file, or another experiment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from melgraph.assets.partitions import SPECS
from melgraph.assets.settings import weights_folder
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.files import file_sha256
from melgraph.storage.records import Reference, Spec

TRAINED, CHECKPOINT = "trained_models", "checkpoint"


def weights_inputs(store: ArtifactStore, recipe: Mapping[str, Any]) -> tuple[Reference, ...]:
    """The trained model that a recipe starts from, where it names an experiment.

    Raises:
        ArtifactMissing: it is not trained yet.
    """
    name = recipe["model"]["weights"]
    return (store.need(TRAINED, name).reference,) if name in SPECS.experiments else ()


def weights_config(store: ArtifactStore, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The file that a recipe starts from, by its bytes; empty where there is none.

    Raises:
        UserError: there is no such file, and it cannot be had.
    """
    path = _file(store, recipe)
    return {} if path is None else {"weights_sha256": file_sha256(path)}


def weights_path(store: ArtifactStore, spec: Spec, recipe: Mapping[str, Any]) -> Path | None:
    """What to load before training: a file, a checkpoint's folder, or None for nothing.

    Args:
        store: of the artifacts.
        spec: of what is trained; names the model where the recipe starts from an experiment.
        recipe: of the experiment.

    Raises:
        UserError: the file is gone, or is no longer the one of the spec.
    """
    if recipe["model"]["weights"] in SPECS.experiments:
        (start,) = (r for r in spec.inputs if r.asset == TRAINED)
        return store.get(start).folder / CHECKPOINT
    path = _file(store, recipe)
    if path is not None and file_sha256(path) != spec.config["weights_sha256"]:
        from melgraph.ml.errors import UserError

        raise UserError(
            "the file of initial weights is no longer the one this was planned with",
            where=str(path),
            remedy="put the file back, or materialize again with the new one",
        )
    return path


def _file(store: ArtifactStore, recipe: Mapping[str, Any]) -> Path | None:
    model = recipe["model"]
    if model["weights"] == "none" or model["weights"] in SPECS.experiments:
        return None
    from melgraph.ml.weights.initial import locate_weights

    folder = weights_folder(store.home)
    return locate_weights(model["weights"], model["architecture"], model["options"], folder)
