"""How an encoder computes the vectors of tracks and of their segments."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from melgraph.assets.embeddings.encoder import Encoder
from melgraph.assets.models.trained_model import device
from melgraph.assets.stages import AUDIO_FEATURES
from melgraph.assets.ui import progress_bar
from melgraph.ml.features.mel_statistics import mel_statistics

SEGMENT_FRAMES = 129  # 3 s of a mel spectrogram, for encoders that define no segment length
BATCH_S = {"cpu": 60.0, "cuda": 900.0}  # seconds of audio per forward pass, to bound the memory


def segment_frames(representation: str) -> int:
    """Frames of a segment, for encoders without a network."""
    return 1 if representation == AUDIO_FEATURES.name else SEGMENT_FRAMES


def embed(
    model: Any,
    arrays: Sequence[Any],
    config: Mapping[str, Any],
    crop_s: float,
    progress: Any = None,
) -> Any:
    """Run `embed_tracks` with the settings of an encoder, in batches of at most `BATCH_S` seconds.

    Args:
        model: the network.
        arrays: per track, as the network takes it.
        config: of the encoder: `layer` and `pooling`.
        crop_s: length of a segment in seconds.
        progress: called with the number of finished segments and of all segments.

    Returns:
        `melgraph.ml.inference.tracks.EmbeddedTracks`.
    """
    from melgraph.ml.inference.tracks import EMBEDDING, embed_tracks

    name = device()
    return embed_tracks(
        model,
        arrays,
        layer=config.get("layer", EMBEDDING),  # encoders of an older melgraph name no layer
        pooling=config.get("pooling", "mean"),
        batch_size=max(1, int(BATCH_S[name] / crop_s)),
        device=name,
        progress=progress,
    )


def encode(encoder: Encoder, arrays: list[np.ndarray], network: Any = None) -> Any:
    """Vectors of tracks and of their segments.

    Args:
        encoder: a committed encoder.
        arrays: per track, of the representation and channels of `encoder.input`.
        network: of the encoder, if it is loaded already.

    Returns:
        `melgraph.ml.inference.tracks.EmbeddedTracks`.

    Raises:
        UserError: the checkpoint of the encoder is missing or was altered.
    """
    model = encoder.network() if network is None else network
    if model is None:
        return _statistics(encoder, arrays)
    with progress_bar(1, "segments", f"embedding with {encoder.name}") as bar:

        def show_progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return embed(model, arrays, encoder.spec.config, encoder.crop_s, show_progress)


def _statistics(encoder: Encoder, arrays: list[np.ndarray]) -> Any:
    """Mel statistics or audio features, standardised by their mean and deviation in a dataset."""
    from melgraph.ml.inference.tracks import EmbeddedTracks, segment_starts

    with np.load(encoder.statistics) as statistics:
        mean, deviation = statistics["mean"], statistics["deviation"]
    features = encoder.input.representation == AUDIO_FEATURES.name
    length = encoder.segment_frames

    def standardised(views: list[np.ndarray]) -> np.ndarray:
        vectors = [view[0] if features else mel_statistics(view) for view in views]
        stacked = np.asarray(vectors, np.float32).reshape(-1, len(mean))
        return ((stacked - mean) / deviation).astype(np.float32)

    starts = [segment_starts(len(view), crop_frames=length) for view in arrays]
    pairs = zip(arrays, starts, strict=True)
    return EmbeddedTracks(
        vectors=standardised(arrays),
        segment_vectors=standardised([view[s : s + length] for view, at in pairs for s in at]),
        segment_offsets=np.cumsum([0, *map(len, starts)], dtype=np.int64),
        segment_starts=np.concatenate([np.zeros(0, np.int64), *starts]).astype(np.int64),
    )
