"""How networks see sound, and how edits of what they see become sound."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from melgraph.ml.errors import UserError
from melgraph.ml.generation.deep_dream import dream
from melgraph.ml.generation.resynthesis import snr_db
from melgraph.ml.generation.views import ImageView, MelView, view_of
from melgraph.ml.models import InputShape, build
from melgraph.ml.representations.images import ImageMapping, ImageTrack, apply_phase_edit
from melgraph.ml.specs.methods.dream import DreamConfig
from melgraph.ml.spectral import MelTransform, StftTransform, amplitude_and_phase, istft, stft

HOW = StftTransform()
SIZE, CHUNK = 32, 86  # pixels; frames: one second
IMAGE = ImageView(HOW, ImageMapping(SIZE), CHUNK)
STFT = {"representation": "stft_spectrograms", "transform": asdict(HOW), "crop_s": 1.0}


def noise(seconds: float = 2.0, rate: int = HOW.sample_rate, channels: int = 1) -> np.ndarray:
    size = (round(seconds * rate), channels)
    return np.random.default_rng(0).normal(0, 0.05, size).astype(np.float32)


def network(channels: int = 1):
    shape = InputShape(channels, SIZE, SIZE)
    model = build("small_cnn", shape, n_classes=2, channels=[4, 8]).eval()
    model.set_normalisation(np.full((channels, SIZE), 0.4), np.full((channels, SIZE), 0.1))
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


PHASE = ImageView(HOW, ImageMapping(SIZE), CHUNK, ("phase",))
BOTH = ImageView(HOW, ImageMapping(SIZE), CHUNK, ("amplitude", "phase"))


def test_networks_on_the_phase_have_views_where_the_generator_can_edit_it():
    for view in (PHASE, BOTH):
        described = {**STFT, "channels": list(view.channels), "image": SIZE}
        assert view_of(described, where="x", with_phase=True) == view
    with pytest.raises(UserError, match=r"stft_spectrograms \(phase\).*or the phase"):
        view_of({**STFT, "channels": ["phase"]}, where="x", with_phase=True)  # no image


@pytest.mark.parametrize("view", [PHASE, BOTH])
def test_a_picture_of_the_phase_and_its_network_agree_with_pixels(view):
    sound = noise()
    spectrum = stft(sound[:, 0], n_fft=HOW.n_fft, hop=HOW.hop)
    arrays = dict(zip(("amplitude", "phase"), amplitude_and_phase(spectrum, HOW), strict=True))
    shown = {name: arrays[name] for name in view.channels}
    pixels = ImageTrack(shown, ImageMapping(SIZE), chunk_frames=CHUNK)[:]
    picture = view.picture(sound, HOW.sample_rate)
    assert picture.shape == pixels.shape
    model = network(pixels.shape[2])
    with torch.inference_mode():
        expected, logits = (
            one(torch.from_numpy(values.transpose(2, 1, 0).copy())[None])
            for one, values in ((model, pixels), (view.network(model), picture))
        )
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)
    assert view.levels(sound, HOW.sample_rate).shape == picture.shape[:2]


@pytest.mark.parametrize("view", [PHASE, BOTH])
def test_an_edit_of_nothing_keeps_amplitude_and_phase(view):
    sound = noise(2.0, 48000, channels=2)
    edit = np.zeros((*view.picture(sound, 48000).shape[:2], len(view.channels)), np.float32)
    result = view.apply(sound, 48000, edit, limit_db=6.0)
    assert snr_db(sound, result.samples) == pytest.approx(result.identity_snr_db)
    assert result.identity_snr_db > 90
    assert result.phase_rms_rad == 0.0


def test_turns_are_those_of_the_edited_image():
    """At the transform's own rate, the phase is that of `images.apply_phase_edit`.

    The turns are smooth: `apply_phase_edit` weights the mean of neighbours by their amplitude.
    """
    sound = noise(1.0)
    picture = PHASE.picture(sound, HOW.sample_rate)
    turns = gaussian_filter(np.random.default_rng(1).normal(0, 1, picture.shape[:2]), 3)
    turns = turns.astype(np.float32)
    result = PHASE.apply(sound, HOW.sample_rate, turns[:, :, None], limit_db=6.0)
    cosine, sine = picture[:, :, 0], picture[:, :, 1]
    turned = np.stack(
        [
            cosine * np.cos(turns) - sine * np.sin(turns),
            sine * np.cos(turns) + cosine * np.sin(turns),
        ]
    )
    before, after = (
        (1 + images.transpose(0, 2, 1)) / 2 for images in (picture.transpose(2, 0, 1), turned)
    )
    spectrum = stft(sound[:, 0], n_fft=HOW.n_fft, hop=HOW.hop)
    amplitude, phase = spectrum.abs().numpy().T, spectrum.angle().numpy().T
    expected_phase = apply_phase_edit(phase[:86], before, after)
    assert 0.1 < result.phase_rms_rad < 1.8
    edited = torch.polar(torch.from_numpy(amplitude[:86]), torch.from_numpy(expected_phase)).T
    expected = istft(edited, n_fft=HOW.n_fft, hop=HOW.hop, length=85 * HOW.hop)
    middle = slice(HOW.n_fft, 60 * HOW.hop)
    unscaled = result.samples[middle, 0] / np.float32(result.gain)
    assert snr_db(expected[middle], unscaled) > 20


@pytest.mark.parametrize("rate", [44100, 22050])
def test_a_constant_turn_is_a_shift_in_frequency_by_the_same_hertz_at_each_rate(rate):
    time = np.arange(2 * rate) / rate
    tone = (0.3 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)[:, None]
    turns = np.full((*PHASE.picture(tone, rate).shape[:2], 1), 0.5, np.float32)
    result = PHASE.apply(tone, rate, turns, limit_db=6.0)
    spectrum = np.abs(np.fft.rfft(result.samples[:, 0] * np.hanning(2 * rate)))
    shift = np.argmax(spectrum) / 2 - 1000
    assert shift == pytest.approx(0.5 * HOW.frames_per_second / (2 * np.pi), abs=0.6)


@pytest.mark.parametrize("view", [PHASE, BOTH])
def test_a_dream_on_the_phase_raises_the_layer_within_its_limits(view):
    picture = view.picture(noise(1.0), HOW.sample_rate)
    config = DreamConfig(octaves=1, steps=4, jitter=2, step_size_rad=0.2, max_turn_rad=0.6)
    model = view.network(network(picture.shape[2]))
    dreamt = dream(model, picture, layer="conv2", config=config, seed=0, channels=view.channels)
    assert dreamt.after > dreamt.before
    assert dreamt.edit.shape == (*picture.shape[:2], len(view.channels))
    for plane, name in enumerate(view.channels):
        limit = config.max_delta_db if name == "amplitude" else config.max_turn_rad
        assert 0.0 < np.abs(dreamt.edit[:, :, plane]).max() <= limit
    assert abs(dreamt.edit[:, :, -1].mean(axis=0)).max() < 0.3  # no row glides away as a whole
    with pytest.raises(UserError, match="planes"):
        view.apply(noise(1.0), HOW.sample_rate, np.zeros((*picture.shape[:2], 3)), limit_db=6.0)


def test_an_edit_of_another_length_is_refused():
    with pytest.raises(UserError, match="a delta of 300 frames"):
        IMAGE.apply(noise(), HOW.sample_rate, np.zeros((300, SIZE), np.float32), limit_db=6.0)
