from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from ml import analysis
from ml.analysis import analyse
from ml.audio import BadAudio, decode, resample, to_mono
from ml.features import feature_names
from ml.spectral import MelTransform, log_mel, stft

TRANSFORM = MelTransform()


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of stereo at 44.1 kHz."""
    rng = np.random.default_rng(0)
    t = np.arange(2 * 44100) / 44100
    tone = 0.3 * np.sin(2 * np.pi * 440 * t)[:, None] + 0.01 * rng.standard_normal((len(t), 2))
    path = tmp_path_factory.mktemp("songs") / "song.flac"
    sf.write(path, tone, 44100)
    return path


def test_everything_of_one_file(song):
    found = analyse(song, transform=TRANSFORM)
    assert found.info == {
        "duration_s": 2.0,
        "sample_rate_hz": 44100,
        "channels": 2,
        "codec": "FLAC/PCM_16",
        "peak_dbfs": pytest.approx(-9.4, abs=0.5),
        "rms_dbfs": pytest.approx(-13.5, abs=0.1),
        "warning": None,
    }
    mono = resample(to_mono(decode(song).samples), 44100, 22050)
    expected = log_mel(stft(mono, n_fft=2048, hop=512), TRANSFORM)
    assert found.log_mel.dtype == np.float16
    np.testing.assert_array_equal(found.log_mel, expected.astype(np.float16))
    assert list(found.features) == feature_names()
    assert np.isfinite(list(found.features.values())).all()


@pytest.mark.parametrize(("mel", "features"), [(True, False), (False, True), (False, False)])
def test_only_what_is_wanted_in_one_decode(song, mel, features, monkeypatch):
    whole = analyse(song, transform=TRANSFORM)
    decoded = []
    monkeypatch.setattr(analysis, "decode", lambda path: decoded.append(path) or decode(path))
    found = analyse(song, transform=TRANSFORM, want_log_mel=mel, want_features=features)
    assert decoded == [song]
    assert found.info == whole.info
    assert found.features == (whole.features if features else None)
    assert (found.log_mel is not None) == mel
    if mel:
        np.testing.assert_array_equal(found.log_mel, whole.log_mel)


def test_the_transform_decides_the_shape(song):
    coarse = MelTransform(n_mels=40, hop=1024)
    found = analyse(song, transform=coarse, want_features=False)
    assert found.log_mel.shape == (1 + 44100 // 1024, 40)


@pytest.mark.parametrize(
    ("samples", "code"), [(np.zeros(44100), "silent"), (np.full(4410, 0.1), "too-short")]
)
def test_bad_audio_is_told(samples, code, tmp_path):
    path = tmp_path / "bad.wav"
    sf.write(path, samples, 44100)
    with pytest.raises(BadAudio) as caught:
        analyse(path, transform=TRANSFORM)
    assert caught.value.code == code
