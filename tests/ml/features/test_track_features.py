import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.features import track_features as features
from melgraph.ml.features.track_features import FeatureOptions, FeatureStream
from melgraph.ml.spectral import StftStream, stft
from melgraph.ml.spectral.framing import TILE

RATE = 22050


ALL = FeatureOptions(harmonic_percussive=True, tempo=True)


def ours(mono: np.ndarray, options: FeatureOptions | None = None) -> dict[str, float]:
    spectrum = stft(mono, n_fft=features.N_FFT, hop=features.HOP)
    return features.track_features(mono, spectrum, sample_rate=RATE, options=options)


def streamed(parts: list[np.ndarray], options: FeatureOptions | None = None) -> dict[str, float]:
    spectra = StftStream(features.N_FFT, features.HOP)
    stream = FeatureStream(RATE, options)
    for part in parts:
        stream.push(part, spectra.push(part))
    stream.push(np.zeros(0, np.float32), spectra.finish())
    return stream.finish()


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
def test_the_tuning_is_correct_and_is_librosas(cents: int, librosa) -> None:
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


class TestStream:
    """For any block sizes, a stream gives the same bits as the whole track."""

    @settings(max_examples=15, deadline=None)
    @given(
        data=st.data(),
        frames=st.sampled_from([0, 1, 3, TILE - 1, TILE, TILE + 1, 2 * TILE + 40, 5 * TILE]),
        more=st.integers(0, 511),
        windowed=st.booleans(),
    )
    def test_the_bits_of_the_whole(self, data, frames, more, windowed):
        samples = frames * features.HOP + more
        mono = (0.1 * np.random.default_rng(more).standard_normal(samples)).astype(np.float32)
        cuts = sorted(data.draw(st.lists(st.integers(0, samples), max_size=5)))
        # 3 s are two tiles: up to three windows
        options = FeatureOptions(True, True, window_s=3.0 if windowed else 600.0)
        assert streamed(np.split(mono, cuts), options) == ours(mono, options)

    def test_a_window_as_long_as_the_track_is_no_window(self):
        mono = signals()["melody"]
        seconds = len(mono) / RATE
        assert ours(mono, FeatureOptions(window_s=seconds)) == ours(mono)

    def test_windows_are_pooled_by_the_law_of_total_variance(self):
        """Two windows of whole tiles, with different tunings and levels."""
        frames = FeatureOptions(window_s=2.0).window_frames(RATE)
        assert frames == TILE
        at = np.arange(2 * frames * features.HOP - 1)
        second = at >= frames * features.HOP
        pitch, level = np.where(second, 904.0, 440.0), np.where(second, 1e-3, 0.5)
        mono = (level * np.sin(2 * np.pi * pitch * at / RATE)).astype(np.float32)
        spectrum = stft(mono, n_fft=2048, hop=512)
        parts = []
        for window in (slice(0, frames), slice(frames, None)):
            part = FeatureStream(RATE)
            part.push(mono, spectrum[:, window])
            part._close_window()
            parts.append((part._timbre.count, part._timbre.mean, part._timbre.variance))
        counts, means, variances = (np.array(list(column)) for column in zip(*parts, strict=True))
        share = (counts / counts.sum())[:, None]
        mean = (share * means).sum(axis=0)
        variance = (share * (variances + (means - mean) ** 2)).sum(axis=0)
        got = ours(mono, FeatureOptions(window_s=2.0))
        names = [f"chroma_{pitch}" for pitch in features.PITCHES]
        names += [f"mfcc_{number:02d}" for number in range(1, 21)]
        np.testing.assert_allclose([got[f"{name}_mean"] for name in names], mean, rtol=1e-9)
        np.testing.assert_allclose([got[f"{name}_var"] for name in names], variance, rtol=1e-9)
        whole = ours(mono)
        assert got["rms_mean"] == whole["rms_mean"]  # needs no window
        assert got["mfcc_05_mean"] != whole["mfcc_05_mean"]

    def test_memory_is_bounded_by_the_window(self):
        """4.1 kB of power, 0.5 kB of mel and the peaks of each frame; no more after 20 windows."""
        stream = FeatureStream(RATE, FeatureOptions(window_s=5.0))
        window = stream._window_frames
        tile = torch.randn(1025, TILE, dtype=torch.complex64)
        most = 0
        for _ in range(20 * window // TILE):
            stream.push(np.zeros(TILE * 512, np.float32), tile)
            arrays = [*stream._powers, *stream._decibels, *stream._padded._pending]
            arrays += stream._peaks._heights + stream._peaks._frequencies
            most = max(most, sum(array.nbytes for array in arrays))
        assert most <= window * 5200 + TILE * 512 * 4 * 2

    def test_frames_after_an_incomplete_tile_are_refused(self):
        stream = FeatureStream(RATE)
        stream.push(np.zeros(0, np.float32), torch.zeros(1025, 5, dtype=torch.complex64))
        with pytest.raises(ValueError, match="5 frames were added before"):
            stream.push(np.zeros(0, np.float32), torch.zeros(1025, 5, dtype=torch.complex64))

    def test_samples_and_frames_must_be_of_one_signal(self):
        mono = signals()["short"]
        with pytest.raises(ValueError, match="3 frames, the spectrum 6"):
            features.track_features(
                mono, stft(np.tile(mono, 2), n_fft=2048, hop=512), sample_rate=RATE
            )


class TestOptions:
    def test_the_columns_follow_the_options(self):
        extra = ["harmony_mean", "harmony_var", "perceptr_mean", "perceptr_var", "tempo_bpm"]
        assert features.feature_names(ALL) == [*features.feature_names(), *extra]
        got = ours(signals()["clicks"], ALL)
        assert list(got) == features.feature_names(ALL)
        assert got["perceptr_var"] > 5 * got["harmony_var"]

    def test_optional_features_do_not_change_the_others(self):
        mono = signals()["melody"]
        with_all = ours(mono, ALL)
        assert {name: with_all[name] for name in features.feature_names()} == ours(mono)

    @pytest.mark.parametrize("name", ["melody", "clicks", "sweep"])
    def test_the_tempo_is_librosas(self, name, librosa):
        mono = signals()[name]
        mel = librosa.feature.melspectrogram(y=mono, sr=RATE, pad_mode="reflect")
        onsets = librosa.onset.onset_strength(
            S=librosa.power_to_db(mel), sr=RATE, aggregate=np.median
        )
        expected = 0.0  # beat_track's, where there is no onset
        if onsets.any():
            expected = float(librosa.feature.tempo(onset_envelope=onsets, sr=RATE)[0])
        assert ours(mono, ALL)["tempo_bpm"] == pytest.approx(expected)


def test_the_published_gtzan_table_is_reproduced(real_data: Path) -> None:
    """Ten rows of the table published with GTZAN, from the original clips."""
    with (real_data / "metadata/gtzan/features_30_sec.csv").open() as file:
        table = {row["filename"]: row for row in csv.DictReader(file)}
    clips = sorted(real_data.glob("library/gtzan/*/*.00000.wav"))
    assert len(clips) == 10
    for clip in clips:
        mono, rate = sf.read(clip, dtype="float32")
        assert rate == RATE
        row, got = table[clip.name], ours(mono, ALL)
        assert int(row["length"]) == len(mono)
        compared = 0
        for name, value in got.items():
            column = features.published_name(name)
            if column in row and column.startswith(("harmony", "perceptr")):
                # means near zero: in units of the waveform's deviation
                part = column.split("_")[0]
                deviation = float(row[f"{part}_var"]) ** 0.5
                off = abs(value - float(row[column])) / deviation
                assert off < 2e-3, (clip.name, name)
                compared += 1
            elif column in row:
                assert value == pytest.approx(float(row[column]), rel=2e-4), (clip.name, name)
                compared += 1
        assert compared == 57
