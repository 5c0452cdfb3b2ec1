"""Embeddings of sounds and of held-out recordings, and which recordings are references."""

import numpy as np
import polars as pl
import pytest
import soundfile

from melgraph.assets.generation.models.embedding import (
    SONGS_PER_GENRE,
    SoundEmbedder,
    chosen_references,
)
from melgraph.assets.generation.models.generative_model import GenerativeModel
from melgraph.assets.generation.selection import HELD_OUT
from melgraph.assets.models.vectors.published_weights import published_weights


@pytest.fixture
def embedder(made_home) -> SoundEmbedder:
    return SoundEmbedder(made_home.home, published_weights(made_home.context, "tiny"), "tiny")


def test_references_are_of_the_genres_and_at_most_60_of_each():
    labels = ["rock"] * (SONGS_PER_GENRE + 5) + ["pop"] * 3 + ["jazz"] * 3 + [None]
    ids = [f"{number:03d}" for number in range(len(labels))]
    table = pl.DataFrame({"track_id": ids, "label": labels})
    shuffled = table.sample(fraction=1.0, shuffle=True, seed=0)
    references = chosen_references(shuffled, ["pop", "rock"])
    assert references.filter(label="rock")["track_id"].to_list() == ids[:SONGS_PER_GENRE]
    assert references.filter(label="pop")["track_id"].to_list() == ids[-7:-4]
    assert set(references["label"]) == {"pop", "rock"}
    assert references.equals(chosen_references(table, iter(["rock", "pop"])))


def test_a_recording_is_embedded_as_its_crops_are(made_home, embedder):
    snapshot = GenerativeModel.current(made_home.store, "tiny-flow").snapshot
    table = snapshot.table().filter(pl.col("split").is_in(HELD_OUT)).head(2)
    embeddings = [segments for _, segments in embedder.of_recordings(table, 1.0)]
    for path, segments in zip(table["path"], embeddings, strict=True):
        samples, rate = soundfile.read(made_home.library / path, dtype="float32", always_2d=True)
        mono = samples.mean(axis=1)
        starts = (0, (len(mono) - rate) // 2, len(mono) - rate)  # the first, the middle, the last
        crops = [embedder.segments(mono[start:][:rate], rate) for start in starts]
        assert segments.dtype == np.float32
        np.testing.assert_allclose(segments, np.concatenate(crops), rtol=1e-3, atol=1e-4)
        assert not np.allclose(crops[0], crops[1], atol=1e-3)


def test_a_recording_shorter_than_a_crop_is_one_crop(made_home, embedder, monkeypatch):
    lengths = []

    def segments(mono, rate):
        lengths.append(len(mono) / rate)
        return np.zeros((2, 3), np.float32)

    monkeypatch.setattr(embedder, "segments", segments)
    table = GenerativeModel.current(made_home.store, "tiny-flow").snapshot.table().head(1)
    ((_, embeddings),) = embedder.of_recordings(table, 10.0)
    assert embeddings.shape == (2, 3)
    assert lengths == [pytest.approx(table["duration_s"][0], abs=0.01)]


def test_sounds_of_any_rate_are_embedded_one_by_one(embedder):
    rng = np.random.default_rng(0)
    sounds = [(rng.normal(0, 0.1, rate).astype(np.float32), rate) for rate in (16000, 44100)]
    embeddings = embedder.of_sounds(iter(sounds))
    assert [one.ndim for one in embeddings] == [2, 2]
    assert embeddings[0].shape[1] == embeddings[1].shape[1]
    np.testing.assert_array_equal(embeddings[0], embedder.segments(*sounds[0]))
