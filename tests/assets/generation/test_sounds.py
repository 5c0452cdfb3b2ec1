"""What all generators share: applying an edit to an excerpt, and reporting on it."""

import io
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from melgraph.assets.generation.sounds import Sounds, edit_sound, view_of
from melgraph.assets.generation.sources import Source
from melgraph.ml.errors import UserError
from melgraph.ml.generation.resynthesis import snr_db
from melgraph.ml.generation.views import MelView
from melgraph.ml.models import build
from melgraph.ml.models.base import InputShape
from melgraph.ml.spectral import MelTransform, StftTransform

RATE = 44100
TRANSFORM = MelTransform()
META = {
    "experiment": "tiny",
    "classes": ["low", "high"],
    "input": {"representation": "mel_spectrograms", "transform": asdict(TRANSFORM)},
}
VIEW = MelView(TRANSFORM)
TITLES = ("original", "edit", "new sound")


@pytest.fixture(scope="module")
def network():
    shape = InputShape(channels=1, bins=TRANSFORM.n_mels, frames=64)
    return build("small_cnn", shape, n_classes=2, seed=0).eval()


@pytest.fixture(scope="module")
def source():
    noise = np.random.default_rng(0).normal(0, 0.05, (2 * RATE, 2)).astype(np.float32)
    return Source({"path": "noise.flac"}, noise, RATE, "00" * 32)


def test_the_spectrogram_is_that_of_the_networks_rate_in_mono(source):
    frames = 2 * TRANSFORM.sample_rate // TRANSFORM.hop + 1
    assert source.picture(VIEW).shape == (frames, TRANSFORM.n_mels)


def test_an_edit_of_zero_keeps_the_sound_and_the_prediction(network, source):
    edit = np.zeros_like(source.picture(VIEW))
    generated = edit_sound(network, META, source, edit, limit_db=6.0, titles=TITLES)
    assert generated.samples.shape == source.samples.shape
    assert snr_db(source.samples, generated.samples) > 90
    facts = generated.facts
    assert facts["heard_before"] == facts["heard_after"]
    assert facts["gain"] == 1.0
    assert facts["identity_snr_db"] > 90
    assert Image.open(io.BytesIO(generated.picture)).format == "PNG"


def test_the_edit_is_clipped_to_the_limit(network):
    rate = TRANSFORM.sample_rate  # the edit reaches every frequency of the file
    noise = np.random.default_rng(1).normal(0, 0.05, (2 * rate, 1)).astype(np.float32)
    source = Source({"path": "noise.flac"}, noise, rate, "00" * 32)
    edit = np.full_like(source.picture(VIEW), -40.0)
    generated = edit_sound(network, META, source, edit, limit_db=6.0, titles=TITLES)
    change = generated.samples.std() / source.samples.std()
    assert 20 * np.log10(change) == pytest.approx(-6.0, abs=0.5)


def test_a_network_on_another_representation_is_refused():
    meta = META | {"input": {"representation": "mfcc", "transform": {}}}
    with pytest.raises(UserError, match="trained on mfcc, but the recipe edits mel_spectrograms"):
        view_of(meta)


def test_a_network_on_images_of_the_amplitude_is_edited_like_any(source):
    """Its pictures are images in dB; an edit of zero keeps the sound and the prediction."""
    how = {"representation": "stft_spectrograms", "channels": ["amplitude"], "crop_s": 1.0}
    described = {**how, "image": 32, "transform": asdict(StftTransform())}
    meta = META | {"input": described}
    network = build("small_cnn", InputShape(1, 32, 32), n_classes=2, channels=[4, 8]).eval()
    picture = source.picture(view_of(meta))
    assert picture.shape == (64, 32)
    generated = edit_sound(network, meta, source, 0 * picture, limit_db=6.0, titles=TITLES)
    assert snr_db(source.samples, generated.samples) > 90
    facts = generated.facts
    assert facts["heard_before"] == facts["heard_after"]
    assert Image.open(io.BytesIO(generated.picture)).format == "PNG"


def test_the_predictions_of_a_sound_are_readable():
    row = {
        "files": {"original": "a.original.flac", "picture": "a.png", "mask": "a.mask.flac"},
        "heard_before": {"label": "low", "probability": 0.51},
        "heard_after": {"label": "high", "probability": 0.974},
    }
    assert Sounds.predictions(row) == ("low (51%)", "high (97%)")
    assert Sounds.new_file(row) == "a.mask.flac"
