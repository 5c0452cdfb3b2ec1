"""Embeddings of sounds and of held-out recordings by a published tagger, for distances."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from melgraph.assets.generation.sources import read_excerpt
from melgraph.assets.models.trained_model import device
from melgraph.assets.models.vectors.published_weights import load_published
from melgraph.assets.ui import progress_bar
from melgraph.storage.errors import ArtifactCorrupt
from melgraph.storage.home import Home

if TYPE_CHECKING:
    from melgraph.ml.models.tagger import Tagger

REFERENCE_S = 30.0  # of a held-out recording, at most
CROPS_PER_SONG = 3
SONGS_PER_GENRE = 60  # held-out recordings of a genre, at most


class SoundEmbedder:
    """Embeds sounds with a published tagger.

    Args:
        home: with the folder of weights.
        published: the tagger, as `published_weights` describes it.
        name: of the tagger.

    Raises:
        UserError: the weights are missing, or are other ones now.
    """

    def __init__(self, home: Home, published: dict[str, Any], name: str) -> None:
        model, _meta = load_published(home, published, name)
        self._model: Tagger = model
        self._home = home

    def segments(self, mono: np.ndarray, rate: int) -> np.ndarray:
        """The embeddings of the segments of a sound: float32 `[segment, dimension]`.

        Args:
            mono: float32 `[sample]`.
            rate: Hz.
        """
        from melgraph.ml.audio import resample
        from melgraph.ml.inference.tracks import embed_tracks
        from melgraph.ml.representations.waveforms import quantise

        samples, _ = quantise(resample(mono, rate, self._model.sample_rate))
        embedded = embed_tracks(self._model, [samples], device=device())
        return embedded.segment_vectors

    def of_sounds(self, sounds: Iterable[tuple[np.ndarray, int]]) -> list[np.ndarray]:
        """The embeddings of several sounds."""
        return [self.segments(mono, rate) for mono, rate in sounds]

    def of_recordings(
        self, table: pl.DataFrame, crop_s: float
    ) -> list[tuple[dict[str, Any], np.ndarray]]:
        """The embeddings of recordings of the library: up to three crops of the first 30 s of each.

        Args:
            table: with `track_id` and `path`.
            crop_s: length of a crop. Sounds of another length would differ for that reason alone.

        Returns:
            The row of each recording, and its embeddings float32 `[segment, dimension]`. Recordings
            whose audio file is missing, or has another sound, are left out.
        """
        from melgraph.ml.audio import to_mono

        embeddings = []
        with progress_bar(table.height, "recordings", "held-out recordings") as bar:
            for row in table.iter_rows(named=True):
                bar.update()
                try:
                    source = read_excerpt(self._home, row, 0.0, REFERENCE_S)
                except ArtifactCorrupt:
                    continue
                mono, size = to_mono(source.samples), max(1, round(crop_s * source.sample_rate))
                starts = np.linspace(0, max(0, len(mono) - size), CROPS_PER_SONG).astype(np.int64)
                crops = [mono[start : start + size] for start in dict.fromkeys(starts.tolist())]
                of_crops = [self.segments(crop, source.sample_rate) for crop in crops]
                embeddings.append((row, np.concatenate(of_crops)))
        return embeddings


def chosen_references(held_out: pl.DataFrame, genres: Iterable[str]) -> pl.DataFrame:
    """The held-out recordings of some genres, at most 60 of each, sorted by id."""
    of_genres = held_out.filter(pl.col("label").is_in(list(genres))).sort("track_id")
    return of_genres.group_by("label", maintain_order=True).head(SONGS_PER_GENRE)
