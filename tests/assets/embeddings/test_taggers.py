"""Encoders of published taggers, their embeddings and their tags."""

import numpy as np
import pytest
import torch

from melgraph.assets.embeddings import embeddings, tags
from melgraph.assets.embeddings.cost import cost_sentence, hours_to_embed
from melgraph.assets.embeddings.embeddings import BatchEmbeddings
from melgraph.assets.embeddings.encoder import Encoder
from melgraph.assets.library.tracks import Tracks
from melgraph.assets.stages import EMBEDDINGS, ENCODERS
from melgraph.ml.errors import UserError
from melgraph.ml.inference.tagging import load_tagger, tag_waveforms
from melgraph.ml.weights import checkpoints
from melgraph.storage.errors import StorageError
from melgraph.storage.spectrogram_store import SpectrogramStore
from melgraph.storage.tables import read_table
from tests.conftest import write_tiny_tagger

BATCH = "batch-000001"


def test_the_encoder_has_a_copy_of_the_weights(made_home):
    store = made_home.store
    encoder = Encoder.current(store, "tiny-tagger")
    assert (encoder.kind, encoder.dimension) == ("tagger", 16)
    assert encoder.facts["multi_label"] is True
    copy, meta = checkpoints.load(encoder.artifact.folder / "checkpoint")
    published, _ = load_tagger(made_home.context.specs.taggers["tiny"], made_home.root / "weights")
    assert copy.state_dict().keys() == published.state_dict().keys()
    for name, value in published.state_dict().items():
        assert torch.equal(copy.state_dict()[name], value)
    assert meta["classes"] == list(made_home.context.specs.taggers["tiny"].tags)
    assert encoder.seconds_per_audio_minute > 0


def test_tags_are_those_of_the_waveforms(made_home):
    store = made_home.store
    table = read_table(store.need("tags", f"tiny-tagger+{BATCH}").folder / tags.TABLE)
    names = list(made_home.context.specs.taggers["tiny"].tags)
    assert table.columns == ["track_id", *names]
    waveforms = SpectrogramStore(store.need("waveforms", BATCH).folder / "spectrograms.zarr")
    ids = table["track_id"].to_list()
    assert sorted(ids) == sorted(waveforms.track_ids)
    model, _ = load_tagger(made_home.context.specs.taggers["tiny"], made_home.root / "weights")
    expected = tag_waveforms(model, [waveforms.track(i) for i in ids])
    np.testing.assert_allclose(table.select(names).to_numpy(), expected, atol=1e-5)
    vectors = BatchEmbeddings.current(store, f"tiny-tagger+{BATCH}").track_vectors()
    assert vectors["track_id"].to_list() == ids
    assert vectors["vector"].dtype.shape == (16,)


def test_experiments_predict_their_classes_and_statistics_predict_no_tags(made_home):
    store = made_home.store
    table = read_table(store.need("tags", f"small-cnn+{BATCH}").folder / tags.TABLE)
    classes = Encoder.current(store, "small-cnn").classes
    assert table.columns == ["track_id", *classes]
    np.testing.assert_allclose(table.select(classes).to_numpy().sum(axis=1), 1, atol=1e-5)
    for name in ("mel-statistics", "audio-features"):
        facts = store.need("tags", f"{name}+{BATCH}").facts
        assert (facts["tracks"], facts["tags"]) == (0, [])
        assert name in facts["why"]


def test_tabular_features_are_standardised(made_home):
    batch = BatchEmbeddings.current(made_home.store, f"audio-features+{BATCH}")
    vectors = batch.track_vectors()["vector"].to_numpy()
    assert vectors.shape[1] == made_home.store.need("audio_features", BATCH).facts["features"]
    assert np.abs(vectors.mean(axis=0)).max() < 0.5  # most of the batch is in the dataset
    assert 0.5 < np.median(vectors.std(axis=0)) < 1.5


def test_missing_or_altered_weights(home_copy, tmp_path):
    """A frozen encoder still embeds. Freezing again is refused, or gives another version."""
    home = home_copy()
    store, before = home.store, home.store.need("encoders", "tiny-tagger")
    path = home.root / "weights" / "tiny.pth"
    path.unlink()
    with pytest.raises(UserError, match=r"'tiny.pth' are missing"):
        ENCODERS.plan(home.context, "tiny-tagger")
    spec = EMBEDDINGS.plan(home.context, f"tiny-tagger+{BATCH}")  # needs only the frozen encoder
    assert store.current_reference(spec.asset, spec.partition) == spec.reference
    write_tiny_tagger(path)
    state = torch.load(path, weights_only=True)
    state["dense2.bias"] += 1
    torch.save(state, path)
    assert ENCODERS.plan(home.context, "tiny-tagger").version != before.reference.version
    weights = before.folder / "checkpoint" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(content)
    with pytest.raises((UserError, StorageError), match="SHA-256"):
        store.produce(
            EMBEDDINGS.plan(home.context, f"tiny-tagger+{BATCH}").__class__(
                "embeddings", f"tiny-tagger+{BATCH}", 99, spec.inputs
            ),
            lambda work: embeddings.write_embeddings(store, work),
        )


def test_the_cost_is_shown_before_the_work_starts(home_copy):
    home = home_copy()
    store = home.store
    encoder = Encoder.current(store, "tiny-tagger")
    assert hours_to_embed(encoder) == (0, 0.0)
    assert "nothing to do" in cost_sentence(encoder)
    (home.root / "artifacts" / "embeddings" / f"tiny-tagger+{BATCH}" / "current").unlink()
    tracks, hours = hours_to_embed(encoder)
    batch = Tracks.current(store, BATCH)
    assert (tracks, hours) == (batch.good, batch.hours)
    assert f"{tracks} tracks" in cost_sentence(encoder)
    assert "times real time" in cost_sentence(encoder)
