"""Each of the seven taggers is trained as an experiment is: on genres, and on tags."""

import numpy as np
import pytest

from melgraph.ml.inference.track_set import TrackSet
from melgraph.ml.inference.tracks import embed_tracks, predict_tracks
from melgraph.ml.models import build
from melgraph.ml.models.tagger import FULL_SCALE
from melgraph.ml.specs.training import TrainingConfig
from melgraph.ml.training.fitting import fit
from melgraph.ml.training.setup import TrainingSetup
from melgraph.ml.weights import checkpoints
from melgraph.ml.weights.published_taggers import PUBLISHED
from tests.ml.models.test_conformance import TAKES

TRACKS = 8
CONFIG = TrainingConfig(
    epochs=4, batch_size=8, crops_per_track=2, learning_rate=3e-3, augment=[], patience=None,
    validation_segments=1,
)  # fmt: skip


def waveforms(frames):
    """Half of them a low tone, half of them noise: int16 `[sample]`."""
    rng = np.random.default_rng(0)
    time = np.arange(frames + 4000) / 16000
    found = []
    for track in range(TRACKS):
        tone = 8000 * np.sin(2 * np.pi * (200 + 20 * track) * time)
        noise = rng.normal(0, 3000, len(time))
        found.append((tone + 100 * noise / 3000 if track % 2 else noise).astype(np.int16))
    return found


@pytest.mark.parametrize("several", [False, True], ids=["genres", "tags"])
@pytest.mark.parametrize("architecture", sorted(PUBLISHED))
def test_a_tagger_learns_on_our_data(architecture, several, tmp_path):
    shape, options = TAKES[architecture][0]
    tonal = np.arange(TRACKS) % 2
    labels = np.stack([tonal, 1 - tonal], axis=1).astype(np.float32)
    tracks = TrackSet(waveforms(shape.frames), labels if several else tonal.astype(np.int64))
    classes = ["tonal", "noisy"]

    def fresh():
        return build(architecture, shape, n_classes=len(classes), seed=0, **options, dropout=0.0)

    model, result = fit(fresh, TrainingSetup(tracks, CONFIG, 0, validation=tracks))
    losses = [epoch["train_loss"] for epoch in result.curves]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    assert model.multi_label is several
    assert model.std.item() == FULL_SCALE  # heard as the papers do, whatever the tracks' level
    found = predict_tracks(model, tracks.arrays)
    assert found.shape == (TRACKS, len(classes))
    if not several:
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    meta = {
        "classes": classes,
        "input": {"representation": "waveforms", "channels": ["amplitude"], "transform": {}},
    }
    checkpoints.save(tmp_path, model, meta)
    again, _ = checkpoints.load(tmp_path)
    vectors = embed_tracks(again, tracks.arrays).vectors
    assert vectors.shape == (TRACKS, model.embedding_dim)
    np.testing.assert_array_equal(predict_tracks(again, tracks.arrays), found)
