"""From a tagger's file to tags."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.inference.tagging import (
    load_tagger,
    probabilities,
    strongest,
    tag_waveforms,
    tagger_file,
)
from melgraph.ml.inference.tracks import EmbeddedTracks, embed_tracks, predict_tracks
from melgraph.ml.models import InputShape, build
from melgraph.ml.specs import load_specs
from melgraph.ml.specs.encoder import EncoderSpec, TaggerSpec, in_service
from melgraph.ml.weights.files import check_digest
from tests.conftest import write_tiny_tagger

REAL = os.environ.get("MELGRAPH_REAL_DATA")
needs_real = pytest.mark.skipif(not REAL, reason="MELGRAPH_REAL_DATA is not set")
TAGS = ("genre---blues", "genre---rock", "instrument---piano")


@pytest.fixture
def folder(tmp_path):
    write_tiny_tagger(tmp_path / "tiny.pth")
    return tmp_path


def spec(**changes):
    known = {"title": "x", "architecture": "musicnn", "file": "tiny.pth", "tags": TAGS}
    return TaggerSpec.model_validate(known | changes)


def noise(seconds, seed=0):
    samples = np.random.default_rng(seed).normal(0, 3000, round(seconds * 16000))
    return samples.astype(np.int16)


def test_a_track_is_the_mean_of_its_segments_sigmoids(folder):
    model, meta = load_tagger(spec(), folder)
    samples = noise(6.0)
    found = tag_waveforms(model, [samples, noise(1.0)])
    assert (found.shape, found.dtype) == ((2, 3), np.float32)
    x = torch.from_numpy(samples.astype(np.float32)).reshape(2, 1, 1, 48000)
    with torch.inference_mode():
        expected = torch.sigmoid(model(x)).mean(dim=0).numpy()
    np.testing.assert_allclose(found[0], expected, atol=1e-6)
    assert meta["classes"] == list(TAGS)
    assert meta["input"]["crop_s"] == 3.0
    assert meta["input"]["transform"]["sample_rate"] == 16000


def test_the_segments_of_an_embedded_track_vote_as_those_of_a_predicted_one():
    model = build("small_cnn", InputShape(1, 16, 20), n_classes=3, channels=(8, 8), seed=1)
    model.aggregate = "vote"
    rng = np.random.default_rng(3)
    tracks = [rng.normal(0, 30, (n, 16)).astype(np.float32) for n in (60, 20, 100)]
    by_embedding = probabilities(model, embed_tracks(model, tracks))
    np.testing.assert_allclose(by_embedding, predict_tracks(model, tracks), atol=1e-6)
    model.aggregate = "mean"
    assert np.abs(predict_tracks(model, tracks) - by_embedding).max() > 0.01


def test_a_scarce_remainder_is_not_heard_twice():
    model = build("waveform_cnn", InputShape(1, 1, 1000), n_classes=2, width=8)
    lengths = {
        900: [0],
        1000: [0],
        1400: [0],
        1600: [0, 600],
        2499: [0, 1000],
        2500: [0, 1000, 1500],
    }
    found = embed_tracks(model, [np.ones(n, np.int16) for n in lengths])
    for row, starts in enumerate(lengths.values()):
        at = slice(*found.segment_offsets[row : row + 2])
        assert found.segment_starts[at].tolist() == starts


def test_single_label_models_answer_softmax():
    model = build("waveform_cnn", InputShape(1, 1, 1000), n_classes=4, width=8)
    found = embed_tracks(model, [noise(0.2), noise(0.1)])
    scores = probabilities(model, found)
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-6)
    none = EmbeddedTracks(
        found.vectors[:0], found.segment_vectors[:0], np.zeros(1, int), np.zeros(0)
    )
    assert probabilities(model, none).shape == (0, 4)


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_another_layer_gives_its_pooled_channels(folder, pooling):
    model, _ = load_tagger(spec(), folder)
    found = embed_tracks(model, [noise(3.0)], layer="timbre2", pooling=pooling)
    seen = []
    hook = model.layers()["timbre2"].register_forward_hook(lambda _m, _i, out: seen.append(out))
    with torch.inference_mode():
        model(torch.from_numpy(noise(3.0).astype(np.float32))[None, None, None])
    hook.remove()
    pooled = seen[0].mean(dim=(2, 3)) if pooling == "mean" else seen[0].amax(dim=(2, 3))
    np.testing.assert_allclose(found.vectors, pooled.numpy(), rtol=1e-5)
    with pytest.raises(UserError, match="no layer 'conv9'") as caught:
        embed_tracks(model, [noise(3.0)], layer="conv9")
    assert "timbre1" in caught.value.remedy


def test_what_is_wrong_with_the_weights_is_told(folder):
    with pytest.raises(UserError, match=r"'gone\.pth' are missing") as caught:
        load_tagger(spec(file="gone.pth"), folder)
    assert str(folder / "gone.pth") == caught.value.where
    with pytest.raises(UserError, match=r"tiny\.pth is damaged: its [0-9,]+ bytes"):
        load_tagger(spec(sha256="0" * 64), folder)
    with pytest.raises(UserError, match="cannot be fetched") as caught:
        load_tagger(spec(file="x.pth", weights="http://127.0.0.1:9/x.pth"), folder)
    assert str(folder / "x.pth") in caught.value.remedy
    with pytest.raises(UserError, match="has 3 outputs, the spec names 2 tags"):
        load_tagger(spec(tags=TAGS[:2]), folder)
    whole = check_digest(folder / "tiny.pth")
    _, meta = load_tagger(spec(tags=(), sha256=whole), folder)
    assert meta["classes"] == ["tag 0", "tag 1", "tag 2"]


def test_a_copy_of_the_weights_is_used_where_the_file_is_missing(folder):
    whole = check_digest(folder / "tiny.pth")
    (folder / "mine").mkdir()
    (folder / "tiny.pth").rename(folder / "mine" / "copy.pth")
    of_copy = spec(weights="http://127.0.0.1:9/tiny.pth", copies={"mine/copy.pth": whole})
    assert tagger_file(of_copy, folder) == folder / "mine" / "copy.pth"
    with pytest.raises(UserError, match=r"copy\.pth is damaged"):
        tagger_file(of_copy.model_copy(update={"copies": {"mine/copy.pth": "0" * 64}}), folder)
    (folder / "mine" / "copy.pth").rename(folder / "tiny.pth")
    assert tagger_file(of_copy, folder) == folder / "tiny.pth"


@needs_real
def test_the_shipped_tagger_of_audioset_reads_the_waveform_at_32_khz():
    tagger = load_specs().taggers["mn04-audioset"]
    _, meta = load_tagger(tagger, Path(str(REAL)) / "weights")
    labels = (Path(str(REAL)) / "weights" / "audioset" / "labels.txt").read_text().splitlines()
    assert meta["classes"] == labels
    assert meta["input"]["representation"] == tagger.representation == "waveforms_32k"
    assert meta["input"]["transform"]["sample_rate"] == 32000
    assert meta["input"]["crop_s"] == 10.0


def test_without_its_weights_mn04_says_where_to_put_them(tmp_path):
    tagger = load_specs().taggers["mn04-audioset"]
    offline = tagger.model_copy(update={"weights": "http://127.0.0.1:9/mn04_as_mAP_432.pt"})
    with pytest.raises(UserError, match=r"mn04_as_mAP_432\.pt cannot be fetched") as caught:
        tagger_file(offline, tmp_path)
    assert str(tmp_path / "audioset" / "mn04_as_mAP_432.pt") in caught.value.remedy


def test_the_strongest_by_category():
    found = strongest(np.array([0.1, 0.7, 0.2]), TAGS, most=1)
    assert found == {"genre": [("rock", 0.7)], "instrument": [("piano", 0.2)]}
    assert strongest(np.array([0.5]), ["loud"], most=3) == {"tag": [("loud", 0.5)]}


def encoder(**changes):
    return EncoderSpec.model_validate({"title": "x", "kind": "mel_statistics"} | changes)


def test_which_encoders_are_in_service():
    known = {"a": encoder(), "b": encoder(by_default=False)}
    assert in_service(None, known) == (["a"], [])
    assert in_service({"in_service": ["b"]}, known) == (["b"], [])
    assert in_service({"in_service": []}, known) == ([], [])
    names, problems = in_service({"in_service": ["b", "c"], "servce": 1}, known)
    assert names == ["b"]
    assert [p.split(":")[0] for p in problems] == ["servce", "in_service"]
    assert "list of names" in in_service({"in_service": "a"}, known)[1][0]
    with pytest.raises(ValueError, match="has no layers"):
        encoder(layer="conv1")
