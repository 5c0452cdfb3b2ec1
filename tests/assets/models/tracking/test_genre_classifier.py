"""The registered model predicts the same from an audio file as from the stored representation."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from melgraph.assets.library.inputs import TrackInputs
from melgraph.assets.library.live import live_tracks
from melgraph.assets.library.tracks import Tracks
from melgraph.ml import models
from melgraph.ml.inference.tracks import predict_tracks
from melgraph.ml.models.base import bin_statistics
from melgraph.ml.specs.model_input import InputSpec
from melgraph.ml.weights import checkpoints
from tests.conftest import MadeHome

CLASSES = ["blues", "classical", "country"]
STFT = {"representation": "stft_spectrograms"}
INPUTS = {
    "mel": {},
    "mfcc": {"representation": "mfcc"},
    "amplitude": {**STFT, "channels": ("amplitude",)},
    "images of the phase": {**STFT, "channels": ("phase",), "image": 24},
    "images of both": {**STFT, "channels": ("phase", "amplitude"), "image": 16},
    "waveform": {"representation": "waveforms", "crop_s": 0.1},
    "features": {"representation": "audio_features"},
    "some features": {"representation": "audio_features", "columns": ("mfcc_*_mean", "rms_var")},
}


def predictor(folder: Path):
    """The function `predict` of the registered model of a checkpoint, as MLflow loads it."""
    from melgraph.assets.models.tracking.genre_classifier import GenreClassifier

    classifier = GenreClassifier()
    classifier.load_context(SimpleNamespace(artifacts={"checkpoint": str(folder)}))
    return lambda *paths: classifier.predict(None, [str(path) for path in paths])


@pytest.fixture(params=INPUTS)
def trained(request, made_home: MadeHome, tmp_path: Path):
    """A checkpoint with random weights, and the inputs of its network."""
    input_spec = InputSpec(**{"crop_s": 2.0, **INPUTS[request.param]})
    artifact = made_home.store.need(input_spec.representation, "batch-000001")
    inputs = TrackInputs([artifact], input_spec)
    model = models.build("small_cnn", inputs.shape, n_classes=3, seed=5, channels=[8])
    arrays = inputs.tracks(["batch-000001"] * 4, inputs.track_ids("batch-000001")[:4])
    model.set_normalisation(*bin_statistics(arrays, least_std=1e-9))
    checkpoints.save(tmp_path / "model", model, {"classes": CLASSES, "input": inputs.describe()})
    return inputs, tmp_path / "model"


def test_predictions_from_files_equal_those_from_the_store(trained, made_home):
    inputs, folder = trained
    tracks = live_tracks([Tracks.current(made_home.store, "batch-000001")]).head(3)
    paths = [made_home.library / path for path in tracks["path"]]
    stored = inputs.tracks(tracks["batch"].to_list(), tracks["track_id"].to_list())
    model, _ = checkpoints.load(folder)
    expected = predict_tracks(model, stored)
    table = predictor(folder)(*paths)
    assert table["problem"].isna().all()
    np.testing.assert_allclose(table[CLASSES].to_numpy(float), expected, atol=2e-3)
    assert table["prediction"].to_list() == [CLASSES[i] for i in expected.argmax(axis=1)]
    assert np.ptp(expected, axis=0).max() > 1e-3  # the tracks differ


def test_a_short_file_is_predicted_with_a_caution(trained, made_home, tmp_path):
    """The caution is about the length of a segment; tabular features have none."""
    inputs, folder = trained
    noise = np.random.default_rng(0).normal(0, 0.1, 22050 * 3)
    seconds = inputs.how.crop_s * 0.8
    soundfile.write(tmp_path / "short.wav", noise[: int(max(seconds, 0.6) * 22050)], 22050)
    soundfile.write(tmp_path / "long.wav", noise, 22050)
    table = predictor(folder)(tmp_path / "short.wav", tmp_path / "long.wav")
    assert table["caution"][1] is None
    if inputs.how.representation == "audio_features" or inputs.how.crop_s < 0.6:
        assert table["caution"][0] is None
    else:
        assert re.match(
            r"the clip has 1\.[56]\d s and the model takes 2\.00 s", table["caution"][0]
        )
    assert table["problem"].isna().all()


def test_an_unusable_file_gets_a_reason_and_does_not_affect_others(trained, made_home, tmp_path):
    _, folder = trained
    good = (
        made_home.library
        / live_tracks([Tracks.current(made_home.store, "batch-000001")])["path"][0]
    )
    rate = 22050
    (tmp_path / "text.mp3").write_text("no music")
    soundfile.write(tmp_path / "silent.wav", np.zeros(rate), rate)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), rate)
    soundfile.write(tmp_path / "click.wav", np.full(40, 0.5), rate)
    names = ("text.mp3", "silent.wav", "empty.wav", "click.wav", "gone.flac", ".")
    bad = [tmp_path / name for name in names]
    table = predictor(folder)(bad[0], good, *bad[1:])
    assert table["path"].to_list() == [str(p) for p in (bad[0], good, *bad[1:])]
    for row in table.to_dict("records"):
        if row["path"] == str(good):
            assert row["prediction"] in CLASSES
            assert row["probability"] == max(row[name] for name in CLASSES)
        else:
            assert row["prediction"] is None or row["prediction"] != row["prediction"]
            assert isinstance(row["problem"], str), row
            assert row["problem"]
