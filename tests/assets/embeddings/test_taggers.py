"""Published taggers as encoders and their tags, in a home."""

import numpy as np
import pytest
import torch

from melgraph.assets.embeddings import embeddings, encoders, tags
from melgraph.assets.embeddings.cost import hours_to_embed, told_cost
from melgraph.assets.partitions import SPECS
from melgraph.ml.errors import UserError
from melgraph.ml.inference.tagging import load_tagger, tag_waveforms
from melgraph.ml.weights import checkpoints
from melgraph.storage.errors import StorageError
from melgraph.storage.spectrogram_store import SpectrogramStore
from melgraph.storage.tables import read_table
from tests.conftest import write_tiny_tagger

BATCH = "batch-000001"
pytestmark = pytest.mark.usefixtures("small_specs")


def test_the_weights_are_kept_in_the_encoder(made_home):
    store = made_home.store
    encoder = store.need("encoders", "tiny-tagger")
    assert (encoder.facts["kind"], encoder.facts["dimension"]) == ("tagger", 16)
    assert encoder.facts["multi_label"] is True
    kept, meta = checkpoints.load(encoder.folder / "checkpoint")
    published, _ = load_tagger(SPECS.taggers["tiny"], made_home.root / "weights")
    assert kept.state_dict().keys() == published.state_dict().keys()
    for name, value in published.state_dict().items():
        assert torch.equal(kept.state_dict()[name], value)
    assert meta["classes"] == list(SPECS.taggers["tiny"].tags)
    assert float(encoder.record.run["seconds_per_audio_minute"]) > 0


def test_tags_are_those_of_the_waveforms(made_home):
    store = made_home.store
    table = read_table(store.need("tags", f"tiny-tagger+{BATCH}").folder / tags.TABLE)
    names = list(SPECS.taggers["tiny"].tags)
    assert table.columns == ["track_id", *names]
    waveforms = SpectrogramStore(store.need("waveforms", BATCH).folder / "spectrograms.zarr")
    ids = table["track_id"].to_list()
    assert sorted(ids) == sorted(waveforms.track_ids)
    model, _ = load_tagger(SPECS.taggers["tiny"], made_home.root / "weights")
    expected = tag_waveforms(model, [waveforms.track(i) for i in ids])
    np.testing.assert_allclose(table.select(names).to_numpy(), expected, atol=1e-5)
    vectors = read_table(store.need("embeddings", f"tiny-tagger+{BATCH}").folder / "tracks.parquet")
    assert vectors["track_id"].to_list() == ids
    assert vectors["vector"].dtype.shape == (16,)


def test_trained_experiments_tag_their_classes_and_statistics_say_why_not(made_home):
    store = made_home.store
    table = read_table(store.need("tags", f"small-cnn+{BATCH}").folder / tags.TABLE)
    classes = store.need("encoders", "small-cnn").facts["classes"]
    assert table.columns == ["track_id", *classes]
    np.testing.assert_allclose(table.select(classes).to_numpy().sum(axis=1), 1, atol=1e-5)
    for name in ("mel-statistics", "audio-features"):
        none = store.need("tags", f"{name}+{BATCH}")
        assert (none.facts["tracks"], none.facts["tags"]) == (0, [])
        assert name in none.facts["why"]


def test_tabular_features_are_standardised(made_home):
    table = read_table(
        made_home.store.need("embeddings", f"audio-features+{BATCH}").folder / "tracks.parquet"
    )
    vectors = table["vector"].to_numpy()
    assert vectors.shape[1] == made_home.store.need("audio_features", BATCH).facts["features"]
    assert np.abs(vectors.mean(axis=0)).max() < 0.5  # of the dataset, which is most of the batch
    assert 0.5 < np.median(vectors.std(axis=0)) < 1.5


def test_weights_that_are_gone_or_altered(home_copy, tmp_path):
    """What is frozen goes on; what would be frozen anew is refused, or is another version."""
    home = home_copy()
    store, before = home.store, home.store.need("encoders", "tiny-tagger")
    path = home.root / "weights" / "tiny.pth"
    path.unlink()
    with pytest.raises(UserError, match=r"'tiny.pth' are not there"):
        encoders.encoder_spec(store, "tiny-tagger")
    spec = embeddings.embedding_spec(store, "tiny-tagger", BATCH)  # needs the frozen one alone
    assert store.current_reference(spec.asset, spec.partition) == spec.reference
    write_tiny_tagger(path)
    state = torch.load(path, weights_only=True)
    state["dense2.bias"] += 1
    torch.save(state, path)
    assert encoders.encoder_spec(store, "tiny-tagger").version != before.reference.version
    weights = before.folder / "checkpoint" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(content)
    with pytest.raises((UserError, StorageError), match="SHA-256"):
        store.produce(
            embeddings.embedding_spec(store, "tiny-tagger", BATCH).__class__(
                "embeddings", f"tiny-tagger+{BATCH}", 99, spec.inputs
            ),
            lambda work: embeddings.write_embeddings(store, work),
        )


def test_the_cost_is_told_before_it_is_paid(home_copy):
    home = home_copy()
    store = home.store
    encoder = store.need("encoders", "tiny-tagger")
    assert hours_to_embed(store, encoder) == (0, 0.0)
    assert "nothing to do" in told_cost(store, encoder)
    (home.root / "artifacts" / "embeddings" / f"tiny-tagger+{BATCH}" / "current").unlink()
    tracks, hours = hours_to_embed(store, encoder)
    facts = store.need("tracks", BATCH).facts
    assert (tracks, hours) == (facts["ok"], facts["hours"])
    assert f"{tracks} tracks" in told_cost(store, encoder)
    assert "times real time" in told_cost(store, encoder)
