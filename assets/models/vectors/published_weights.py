"""Published weights as part of the config of an artifact, and loaded from there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from melgraph.assets.context import Context
from melgraph.assets.settings import weights_folder
from melgraph.storage.files import file_sha256
from melgraph.storage.home import Home


def published_weights(context: Context, tagger: str) -> dict[str, Any]:
    """A published tagger as a part of a config: its spec, with the file that is used now.

    Raises:
        UserError: the weights are missing, or their SHA-256 is not the expected one.
    """
    from melgraph.ml.inference.tagging import tagger_file

    spec, folder = context.specs.taggers[tagger], weights_folder(context.home)
    path = tagger_file(spec, folder)
    published = spec.dump_for_version(mode="json", exclude={"title", "copies"})
    is_copy = path != folder / Path(spec.file).expanduser()
    name = path.relative_to(folder).as_posix() if is_copy else spec.file
    return published | {"file": name, "sha256": file_sha256(path)}


def weight_licences(config: Mapping[str, Any]) -> list[dict[str, str]]:
    """The licences of the weights that a config names: of taggers, or of initial weights.

    Args:
        config: of an encoder, a trained model or a trial.
    """
    from melgraph.ml.weights.licences import licence_entry

    published = dict(config.get("taggers", {}))
    if "published" in config:
        published[config["tagger"]] = config["published"]
    licences = [
        licence_entry(name, spec["sha256"], spec.get("licence")) for name, spec in published.items()
    ]
    if "weights_sha256" in config:
        model = config.get("recipe", config)["model"]
        stated = model.get("weights_licence")
        licences.append(licence_entry(model["weights"], config["weights_sha256"], stated))
    return licences


def load_published(home: Home, published: Mapping[str, Any], title: str) -> tuple[Any, Any]:
    """The tagger that `published_weights` described, and the meta of its checkpoint.

    Raises:
        UserError: its file is missing, or has other bytes now.
    """
    from melgraph.ml.inference.tagging import load_tagger
    from melgraph.ml.specs.encoder import TaggerSpec

    spec = TaggerSpec.model_validate({**published, "title": title})
    return load_tagger(spec, weights_folder(home))
