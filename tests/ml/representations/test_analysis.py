from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from melgraph.ml.audio import BadAudio, decode, open_audio, resample, to_mono
from melgraph.ml.features.track_features import FeatureOptions, feature_names, track_features
from melgraph.ml.representations import analysis
from melgraph.ml.representations.analysis import analyse, log_mel_of
from melgraph.ml.representations.registry import (
    FEATURES,
    KINDS,
    MEL,
    MFCC,
    STFT,
    TRANSFORMS,
    WAVEFORMS,
    WAVEFORMS_32K,
)
from melgraph.ml.representations.waveforms import quantise
from melgraph.ml.spectral import MelTransform, log_mel, stft
from melgraph.ml.spectral.mfcc import mfcc_from_log_mel
from melgraph.ml.spectral.stft_values import amplitude_and_phase

ALL = {name: transform() for name, transform in TRANSFORMS.items()}


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven seconds of stereo at 44.1 kHz."""
    rng = np.random.default_rng(0)
    t = np.arange(7 * 44100) / 44100
    tone = 0.3 * np.sin(2 * np.pi * 440 * t)[:, None] + 0.01 * rng.standard_normal((len(t), 2))
    path = tmp_path_factory.mktemp("songs") / "song.flac"
    sf.write(path, tone, 44100)
    return path


def test_everything_of_one_file(song):
    result = analyse(song, ALL)
    assert result.info == {
        "duration_s": 7.0,
        "sample_rate_hz": 44100,
        "channels": 2,
        "codec": "FLAC/PCM_16",
        "container": "FLAC",
        "peak_dbfs": pytest.approx(-9.4, abs=0.5),
        "rms_dbfs": pytest.approx(-13.5, abs=0.1),
        "warning": None,
    }
    mono = to_mono(decode(song).samples)
    at_22k = resample(mono, 44100, 22050)
    spectrum = stft(at_22k, n_fft=2048, hop=512)
    expected_mel = log_mel(spectrum, MelTransform())
    amplitude, phase = amplitude_and_phase(stft(mono, n_fft=2048, hop=512), ALL[STFT])
    expected = {
        MEL: {"values": expected_mel.astype(np.float16)},
        STFT: {"values": amplitude, "phase": phase},
        MFCC: {"values": mfcc_from_log_mel(expected_mel, ALL[MFCC])},
        WAVEFORMS: {"values": quantise(resample(mono, 44100, 16000))[0]},
        WAVEFORMS_32K: {"values": quantise(resample(mono, 44100, 32000))[0]},
    }
    assert result.arrays.keys() == expected.keys() == KINDS.keys()
    for name, arrays in expected.items():
        assert result.arrays[name].keys() == arrays.keys() == KINDS[name].arrays.keys()
        for array, values in arrays.items():
            assert values.dtype == KINDS[name].arrays[array]
            np.testing.assert_array_equal(result.arrays[name][array], values, strict=True)
    assert result.features == track_features(at_22k, spectrum, sample_rate=22050)


@pytest.mark.parametrize("block_s", [0.01, 0.7, 3.0])
def test_blocks_change_no_bit(song, block_s):
    whole, cut = analyse(song, ALL), analyse(song, ALL, block_s=block_s)
    assert cut.info == whole.info
    assert cut.features == whole.features
    for name, arrays in whole.arrays.items():
        for array, values in arrays.items():
            np.testing.assert_array_equal(cut.arrays[name][array], values, strict=True)


@pytest.mark.parametrize("names", [(MEL,), (FEATURES,), (WAVEFORMS, MFCC), ()])
def test_requested_representations_come_from_one_decode(song, names, monkeypatch):
    whole = analyse(song, ALL)
    opened = []
    monkeypatch.setattr(
        analysis, "open_audio", lambda path, **how: opened.append(path) or open_audio(path, **how)
    )
    result = analyse(song, {name: ALL[name] for name in names})
    assert opened == [song]
    assert result.info == whole.info
    assert result.features == (whole.features if FEATURES in names else None)
    assert set(result.arrays) == {name for name in names if name != FEATURES}
    for name in result.arrays:
        np.testing.assert_array_equal(result.arrays[name]["values"], whole.arrays[name]["values"])


def test_the_transform_decides_the_shape(song):
    coarse = MelTransform(n_mels=40, hop=1024)
    assert log_mel_of(song, coarse).shape == (1 + 7 * 22050 // 1024, 40)
    more = analyse(song, {FEATURES: FeatureOptions(tempo=True)}).features
    assert list(more) == feature_names(FeatureOptions(tempo=True))


@pytest.mark.parametrize(
    ("samples", "code"), [(np.zeros(44100), "silent"), (np.full(4410, 0.1), "too-short")]
)
def test_bad_audio_is_refused(samples, code, tmp_path):
    path = tmp_path / "bad.wav"
    sf.write(path, samples, 44100)
    with pytest.raises(BadAudio) as caught:
        analyse(path, ALL)
    assert caught.value.code == code
