"""The input of a model, as its experiment describes it: one representation, or vectors."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from melgraph.assets.context import Context
from melgraph.assets.library.inputs import TrackInputs, input_references
from melgraph.assets.materialize import inputs_of
from melgraph.assets.models.trained_model import device
from melgraph.assets.models.vectors.published_weights import load_published, published_weights
from melgraph.assets.stages import REPRESENTATIONS
from melgraph.assets.ui import progress_bar
from melgraph.ml.specs.model_input import VECTORS, InputSpec
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.records import Reference, Spec, canonical_json

if TYPE_CHECKING:
    from melgraph.ml.inference.track_set import TrackSet
    from melgraph.ml.inference.vectors import TrackVector
    from melgraph.ml.models import InputShape

TAGGERS = "taggers"  # key of a config: the published taggers that its vectors come from
LEAST_STD = 1e-6  # of a dimension of a vector
MOST_KEPT = 20_000  # vectors in the memory of this process

# The vectors of this process: a training, its evaluation and the trials of a study need the same.
_VECTORS: dict[tuple[str, str], "TrackVector"] = {}


def model_input_references(
    context: Context, batches: Sequence[str], recipe: Mapping[str, Any]
) -> tuple[Reference, ...]:
    """The representations of these batches that the model of a recipe reads.

    Raises:
        ArtifactMissing: one was never materialized for one of the batches.
    """
    how = InputSpec.model_validate(recipe["input"])
    return tuple(
        reference
        for representation in how.representations(context.specs.taggers)
        for reference in input_references(context.store, batches, representation)
    )


def taggers_config(context: Context, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The published taggers that the input of a recipe needs; empty if it needs none.

    Raises:
        UserError: the weights of one are missing, or their SHA-256 is not the expected one.
    """
    taggers = InputSpec.model_validate(recipe["input"]).taggers
    if not taggers:
        return {}
    return {TAGGERS: {name: published_weights(context, name) for name in taggers}}


def open_inputs(
    store: ArtifactStore, spec: Spec, recipe: Mapping[str, Any]
) -> "TrackInputs | VectorInputs":
    """The tracks among the inputs of a spec, as the model of a recipe takes them.

    Args:
        store: of the artifacts.
        spec: with the representations among its inputs.
        recipe: of the experiment, with what `taggers_config` added to it.

    Raises:
        UserError: the weights of a tagger are missing, or are other ones now.
    """
    how = InputSpec.model_validate(recipe["input"])
    if how.representation != VECTORS:
        return TrackInputs(inputs_of(store, spec, REPRESENTATIONS[how.representation]), how)
    taggers = recipe.get(TAGGERS, {})
    loaded = {name: load_published(store.home, taggers[name], name) for name in how.taggers}
    read = {meta["input"]["representation"] for _, meta in loaded.values()}
    read |= set(how.feature_representations)
    inputs = {
        name: TrackInputs(inputs_of(store, spec, REPRESENTATIONS[name]), InputSpec.whole(name))
        for name in sorted(read)
    }
    return VectorInputs(how, loaded, inputs, canonical_json([recipe["input"], taggers]))


class VectorInputs:
    """The vectors of the tracks of several batches; used like `TrackInputs`.

    Attributes:
        how: the sources and the statistics.
        extractor: computes the vectors.
    """

    def __init__(
        self,
        how: InputSpec,
        taggers: Mapping[str, tuple[Any, Any]],
        inputs: Mapping[str, TrackInputs],
        identity: bytes,
    ) -> None:
        from melgraph.ml.inference.vectors import VectorExtractor

        transforms = {name: each.describe()["transform"] for name, each in inputs.items()}
        self.how, self._inputs = how, inputs
        self.extractor: VectorExtractor = VectorExtractor(how, taggers, transforms, device())
        self._key = hashlib.sha256(identity + canonical_json(transforms)).hexdigest()

    @property
    def bins(self) -> int:
        """The dimension of a vector."""
        return len(self.extractor.names)

    @property
    def shape(self) -> "InputShape":
        """The shape of a vector: its dimensions as bins, one frame."""
        from melgraph.ml.models import InputShape

        return InputShape(1, self.bins, 1)

    def vectors(self, batches: Sequence[str], track_ids: Sequence[str]) -> list["TrackVector"]:
        """The vector and the tags of each track, computed once per process.

        Args:
            batches: the track batch of each track.
            track_ids: the id of each track.

        Raises:
            ArtifactMissing: a representation of a batch does not contain the track.
        """
        if len(_VECTORS) > MOST_KEPT:
            _VECTORS.clear()
        with progress_bar(len(track_ids), "tracks", "vectors") as bar:
            for batch, track_id in zip(batches, track_ids, strict=True):
                if (self._key, track_id) not in _VECTORS:
                    arrays = {
                        name: each.tracks([batch], [track_id])[0]
                        for name, each in self._inputs.items()
                    }
                    _VECTORS[self._key, track_id] = self.extractor.extract(arrays)
                bar.update()
        return [_VECTORS[self._key, track_id] for track_id in track_ids]

    def track_set(self, table: pl.DataFrame, labels: np.ndarray) -> "TrackSet":
        """The tracks of a table with `batch`, `track_id` and `group`, with their labels."""
        from melgraph.ml.inference.track_set import TrackSet

        vectors = self.vectors(table["batch"].to_list(), table["track_id"].to_list())
        arrays = [each.vector[None] for each in vectors]
        groups = table["group"].to_numpy()
        return TrackSet(arrays, labels, LEAST_STD, groups, self.extractor.blocks)

    def describe(self) -> dict[str, Any]:
        """The description in a checkpoint, by which an audio file becomes a vector."""
        return self.extractor.describe()
