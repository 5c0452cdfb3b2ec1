"""What the networks of a style transfer see, and the way back to sound."""

import numpy as np
import pytest
import torch

from melgraph.ml.audio import resample, to_mono
from melgraph.ml.generation.resynthesis import snr_db
from melgraph.ml.generation.style.views import (
    EmphasisedMelView,
    StftView,
    from_decibels,
    to_decibels,
)
from melgraph.ml.models.mobilenet_v3 import RATE, EmphasisedLogMel
from melgraph.ml.spectral import StftTransform

SMALL = StftTransform(sample_rate=22050, n_fft=512, hop=128)
VIEWS = {"stft": StftView(SMALL), "mel": EmphasisedMelView()}


def noise(rate: int, seconds: float = 1.0) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.05, (int(seconds * rate), 2)).astype(np.float32)


@pytest.fixture(params=VIEWS)
def view(request):
    return VIEWS[request.param]


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
def test_an_edit_of_zero_keeps_the_sound(view, rate):
    samples = noise(rate)
    picture = view.picture(samples, rate)
    assert picture.dtype == np.float32
    assert picture.shape[1] == len(view.frequencies)
    edited = view.apply(samples, rate, 0 * picture, limit_db=6.0)
    assert snr_db(samples, edited.samples) > 90


def test_an_edit_arrives_in_the_picture_of_the_new_sound(view):
    samples = noise(44100)
    picture = view.picture(samples, 44100)
    louder = view.apply(samples, 44100, np.full_like(picture, 3.0), limit_db=6.0)
    change = view.picture(louder.samples / np.float32(louder.gain), 44100) - picture
    assert np.median(change[2:-2, 5:-5]) == pytest.approx(3.0, abs=0.05)


def test_an_edit_of_a_frame_of_the_stft_arrives_at_its_time():
    view, rate = VIEWS["stft"], SMALL.sample_rate
    samples = noise(rate)
    picture = view.picture(samples, rate)
    edit = np.zeros_like(picture)
    edit[100] = 20.0
    edited = view.apply(samples, rate, edit, limit_db=20.0)
    change = np.mean(view.picture(edited.samples / np.float32(edited.gain), rate) - picture, axis=1)
    assert int(change.argmax()) == 100
    assert change[90] == pytest.approx(0.0, abs=0.1)


def test_the_edit_fades_out_above_the_highest_bin():
    view = VIEWS["stft"]
    samples = noise(44100)
    picture = view.picture(samples, 44100)
    edited = view.apply(samples, 44100, np.full_like(picture, -20.0), limit_db=20.0)
    before, after = (np.abs(np.fft.rfft(x[:, 0])) for x in (samples, edited.samples))
    top = slice(int(0.3 * 44100), int(0.5 * 44100))  # 13 kHz and more
    assert np.linalg.norm(after[top]) == pytest.approx(np.linalg.norm(before[top]), rel=0.02)


def test_the_mel_spectrogram_is_that_of_efficientat_in_decibels():
    samples = noise(RATE)
    scaled = EmphasisedLogMel()(torch.from_numpy(to_mono(samples))[None])[0, 0].T
    picture = VIEWS["mel"].picture(samples, RATE)
    np.testing.assert_allclose(picture, to_decibels(scaled).numpy(), atol=1e-4)
    torch.testing.assert_close(from_decibels(to_decibels(scaled)), scaled, atol=1e-5, rtol=0)
    # (ln(x + 1e-5) + 4.5) / 5 of silence is that of -50 dB
    silent = VIEWS["mel"].picture(np.zeros((RATE, 1), np.float32), RATE)
    np.testing.assert_allclose(silent, -50.0, atol=1e-3)


def test_a_sound_that_is_shorter_than_a_window_has_a_picture(view):
    assert len(view.picture(noise(RATE, 0.01), RATE)) >= 1


def test_pictures_do_not_depend_on_the_rate_of_the_file():
    low = noise(22050)[:, :1]
    high = resample(low[:, 0], 22050, 44100)[:, None]
    view = VIEWS["stft"]
    a, b = view.picture(low, 22050), view.picture(high, 44100)
    assert np.median(np.abs(a[5:-5, 5:200] - b[5 : len(a) - 5, 5:200])) < 0.5
