"""From an audio file to the input of a trained model, as its checkpoint describes it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from melgraph.ml.features.track_features import feature_names
from melgraph.ml.inference.track_set import StackedChannels
from melgraph.ml.representations.analysis import analyse
from melgraph.ml.representations.registry import FEATURES, STFT, from_attributes
from melgraph.ml.specs.model_input import ARRAYS


def input_of_file(path: Path, described: Mapping[str, Any]) -> Any:
    """The array of one file, as the store would hold it: `[frame, bin]`, `[sample]` and so on.

    Args:
        path: of the audio file.
        described: `input` of a checkpoint's meta: `representation`, `channels`, `transform`.

    Raises:
        BadAudio: as `ml.representations.analysis.analyse`.
    """
    name = described["representation"]
    transform = from_attributes(name, described["transform"])
    analysis = analyse(path, {name: transform})
    if name == FEATURES:
        assert analysis.features is not None
        columns = feature_names(transform)
        return np.array([[analysis.features[column] for column in columns]], np.float32)
    arrays = analysis.arrays[name]
    if name != STFT:
        return arrays["values"]
    chosen = [arrays[ARRAYS[channel]] for channel in described["channels"]]
    return chosen[0] if len(chosen) == 1 else StackedChannels(chosen)
