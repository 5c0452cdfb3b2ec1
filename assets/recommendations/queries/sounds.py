"""Vectors and tags of an audio file that need not be in the library."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from melgraph.assets.embeddings.encoder import Encoder
from melgraph.assets.embeddings.encoding import encode
from melgraph.assets.embeddings.fusion import join
from melgraph.ml.audio import BadAudio
from melgraph.ml.embeddings.fusion import TrackVectors
from melgraph.ml.errors import UserError
from melgraph.storage.records import Reference


@dataclass(frozen=True)
class FileVectors:
    """The vectors of one audio file by one encoder.

    Attributes:
        vector: float32 `[dimension]`, of the whole file.
        segments: float32 `[segment, dimension]`.
        starts_s: float64 `[segment]`, in seconds.
        caution: that the file is shorter than a segment; None if it is not.
    """

    vector: NDArray[np.float32]
    segments: NDArray[np.float32]
    starts_s: NDArray[np.float64]
    caution: str | None = None


class FileEmbedder:
    """Embeds audio files, and predicts their tags. Many threads may use it at once.

    The networks stay loaded, so that the next file is embedded sooner.
    """

    def __init__(self) -> None:
        self._networks: dict[Reference, Any] = {}
        self._lock = threading.Lock()

    def embed(self, encoder: Encoder, path: Path) -> FileVectors:
        """Decode a file and embed it, as its track would be if it were in the library.

        Args:
            encoder: a committed encoder.
            path: of the audio file.

        Raises:
            UserError: the file cannot be used; the message holds the error code and the reason.
        """
        try:
            vectors, caution = self._vectors(encoder, path)
        except BadAudio as error:
            raise UserError(
                f"this file cannot be used ({error.code}: {error.reason})",
                where=str(path),
                remedy="docs/error-codes.md explains the code; ask with another file",
            ) from None
        except OSError as error:
            raise UserError(
                f"this file cannot be read ({error.strerror or error})",
                where=str(path),
                remedy="check its path and its permissions",
            ) from None
        return FileVectors(
            vectors.vectors[0], vectors.segment_vectors, vectors.segment_starts, caution
        )

    def tags(self, encoder: Encoder, vectors: FileVectors) -> NDArray[np.float32]:
        """Probabilities of the tags of an encoder, float32 `[tag]`.

        Args:
            encoder: a committed encoder with tags.
            vectors: of the file, by this encoder.
        """
        from melgraph.assets.models.trained_model import device
        from melgraph.ml.inference.tagging import probabilities
        from melgraph.ml.inference.tracks import EmbeddedTracks

        n_segments = len(vectors.segments)
        embedded = EmbeddedTracks(
            vectors=vectors.vector[None, :0],
            segment_vectors=np.array(vectors.segments, np.float32),
            segment_offsets=np.array([0, n_segments], np.int64),
            segment_starts=np.zeros(n_segments, np.int64),
        )
        network = self._network(encoder)
        scores: NDArray[np.float32] = probabilities(network, embedded, device=device())[0]
        return scores

    def _network(self, encoder: Encoder) -> Any:
        with self._lock:
            if encoder.reference not in self._networks:
                self._networks[encoder.reference] = encoder.network()
            return self._networks[encoder.reference]

    def _vectors(self, encoder: Encoder, path: Path) -> tuple[TrackVectors, str | None]:
        from melgraph.ml.inference.model_input import input_of_file
        from melgraph.ml.inference.short_clips import caution_of

        if encoder.is_fusion:
            parts = [self._vectors(part, path) for part in encoder.parts]
            cautions = [caution for _, caution in parts if caution is not None]
            return join(encoder, [vectors for vectors, _ in parts]), next(iter(cautions), None)
        array = input_of_file(path, encoder.facts["input"])
        caution = None
        if encoder.crop_s:  # encoders without a network take a file of any length
            caution = caution_of(len(array), encoder.segment_frames, encoder.crop_s)
        embedded = encode(encoder, [array], self._network(encoder))
        vectors = TrackVectors(
            vectors=np.asarray(embedded.vectors, np.float32),
            segment_vectors=np.asarray(embedded.segment_vectors, np.float32),
            segment_offsets=embedded.segment_offsets,
            segment_starts=embedded.segment_starts / (_frame_rate(encoder) or 1.0),
        )
        return vectors, caution


def _frame_rate(encoder: Encoder) -> float:
    """Frames per second of the representation of an encoder; 0 for tabular features."""
    from melgraph.ml.representations.registry import frames_per_second, from_attributes

    representation = encoder.input.representation
    return frames_per_second(representation, from_attributes(representation, encoder.transform))
