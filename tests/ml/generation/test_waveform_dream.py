"""Deep dreams on samples: octaves are sample rates, and the music masks the edit."""

import numpy as np
import pytest
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.generation.resynthesis import snr_db
from melgraph.ml.generation.waveform_dream import (
    HOP,
    N_FFT,
    WaveformDream,
    WaveformView,
    dream_waveform,
)
from melgraph.ml.models import build
from melgraph.ml.models.base import Classifier, InputShape
from melgraph.ml.specs.methods.dream import DreamConfig
from melgraph.ml.spectral import stft

RATE, CROP = 16000, 4000
QUICK = DreamConfig(octaves=3, steps=4, step_share=0.1)


@pytest.fixture
def model() -> Classifier:
    model = build("waveform_cnn", InputShape(1, 1, CROP), n_classes=3, width=8, seed=2)
    model.set_normalisation(np.zeros((1, 1)), np.full((1, 1), 3000.0))
    return model.eval()


def sound(seconds: float = 1.0, *, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """A chord in pink noise, with nothing above 4 kHz: float32 `[sample]`."""
    rng, count = np.random.default_rng(seed), round(seconds * rate)
    hertz = np.fft.rfftfreq(count, 1 / rate)
    spectrum = rng.normal(size=len(hertz)) + 1j * rng.normal(size=len(hertz))
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(hertz, 50.0)) * (hertz < 4000), count)
    time = np.arange(count) / rate
    chord = sum(np.sin(2 * np.pi * f * time) for f in (220, 277, 330))
    return (0.05 * chord + 0.05 * noise / noise.std()).astype(np.float32)


def made_dream(model: Classifier, samples: np.ndarray, **settings: object) -> WaveformDream:
    config = QUICK.model_copy(update=settings)
    return dream_waveform(model, samples, RATE, layer="conv2", config=config, seed=0)


@pytest.mark.parametrize("layer", ["conv1", "conv2", "conv3", "conv4"])
def test_every_layer_responds_more(model, layer):
    result = dream_waveform(model, sound(), RATE, layer=layer, config=QUICK, seed=0)
    assert result.edit.shape == (RATE,)
    assert result.edit.dtype == np.float32
    assert result.after > 1.02 * result.before > 0
    assert [octave.sample_rate for octave in result.octaves] == [8163, 11429, 16000]
    assert all(len(octave.objective) == QUICK.steps + 1 for octave in result.octaves)


def test_a_class_and_a_guide(model):
    by_class = QUICK.model_copy(update={"objective": "class", "class_index": 2})
    result = dream_waveform(model, sound(), RATE, config=by_class, seed=0)
    assert result.after > result.before
    guided = QUICK.model_copy(update={"objective": "guide"})
    guide = sound(0.7, seed=5)[::-1].copy()
    towards = dream_waveform(
        model, sound(), RATE, layer="conv3", guide=guide, config=guided, seed=0
    )
    assert towards.after > towards.before
    assert not np.array_equal(towards.edit, result.edit)


def test_the_sample_level_cnn_dreams_on_crops_of_its_length():
    shape = InputShape(1, 1, 59049)
    model = build("sample_cnn", shape, n_classes=2, channels=[4] * 11, seed=1)
    assert list(model.layers()) == [f"conv{number}" for number in range(1, 12)]
    config = QUICK.model_copy(update={"octaves": 1, "steps": 2})
    for seconds in (2.0, 5.0):  # shorter and longer than a crop
        result = dream_waveform(model, sound(seconds), RATE, layer="conv6", config=config, seed=0)
        assert result.edit.shape == (round(seconds * RATE),)
        assert result.after > result.before


@pytest.mark.parametrize("below", [6.0, 20.0])
def test_the_edit_stays_below_the_excerpt_in_every_band(model, below):
    samples = sound()
    edit = made_dream(model, samples, below_signal_db=below, step_share=0.5).edit
    assert snr_db(samples, samples + edit) > below
    music, added = (stft(x, n_fft=N_FFT, hop=HOP).abs().numpy() for x in (samples, edit))
    hertz = np.linspace(0, RATE / 2, N_FFT // 2 + 1)
    for low, high in ((0, 500), (500, 2000), (2000, 3900)):
        band = (hertz >= low) & (hertz < high)
        ratio = np.square(music[band]).sum() / np.square(added[band]).sum()
        assert 10 * np.log10(ratio) > below - 1
    nothing = hertz > 4500  # where the music has nothing, nothing is added
    assert np.square(added[nothing]).sum() < 1e-4 * np.square(added).sum()


def test_the_ends_are_edited_like_the_middle(model):
    edits = np.stack([made_dream(model, sound(2.0, seed=seed)).edit for seed in range(3)])
    level = np.sqrt(np.mean(np.square(edits), axis=0))
    few, middle = len(level) // 20, level[len(level) // 4 : -len(level) // 4].mean()
    assert level[:few].mean() == pytest.approx(middle, rel=0.3)
    assert level[-few:].mean() == pytest.approx(middle, rel=0.3)


@pytest.mark.parametrize("rate", [16000, 44100, 22050])
def test_an_edit_is_added_to_each_channel_at_the_rate_of_the_file(rate):
    view = WaveformView(RATE)
    stereo = np.stack([sound(rate=rate), 0.5 * sound(rate=rate, seed=1)], axis=1)
    mono = view.waveform(stereo, rate)
    assert len(mono) == pytest.approx(RATE, abs=2)
    edit = 0.1 * sound(len(mono) / RATE, seed=3)
    result = view.apply(stereo, rate, edit)
    assert result.samples.shape == stereo.shape
    added = result.samples / np.float32(result.gain) - stereo
    np.testing.assert_allclose(added[:, 0], added[:, 1], atol=1e-6)
    back = view.waveform(added, rate)[200:-200]
    assert snr_db(edit[200 : 200 + len(back)], back) > 20
    unchanged = view.apply(stereo, rate, np.zeros_like(edit))
    assert np.array_equal(unchanged.samples, stereo)
    assert unchanged.identity_snr_db == float("inf")


def test_loud_sounds_do_not_clip():
    loud = np.full((1000, 1), 0.9, np.float32)
    result = WaveformView(RATE).apply(loud, RATE, np.full(1000, 0.3, np.float32))
    assert np.abs(result.samples).max() <= 1.0
    assert result.gain == pytest.approx(1 / 1.2, rel=1e-3)


def test_the_same_seed_gives_the_same_bytes_and_progress_is_reported(model):
    reports: list[tuple[int, int]] = []
    state = torch.get_rng_state()
    edits = [
        dream_waveform(
            model, sound(), RATE, layer="conv2", config=QUICK, seed=seed,
            progress=lambda done, steps: reports.append((done, steps)),
        ).edit.tobytes()
        for seed in (1, 1, 2)
    ]  # fmt: skip
    assert edits[0] == edits[1] != edits[2]
    assert reports[:12] == [(done, 12) for done in range(1, 13)]
    assert torch.equal(state, torch.get_rng_state())
    assert all(not module._forward_hooks for module in model.modules())


def test_no_steps_and_silence_give_no_edit(model):
    assert not made_dream(model, sound(), steps=0).edit.any()
    assert not made_dream(model, np.zeros(RATE, np.float32), steps=0).edit.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "conv9"}, r"no layer 'conv9'[\s\S]*conv1, conv2, conv3, conv4"),
        ({"layer": None}, "needs a layer"),
        ({"samples": np.zeros(500, np.float32)}, "at least 1024 samples"),
        ({"samples": np.full(RATE, np.nan, np.float32)}, "not finite"),
        ({"config": QUICK.model_copy(update={"objective": "guide"})}, "needs a guide"),
        ({"config": QUICK.model_copy(update={"objective": "class"})}, "needs a class_index"),
    ],
)
def test_what_does_not_fit_is_refused(model, arguments, message):
    given = {"samples": sound(), "layer": "conv2", "config": QUICK, **arguments}
    with pytest.raises(UserError, match=message):
        dream_waveform(model, given.pop("samples"), RATE, seed=0, **given)


def test_a_network_on_spectrograms_is_refused():
    model = build("small_cnn", InputShape(1, 64, 65), n_classes=2)
    with pytest.raises(UserError, match="not on a waveform"):
        dream_waveform(model, sound(), RATE, layer="conv1", config=QUICK, seed=0)


def test_a_layer_without_gradient_is_reported(model):
    with torch.no_grad():
        model.layers()["conv2"].weight.zero_()
        model.layers()["conv2"].bias.fill_(1.0)
    with pytest.raises(UserError, match="gradient is zero"):
        made_dream(model, sound())
