"""What an encoder does with tracks: their vectors, and those of their segments."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from melgraph.assets.library import ingest
from melgraph.assets.materialize import input_of
from melgraph.assets.models.trained_models import TRAINED, checkpoint_of, device
from melgraph.assets.progress import progress_bar
from melgraph.ml.specs.model_input import InputSpec
from melgraph.storage.artifacts import Artifact, ArtifactStore

CHECKPOINT, STATISTICS = "checkpoint", "statistics.npz"
SEGMENT_FRAMES = 129  # 3 s of mel, for encoders that have no crop length of their own
BATCH_S = {"cpu": 60.0, "cuda": 900.0}  # seconds of audio in one forward pass: bounds the memory


def segment_frames(representation: str) -> int:
    """Frames of a segment, for encoders without a network."""
    return 1 if representation == ingest.FEATURES else SEGMENT_FRAMES


def input_of_encoder(encoder: Artifact) -> InputSpec:
    """What an encoder is given of each track."""
    described = encoder.facts["input"]
    names = ("representation", "channels", "crop_s")
    return InputSpec.model_validate({name: described[name] for name in names})


def network_of(store: ArtifactStore, encoder: Artifact) -> Any:
    """The network of an encoder, on this machine's device; None where it has none.

    Raises:
        UserError: its checkpoint is gone or altered.
    """
    from melgraph.ml.weights import checkpoints

    kind = encoder.record.spec.config["kind"]
    if kind == "tagger":
        return checkpoints.load(encoder.folder / CHECKPOINT, device())[0]
    if kind == "experiment":
        return checkpoint_of(input_of(store, encoder.record.spec, TRAINED))[0]
    return None


def embed(
    model: Any,
    arrays: Sequence[Any],
    config: Mapping[str, Any],
    crop_s: float,
    progress: Any = None,
) -> Any:
    """`embed_tracks` as an encoder's config asks, in batches of bounded seconds."""
    from melgraph.ml.inference.tracks import EMBEDDING, embed_tracks

    on = device()
    return embed_tracks(
        model,
        arrays,
        layer=config.get("layer", EMBEDDING),  # older encoders say nothing of it
        pooling=config.get("pooling", "mean"),
        batch_size=max(1, int(BATCH_S[on] / crop_s)),
        device=on,
        progress=progress,
    )


def encode(store: ArtifactStore, encoder: Artifact, arrays: list[np.ndarray]) -> Any:
    """Vectors of tracks and of their segments.

    Args:
        store: where the encoder's model is kept.
        encoder: a committed encoder.
        arrays: per track, as its `input` says.

    Returns:
        `ml.inference.tracks.EmbeddedTracks`.

    Raises:
        UserError: the checkpoint of the encoder is gone or altered.
    """
    model = network_of(store, encoder)
    if model is None:
        return _statistics(encoder, arrays)
    with progress_bar(1, "segments", f"embedding with {encoder.reference.partition}") as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        crop_s = encoder.facts["input"]["crop_s"]
        return embed(model, arrays, encoder.record.spec.config, crop_s, show)


def mel_statistics(spectrogram: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over time of each mel band: float32 `[2 * mel]`, dB."""
    wide = spectrogram.astype(np.float32)
    return np.concatenate([wide.mean(axis=0), wide.std(axis=0)])


def _statistics(encoder: Artifact, arrays: list[np.ndarray]) -> Any:
    """Statistics of the bands, or the features themselves, standardised by the dataset's."""
    from melgraph.ml.inference.tracks import EmbeddedTracks, segment_starts

    with np.load(encoder.folder / STATISTICS) as statistics:
        mean, deviation = statistics["mean"], statistics["deviation"]
    features = encoder.facts["input"]["representation"] == ingest.FEATURES
    length = encoder.facts["segment_frames"]

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
