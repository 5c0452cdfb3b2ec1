"""Vectors of tracks from published taggers and feature sets, joined: the input of a probe.

The representations of a track go in, and one vector comes out. Training, evaluation and prediction
from a file all use `VectorExtractor`, so the same track always has the same vector.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from melgraph.ml.errors import UserError
from melgraph.ml.features.mel_statistics import mel_statistics
from melgraph.ml.features.track_features import feature_names
from melgraph.ml.inference.tracks import embed_tracks
from melgraph.ml.models.tagger import Tagger
from melgraph.ml.representations.registry import FEATURES, MEL, from_attributes
from melgraph.ml.specs.model_input import EMBEDDING, FEATURE_SETS, TAGS, InputSpec, VectorSource
from melgraph.ml.weights import checkpoints

BATCH_S = 60.0  # seconds of audio per forward pass of a tagger, to bound the memory
FOLDER = "taggers"  # in a checkpoint: the taggers whose vectors its model takes
STATISTICS: dict[str, Callable[..., Any]] = {
    "mean": np.mean,
    "deviation": np.std,
    "lowest": np.min,
    "highest": np.max,
}

LoadedTagger = tuple[Tagger, Mapping[str, Any]]
"""A tagger, and the meta of its checkpoint: `classes` are its tags."""


@dataclass(frozen=True)
class TrackVector:
    """What is computed of one track.

    Attributes:
        vector: float32 `[dimension]`, in the order of `VectorExtractor.names`.
        tags: float32 `[tag]`: the mean logits of the tags of all taggers, in the order of
            `VectorExtractor.tag_names`.
    """

    vector: np.ndarray
    tags: np.ndarray


class VectorExtractor:
    """Computes the vector of a track from its representations.

    Attributes:
        names: of the dimensions.
        blocks: how many dimensions each source has.
        tag_names: of all tags of all taggers.
        representations: the representations that a vector is computed from.

    Args:
        how: the sources and the statistics.
        taggers: name -> tagger, of at least `how.taggers`.
        transforms: representation -> its settings, as attributes of a store.
        device: torch device of the taggers.

    Raises:
        UserError: a tagger has no such layer, or a waveform has another sample rate than a tagger
            takes.
    """

    def __init__(
        self,
        how: InputSpec,
        taggers: Mapping[str, LoadedTagger],
        transforms: Mapping[str, Mapping[str, Any]],
        device: str = "cpu",
    ) -> None:
        self._how, self._device = how, device
        self._taggers = {name: taggers[name] for name in how.taggers}
        self.transforms = dict(transforms)
        for name, (model, meta) in self._taggers.items():
            model.to(device)
            _check_rate(name, model, transforms[meta["input"]["representation"]])
        read = [self._representation(source) for source in how.vector_sources]
        self.representations = list(dict.fromkeys(read))
        names = [self._names_of(source) for source in how.vector_sources]
        self.names = [name for of_source in names for name in of_source]
        self.blocks = tuple(map(len, names))
        self.tag_names = [
            f"{name}: {tag}" for name, (_, meta) in self._taggers.items() for tag in meta["classes"]
        ]

    def extract(self, arrays: Mapping[str, Any]) -> TrackVector:
        """The vector of one track.

        Args:
            arrays: representation -> the array of the track as stored: `[sample]`, `[frame, bin]`,
                or `[1, feature]`.
        """
        return self.extract_segments(arrays)[0]

    def extract_segments(self, arrays: Mapping[str, Any]) -> tuple[TrackVector, dict[str, Any]]:
        """The vector of one track, and the embeddings of its segments.

        Args:
            arrays: as for `extract`.

        Returns:
            The vector, and tagger -> float32 `[segment, dimension]`.
        """
        outputs = self._tagger_outputs(arrays)
        parts = []
        for source in self._how.vector_sources:
            array = None if source.is_tagger else arrays[FEATURE_SETS[source.name]]
            if array is None:
                parts.append(self._statistics_of(outputs[source]))
            else:
                parts.append(array[0] if source.name == FEATURES else mel_statistics(array[:]))
        tags = [outputs[VectorSource(name, TAGS)].mean(axis=0) for name in self._taggers]
        vector = TrackVector(
            np.concatenate(parts).astype(np.float32),
            np.concatenate([np.zeros(0), *tags]).astype(np.float32),
        )
        return vector, {name: outputs[VectorSource(name, EMBEDDING)] for name in self._taggers}

    def describe(self) -> dict[str, Any]:
        """The description in a checkpoint, from which `load_extractor` rebuilds this."""
        return {
            "representation": self._how.representation,
            "channels": list(self._how.channels),
            "crop_s": self._how.crop_s,
            "transform": {},
            "sources": list(self._how.sources),
            "statistics": list(self._how.statistics),
            "transforms": {name: dict(self.transforms[name]) for name in self.representations},
        }

    def save_taggers(self, checkpoint: Path) -> None:
        """Write the taggers into the folder of a checkpoint, so that it needs nothing besides."""
        for name, (model, meta) in self._taggers.items():
            checkpoints.save(checkpoint / FOLDER / name, model, dict(meta))

    def _tagger_outputs(self, arrays: Mapping[str, Any]) -> dict[VectorSource, np.ndarray]:
        """The outputs `[segment, dimension]` of the taggers, for each source and for all tags."""
        outputs: dict[VectorSource, np.ndarray] = {}
        for name, (model, meta) in self._taggers.items():
            array = arrays[meta["input"]["representation"]]
            batch_size = max(1, int(BATCH_S * model.sample_rate / model.shape.frames))
            layers = {s.output for s in self._how.vector_sources if s.name == name} - {TAGS}
            for layer in sorted(layers | {EMBEDDING}):
                embedded = embed_tracks(
                    model, [array], layer=layer, batch_size=batch_size, device=self._device
                )
                outputs[VectorSource(name, layer)] = embedded.segment_vectors
            embedding = outputs[VectorSource(name, EMBEDDING)]
            outputs[VectorSource(name, TAGS)] = tag_logits(model, embedding, self._device)
        return outputs

    def _statistics_of(self, segments: np.ndarray) -> np.ndarray:
        wide = segments.astype(np.float64)
        return np.concatenate([STATISTICS[name](wide, axis=0) for name in self._how.statistics])

    def _representation(self, source: VectorSource) -> str:
        if not source.is_tagger:
            return FEATURE_SETS[source.name]
        representation: str = self._taggers[source.name][1]["input"]["representation"]
        return representation

    def _names_of(self, source: VectorSource) -> list[str]:
        if source.name == FEATURES:
            options = from_attributes(FEATURES, self.transforms[FEATURES])
            return feature_names(options)
        if not source.is_tagger:
            n_mels = from_attributes(MEL, self.transforms[MEL]).n_mels
            return [f"{s} of mel band {i}" for s in ("mean", "deviation") for i in range(n_mels)]
        model, meta = self._taggers[source.name]
        if source.output == TAGS:
            of_output: Sequence[str] = [f"tag {tag}" for tag in meta["classes"]]
        else:
            silence = np.zeros(model.shape.frames, np.float32)
            embedded = embed_tracks(model, [silence], layer=source.output, device=self._device)
            of_output = [f"{source.output} {i}" for i in range(embedded.vectors.shape[1])]
        return [f"{source.name}: {statistic} of {name}"
                for statistic in self._how.statistics for name in of_output]  # fmt: skip


def load_extractor(described: Mapping[str, Any], checkpoint: Path) -> VectorExtractor:
    """The extractor of a checkpoint, with the taggers in its folder.

    Args:
        described: `input` of the checkpoint's meta.
        checkpoint: the folder of the checkpoint.

    Raises:
        UserError: a tagger in the folder is missing or damaged.
    """
    names = ("representation", "channels", "crop_s", "sources", "statistics")
    how = InputSpec.model_validate({name: described[name] for name in names})
    taggers: dict[str, LoadedTagger] = {}
    for name in how.taggers:
        model, meta = checkpoints.load(checkpoint / FOLDER / name)
        assert isinstance(model, Tagger)
        taggers[name] = model, meta
    return VectorExtractor(how, taggers, described["transforms"])


def tag_logits(model: Tagger, embedding: np.ndarray, device: str) -> np.ndarray:
    """The logits `[segment, tag]` of embeddings `[segment, dimension]`."""
    import torch

    with torch.inference_mode():
        logits: np.ndarray = model.classify(torch.from_numpy(embedding).to(device)).cpu().numpy()
    return logits


def _check_rate(name: str, model: Tagger, transform: Mapping[str, Any]) -> None:
    if transform["sample_rate"] != model.sample_rate:
        raise UserError(
            f"the tagger {name!r} takes a waveform at {model.sample_rate} Hz, but the stored one "
            f"has {transform['sample_rate']} Hz",
            where="input.sources of the experiment",
            remedy="remove sample_rate from specs/representations.toml of the home, and "
            "materialize the waveforms again",
        )
