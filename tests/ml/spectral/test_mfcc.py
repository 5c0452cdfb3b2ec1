import json
from dataclasses import asdict

import numpy as np
import pytest

from melgraph.ml.spectral import MelTransform
from melgraph.ml.spectral.framing import TILE
from melgraph.ml.spectral.mfcc import MfccTransform, log_mel_from_mfcc, mfcc_from_log_mel

TRANSFORM = MfccTransform()


def log_mel(frames: int = 50, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-90, 20, (frames, 128)).astype(np.float32)


def test_is_librosas_of_the_same_log_mel(librosa):
    mfcc = mfcc_from_log_mel(log_mel(), TRANSFORM)
    assert mfcc.dtype == np.float16
    expected = librosa.feature.mfcc(S=log_mel().T, n_mfcc=20).T
    np.testing.assert_allclose(mfcc, expected, rtol=1e-3, atol=0.01)


def test_all_coefficients_are_the_whole_spectrogram():
    everything = MfccTransform(n_mfcc=128)
    back = log_mel_from_mfcc(mfcc_from_log_mel(log_mel(), everything), everything)
    np.testing.assert_allclose(back, log_mel(), atol=0.2)


def test_what_is_smooth_over_bands_comes_back():
    bands = np.arange(128)
    smooth = (
        -40
        + 20 * np.cos(np.pi * (bands + 0.5) * 3 / 128)
        - 5 * np.cos(np.pi * (bands + 0.5) * 19 / 128)
    )
    back = log_mel_from_mfcc(mfcc_from_log_mel(smooth[None], TRANSFORM), TRANSFORM)
    np.testing.assert_allclose(back[0], smooth, atol=0.05)


def test_the_way_back_is_the_nearest_of_its_kind():
    """Least squares is a projection, so a second round trip changes nothing."""
    once = log_mel_from_mfcc(mfcc_from_log_mel(log_mel(), TRANSFORM), TRANSFORM)
    twice = log_mel_from_mfcc(mfcc_from_log_mel(once, TRANSFORM), TRANSFORM)
    np.testing.assert_allclose(twice, once, atol=0.2)
    assert np.abs(once - log_mel()).mean() > 5


def test_silence_stays_at_the_floor():
    silence = np.full((4, 128), -100.0, np.float32)
    back = log_mel_from_mfcc(mfcc_from_log_mel(silence, TRANSFORM), TRANSFORM)
    np.testing.assert_allclose(back, -100.0, atol=0.1)
    assert back.min() >= -100.0


def test_blocks_give_the_bits_of_the_whole():
    whole = log_mel(3 * TILE + 5)
    parts = np.split(whole, [TILE, 3 * TILE])
    mfcc = np.concatenate([mfcc_from_log_mel(part, TRANSFORM) for part in parts])
    np.testing.assert_array_equal(mfcc, mfcc_from_log_mel(whole, TRANSFORM))


def test_the_mel_transform_is_its_own():
    transform = MfccTransform(n_mfcc=13, n_mels=40, hop=256)
    assert transform.mel == MelTransform(n_mels=40, hop=256)
    stored = json.loads(json.dumps(transform.attributes()))
    assert MfccTransform(**{name: stored[name] for name in asdict(transform)}) == transform
    assert stored["mel_scale"] == "htk"
    assert "times the orthonormal basis" in stored["unit"]


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\[frame, 128\], got \(50, 40\)"):
        mfcc_from_log_mel(log_mel()[:, :40], TRANSFORM)
    with pytest.raises(ValueError, match=r"\[frame, 20\], got \(50, 13\)"):
        log_mel_from_mfcc(np.zeros((50, 13)), TRANSFORM)
