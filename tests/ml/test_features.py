import csv
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ml import features
from ml.spectral import stft

RATE = 22050


def ours(mono: np.ndarray) -> dict[str, float]:
    spectrum = stft(mono, n_fft=features.N_FFT, hop=features.HOP)
    return features.track_features(mono, spectrum, sample_rate=RATE)


def librosas(librosa, mono: np.ndarray) -> dict[str, float]:
    common = {"y": mono, "sr": RATE, "pad_mode": "reflect"}
    chroma = librosa.feature.chroma_stft(**common)
    series = {"chroma_stft": chroma}
    series |= {f"chroma_{pitch}": chroma[i] for i, pitch in enumerate(features.PITCHES)}
    series["rms"] = librosa.feature.rms(y=mono, pad_mode="reflect")
    series["spectral_centroid"] = librosa.feature.spectral_centroid(**common)
    series["spectral_bandwidth"] = librosa.feature.spectral_bandwidth(**common)
    series["spectral_rolloff"] = librosa.feature.spectral_rolloff(**common)
    series["zero_crossing_rate"] = librosa.feature.zero_crossing_rate(mono)
    mfcc = librosa.feature.mfcc(**common)
    series |= {f"mfcc_{i + 1:02d}": mfcc[i] for i in range(features.N_MFCC)}
    out = {}
    for name, values in series.items():
        hz = name.startswith("spectral")
        out[f"{name}_mean" + "_hz" * hz] = float(np.mean(values, dtype=np.float64))
        out[f"{name}_var" + "_hz2" * hz] = float(np.var(values, dtype=np.float64))
    return out


def signals() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    t = np.arange(5 * RATE) / RATE
    noise = rng.standard_normal(len(t))
    melody = sum(np.sin(2 * np.pi * 452.0 * r * t) * np.exp(-(t % 0.5)) for r in (1, 1.26, 1.5, 2))
    clicks = np.zeros(len(t))
    clicks[:: RATE // 3] = 0.9
    made = {
        "noise": 0.1 * noise,
        "melody": 0.1 * melody + 1e-3 * noise,
        "sweep": 0.5 * np.sin(2 * np.pi * (50 * t + 1000 * t**2)) + 1e-4 * noise,
        "clicks": clicks + 1e-4 * noise,
        "half silent": np.where(t < 2.5, 0.1 * melody, 0.0),
        "short": 0.1 * noise[:1500],
    }
    return {name: signal.astype(np.float32) for name, signal in made.items()}


@pytest.mark.filterwarnings("ignore:n_fft=2048 is too large")
@pytest.mark.parametrize("name", signals())
def test_the_features_are_librosas(name: str, librosa) -> None:
    mono = signals()[name]
    expected, got = librosas(librosa, mono), ours(mono)
    assert list(got) == features.feature_names()
    assert got.keys() == expected.keys()
    for column, value in expected.items():
        # a mean of a signed series can be near zero: its scale is then the spread over frames
        spread = 0.0
        if column.startswith("mfcc") and column.endswith("mean"):
            spread = np.sqrt(expected[column.replace("mean", "var")])
        tolerance = 1e-3 * max(abs(value), spread) + 1e-6
        assert got[column] == pytest.approx(value, abs=tolerance), column


@pytest.mark.parametrize("cents", [-37, -10, 0, 23, 45])
def test_the_tuning_is_found_and_is_librosas(cents: int, librosa) -> None:
    t = np.arange(3 * RATE) / RATE
    notes = 440.0 * 2 ** ((np.array([-9, -5, 0, 3]) + cents / 100) / 12)
    mono = 0.1 * np.sin(2 * np.pi * notes[:, None] * t).sum(axis=0).astype(np.float32)
    power = stft(mono, n_fft=2048, hop=512).abs().square().T.contiguous().numpy()
    got = features.estimate_tuning(power, sample_rate=RATE)
    assert got == pytest.approx(librosa.estimate_tuning(S=power.T, sr=RATE), abs=1e-6)
    assert got == pytest.approx(cents / 100, abs=0.08)  # four notes, bins of 11 Hz


@settings(max_examples=30, deadline=None)
@given(
    length=st.sampled_from([0, 1, 2, 511, 512, 1024, 1025, 2047, 2048, 5000]),
    kind=st.sampled_from(["silence", "click", "dc", "noise", "tiny", "loud", "nyquist"]),
    seed=st.integers(0, 2**16),
)
def test_every_value_is_finite_and_has_its_name(length: int, kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mono = {
        "silence": lambda: np.zeros(length),
        "click": lambda: (np.arange(length) == length // 2).astype(float),
        "dc": lambda: np.ones(length),
        "noise": lambda: rng.standard_normal(length),
        "tiny": lambda: 1e-30 * rng.standard_normal(length),
        "loud": lambda: 8.0 * np.sign(rng.standard_normal(length)),
        "nyquist": lambda: (-1.0) ** np.arange(length),
    }[kind]()
    got = ours(mono.astype(np.float32))
    assert list(got) == features.feature_names()
    assert np.isfinite(list(got.values())).all()
    assert all(value >= 0 for name, value in got.items() if "_var" in name)


def test_louder_by_a_factor_changes_rms_and_the_first_coefficient_only() -> None:
    quiet = signals()["noise"]
    before, after = ours(quiet), ours(2 * quiet)
    assert after["rms_mean"] == pytest.approx(2 * before["rms_mean"], rel=1e-5)
    louder = 20 * np.log10(2) * np.sqrt(features.N_MELS)  # dB; the first DCT basis is constant
    assert after["mfcc_01_mean"] - before["mfcc_01_mean"] == pytest.approx(louder, rel=1e-4)
    for name in before.keys() - {"rms_mean", "rms_var", "mfcc_01_mean"}:
        assert after[name] == pytest.approx(before[name], rel=1e-3, abs=1e-3), name


def test_the_same_track_has_the_same_features_to_the_bit() -> None:
    mono = signals()["melody"]
    assert ours(mono) == ours(mono.copy())


def test_another_transform_is_refused() -> None:
    mono = signals()["short"]
    with pytest.raises(ValueError, match=r"1025 bins, got \(513, "):
        features.track_features(mono, stft(mono, n_fft=1024, hop=512), sample_rate=RATE)


def test_a_spectrum_on_other_strides_gives_the_same() -> None:
    mono = signals()["melody"]
    spectrum = stft(mono, n_fft=features.N_FFT, hop=features.HOP)
    copy = torch.empty(spectrum.shape, dtype=spectrum.dtype).copy_(spectrum)
    assert features.track_features(mono, copy, sample_rate=RATE) == ours(mono)


def test_the_published_gtzan_table_is_reproduced() -> None:
    """Ten rows of the table everyone downloads, from the untouched clips."""
    if "MELGRAPH_REAL_DATA" not in os.environ:
        pytest.skip("MELGRAPH_REAL_DATA (a folder with GTZAN clips) is not set")
    data = Path(os.environ["MELGRAPH_REAL_DATA"])
    with (data / "metadata/gtzan/features_30_sec.csv").open() as file:
        table = {row["filename"]: row for row in csv.DictReader(file)}
    clips = sorted(data.glob("library/gtzan/*/*.00000.wav"))
    assert len(clips) == 10
    for clip in clips:
        mono, rate = sf.read(clip, dtype="float32")
        assert rate == RATE
        row, got = table[clip.name], ours(mono)
        assert int(row["length"]) == len(mono)
        compared = 0
        for name, value in got.items():
            column = name.removesuffix("_hz").removesuffix("_hz2").replace("mfcc_0", "mfcc_")
            column = column.replace("mfcc_", "mfcc").replace("spectral_rolloff", "rolloff")
            if column in row:
                assert value == pytest.approx(float(row[column]), rel=2e-4), (clip.name, name)
                compared += 1
        assert compared == 52
