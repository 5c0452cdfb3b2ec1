"""The input of a trained model: from the arrays of a store, or from an audio file."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from melgraph.ml.features.track_features import feature_names
from melgraph.ml.inference.track_set import StackedChannels
from melgraph.ml.inference.vectors import load_extractor
from melgraph.ml.models.base import InputShape
from melgraph.ml.representations.analysis import Analysis, analyse
from melgraph.ml.representations.images import ImageMapping, ImageTrack
from melgraph.ml.representations.registry import FEATURES, frames_per_second, from_attributes
from melgraph.ml.specs.model_input import ARRAYS, VECTORS, InputSpec


def crop_frames(how: InputSpec, transform: Any) -> int:
    """Frames of a crop, as the representation is stored.

    Args:
        how: the input of the model.
        transform: that computed the representation.
    """
    return max(1, round(how.crop_s * frames_per_second(how.representation, transform)))


def crop_shape(how: InputSpec, transform: Any, bins: int) -> InputShape:
    """The shape of a crop, as the model is given it.

    Args:
        how: the input of the model.
        transform: that computed the representation.
        bins: of the representation, or the number of columns that are used.
    """
    if how.image is not None:
        return InputShape(how.n_channels, how.image, how.image)
    return InputShape(how.n_channels, bins, crop_frames(how, transform))


def track_input(arrays: Mapping[str, np.ndarray], how: InputSpec, transform: Any) -> Any:
    """A track as a model is given it: `[frame, bin]`, `[frame, bin, channel]` or `[sample]`.

    Nothing is copied or computed before a slice is taken, so the arrays may be memory maps.

    Args:
        arrays: of one track, by their names in the store.
        how: the input of the model.
        transform: that computed the representation.
    """
    channels: dict[str, Any] = {name: arrays[ARRAYS[name]] for name in how.channels}
    if how.image is not None:
        chunk_frames = crop_frames(how, transform)
        return ImageTrack(channels, ImageMapping(how.image), chunk_frames=chunk_frames)
    chosen = list(channels.values())
    return chosen[0] if len(chosen) == 1 else StackedChannels(chosen)


def file_reader(described: Mapping[str, Any], checkpoint: Path) -> Callable[[Path], Any]:
    """A function from the path of an audio file to the input of a model.

    Networks that the input needs are loaded once, here. The function raises `BadAudio` as
    `ml.representations.analysis.analyse` does.

    Args:
        described: `input` of the checkpoint's meta.
        checkpoint: the folder of the checkpoint, which holds the taggers of `vectors`.

    Raises:
        UserError: a tagger in the folder is missing or damaged.
    """
    if described["representation"] != VECTORS:
        return lambda path: input_of_file(path, described)
    extractor = load_extractor(described, checkpoint)
    return lambda path: extractor.extract(arrays_of_file(path, described)).vector[None]


def arrays_of_file(path: Path, described: Mapping[str, Any]) -> dict[str, Any]:
    """The representations of one file that vectors are computed from, as the stores hold them.

    Args:
        path: of the audio file.
        described: `input` of the meta of a checkpoint that takes vectors.

    Raises:
        BadAudio: as `ml.representations.analysis.analyse`.
    """
    transforms = {
        name: from_attributes(name, attributes)
        for name, attributes in described["transforms"].items()
    }
    analysis = analyse(path, transforms)
    return {name: _array(analysis, InputSpec.whole(name), how) for name, how in transforms.items()}


def input_of_file(path: Path, described: Mapping[str, Any]) -> Any:
    """The array of one file, as the store would hold it: `[frame, bin]`, `[sample]` and so on.

    Args:
        path: of the audio file.
        described: `input` of a checkpoint's meta: `representation`, `channels`, `transform`. Not
            of `vectors`, which need networks: see `file_reader`.

    Raises:
        BadAudio: as `ml.representations.analysis.analyse`.
    """
    how = InputSpec.of_description(described)
    transform = from_attributes(how.representation, described["transform"])
    return _array(analyse(path, {how.representation: transform}), how, transform)


def _array(analysis: Analysis, how: InputSpec, transform: Any) -> Any:
    """The array of a track for one representation among those of an analysis."""
    if how.representation == FEATURES:
        assert analysis.features is not None
        names = feature_names(transform)
        columns = [names[number] for number in how.select(names)]
        return np.array([[analysis.features[column] for column in columns]], np.float32)
    return track_input(analysis.arrays[how.representation], how, transform)
