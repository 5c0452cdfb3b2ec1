"""How networks see sound, and how edits of what they see become sound."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.generation.deep_dream import dream
from melgraph.ml.generation.views import ImageView, MelView, view_of
from melgraph.ml.models import InputShape, build
from melgraph.ml.representations.images import ImageMapping, ImageTrack
from melgraph.ml.specs.methods.dream import DreamConfig
from melgraph.ml.spectral import MelTransform, StftTransform, amplitude_and_phase, stft

HOW = StftTransform()
SIZE, CHUNK = 32, 86  # pixels; frames: one second
IMAGE = ImageView(HOW, ImageMapping(SIZE), CHUNK)
STFT = {"representation": "stft_spectrograms", "transform": asdict(HOW), "crop_s": 1.0}


def noise(seconds: float = 2.0, rate: int = HOW.sample_rate, channels: int = 1) -> np.ndarray:
    size = (round(seconds * rate), channels)
    return np.random.default_rng(0).normal(0, 0.05, size).astype(np.float32)


def network():
    model = build("small_cnn", InputShape(1, SIZE, SIZE), n_classes=2, channels=[4, 8]).eval()
    model.set_normalisation(np.full((1, SIZE), 0.4), np.full((1, SIZE), 0.1))
    return model


def test_the_view_is_what_the_checkpoint_describes():
    mel = {"representation": "mel_spectrograms", "transform": asdict(MelTransform())}
    assert view_of(mel, where="x") == MelView(MelTransform())
    image = view_of({**STFT, "channels": ["amplitude"], "image": SIZE}, where="x")
    assert image == ImageView(HOW, ImageMapping(SIZE), 86)


@pytest.mark.parametrize(
    "keys",
    [{"channels": ["phase"], "image": 8}, {"channels": ["amplitude"]},
     {"channels": ["amplitude", "phase"], "image": 8}],
)  # fmt: skip
def test_a_network_on_something_else_is_refused(keys):
    with pytest.raises(UserError, match="trained on stft_spectrograms") as caught:
        view_of(STFT | keys, where="experiment tiny")
    assert caught.value.where == "experiment tiny"


def test_the_picture_in_db_and_the_network_on_db_agree_with_pixels():
    """The network answers of dB what it answers of pixels."""
    sound = noise()
    spectrum = stft(sound[:, 0], n_fft=HOW.n_fft, hop=HOW.hop)
    amplitude, _ = amplitude_and_phase(spectrum, HOW)
    pixels = ImageTrack({"amplitude": amplitude}, ImageMapping(SIZE), chunk_frames=CHUNK)[:]
    decibels = IMAGE.picture(sound, HOW.sample_rate)
    assert decibels.shape == pixels.shape[:2]
    model = network()
    with torch.inference_mode():
        expected, logits = (
            one(torch.from_numpy(picture.T.copy())[None, None])
            for one, picture in ((model, pixels[:, :, 0]), (IMAGE.network(model), decibels))
        )
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)
    assert float(model.mean[0, 0]) == pytest.approx(0.4)  # the model itself does not change


@pytest.mark.parametrize("rate", [44100, 22050])
def test_an_edit_arrives_at_its_time_and_frequency(rate):
    """12 dB more in the second half of the time, in the rows from 2.5 to 5 kHz."""
    sound = noise(2.0, rate, channels=2)
    edit = np.zeros_like(IMAGE.picture(sound, rate))
    rows = (IMAGE.frequencies > 2500) & (IMAGE.frequencies < 5000)
    edit[len(edit) // 2 :, rows] = 12.0
    result = IMAGE.apply(sound, rate, edit, limit_db=20.0)
    assert result.samples.shape == sound.shape
    assert result.identity_snr_db > 90
    before, after = (
        np.abs(stft(s[:, 1], n_fft=1024, hop=256).numpy()) for s in (sound, result.samples)
    )
    change = 20 * np.log10(after.mean(axis=1, keepdims=False) / before.mean(axis=1))
    hertz = np.linspace(0, rate / 2, len(change))
    half = before.shape[1] // 2
    inside = (hertz > 3300) & (hertz < 4000)
    late, early = slice(half + 20, None), slice(None, half - 20)

    def gain(times: slice) -> float:
        ratio = np.linalg.norm(after[inside, times]) / np.linalg.norm(before[inside, times])
        return float(20 * np.log10(ratio / result.gain))

    assert gain(late) == pytest.approx(12.0, abs=0.5)
    assert gain(early) == pytest.approx(0.0, abs=0.1)
    outside = (hertz < 1000) | (hertz > 7000)
    assert np.abs(change[outside] - 20 * np.log10(result.gain)).max() < 0.2


def test_a_dream_on_an_image_raises_the_layer():
    picture = IMAGE.picture(noise(1.0), HOW.sample_rate)
    config = DreamConfig(octaves=1, steps=3, jitter=0, step_size_db=0.5)
    dreamt = dream(IMAGE.network(network()), picture, layer="conv2", config=config, seed=0)
    assert dreamt.after > dreamt.before
    assert dreamt.delta_db.shape == picture.shape
    assert 0.0 < np.abs(dreamt.delta_db).max() <= config.max_delta_db


def test_an_edit_of_another_length_is_refused():
    with pytest.raises(UserError, match="a delta of 300 frames"):
        IMAGE.apply(noise(), HOW.sample_rate, np.zeros((300, SIZE), np.float32), limit_db=6.0)
