import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.representations.registry import MEL, from_attributes
from melgraph.ml.spectral import (
    FilterBank,
    MelTransform,
    StftStream,
    istft,
    log_mel,
    mel_filterbank,
    mel_frequencies,
    stft,
)
from melgraph.ml.spectral.framing import TILE

TRANSFORM = MelTransform()
RATE = TRANSFORM.sample_rate


def noise(samples: int, *, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def spectrogram_of(mono: np.ndarray, transform: MelTransform = TRANSFORM) -> np.ndarray:
    return log_mel(stft(mono, n_fft=transform.n_fft, hop=transform.hop), transform)


class TestStft:
    @settings(max_examples=40, deadline=None)
    @given(
        samples=st.sampled_from([1, 2, 511, 1023, 1024, 1025, 2047, 2048, 2049, 10000, 22050]),
        hop=st.sampled_from([256, 512]),  # half a window leaves the last samples under its end
        seed=st.integers(0, 999),
    )
    def test_there_and_back(self, samples, hop, seed):
        mono = noise(samples, seed=seed)
        spectrum = stft(mono, n_fft=2048, hop=hop)
        back = istft(spectrum, n_fft=2048, hop=hop, length=samples)
        assert (spectrum.dtype, back.dtype) == (torch.complex64, np.float32)
        np.testing.assert_allclose(back, mono, atol=1e-6)

    @pytest.mark.parametrize("samples", [1025, 2048, 22050, 22051])
    def test_shape(self, samples):
        assert stft(noise(samples), n_fft=2048, hop=512).shape == (1025, 1 + samples // 512)

    @pytest.mark.parametrize("samples", [0, 1, 1024])
    def test_the_shortest_are_padded_with_zeros(self, samples):
        mono = noise(samples)
        padded = np.concatenate([mono, np.zeros(1025 - samples, np.float32)])
        spectrum = stft(mono, n_fft=2048, hop=512)
        assert torch.equal(spectrum, stft(padded, n_fft=2048, hop=512))

    def test_is_that_of_numpy(self):
        mono = noise(RATE)
        spectrum = stft(mono, n_fft=2048, hop=512).numpy()
        mirrored = np.pad(mono.astype(np.float64), 1024, mode="reflect")
        window = np.hanning(2049)[:-1]  # periodic
        for frame in (0, 1, 20, spectrum.shape[1] - 1):
            piece = mirrored[512 * frame : 512 * frame + 2048]
            np.testing.assert_allclose(spectrum[:, frame], np.fft.rfft(window * piece), atol=1e-4)

    def test_the_input_stays_as_it_is(self):
        mono = noise(5000)
        before = mono.copy()
        stft(mono, n_fft=2048, hop=512)
        np.testing.assert_array_equal(mono, before)


class TestStream:
    """For any block sizes, a stream gives the same bits as the whole signal."""

    @settings(max_examples=60, deadline=None)
    @given(
        data=st.data(),
        n_fft=st.sampled_from([64, 100, 2048]),
        hop=st.sampled_from([16, 32, 50, 64, 512]),
        frames=st.integers(0, 3 * TILE),
        more=st.integers(-3, 3),
        silent=st.booleans(),
    )
    def test_the_bits_of_the_whole(self, data, n_fft, hop, frames, more, silent):
        samples = max(0, frames * hop + more)
        samples = data.draw(st.sampled_from([samples, 0, 1, n_fft // 2, n_fft // 2 + 1]))
        mono = np.zeros(samples, np.float32) if silent else noise(samples)
        cuts = sorted(data.draw(st.lists(st.integers(0, samples), max_size=6)))
        whole = stft(mono, n_fft=n_fft, hop=hop)
        stream = StftStream(n_fft, hop)
        blocks = [stream.push(part) for part in np.split(mono, cuts)]
        assert all(block.shape[1] % TILE == 0 for block in blocks)
        blocks.append(stream.finish())
        assert torch.equal(torch.cat(blocks, dim=1), whole)
        transform = MelTransform(n_fft=n_fft, hop=hop, n_mels=20)
        of_blocks = np.concatenate([log_mel(block, transform) for block in blocks])
        np.testing.assert_array_equal(of_blocks, log_mel(whole, transform))

    def test_sample_by_sample(self):
        mono = noise(5000)
        stream = StftStream(32, 16)
        blocks = [stream.push(mono[i : i + 1]) for i in range(len(mono))]
        spectrum = torch.cat([*blocks, stream.finish()], dim=1)
        assert torch.equal(spectrum, stft(mono, n_fft=32, hop=16))

    def test_a_block_may_be_reused_by_its_owner(self):
        mono, stream = noise(2 * TILE * 512), StftStream(2048, 512)
        buffer, blocks = np.empty(4096, np.float32), []
        for start in range(0, len(mono), 4096):
            buffer[:] = mono[start : start + 4096]
            blocks.append(stream.push(buffer))
        spectrum = torch.cat([*blocks, stream.finish()], dim=1)
        assert torch.equal(spectrum, stft(mono, n_fft=2048, hop=512))

    def test_it_holds_no_more_than_a_tile(self):
        stream, block, most = StftStream(64, 32), noise(1000), 0
        for _ in range(100):
            stream.push(block)
            most = max(most, sum(len(block) for block in stream._padded._pending))
        assert most <= TILE * 32 + 64 + 1000

    def test_an_ended_signal_takes_no_more(self):
        stream = StftStream(64, 32)
        stream.finish()
        with pytest.raises(ValueError, match="was finished"):
            stream.push(noise(1))

    def test_channels_are_refused(self):
        with pytest.raises(ValueError, match=r"shape \(2, 9\)"):
            StftStream(64, 32).push(np.zeros((2, 9), np.float32))
        with pytest.raises(ValueError, match=r"shape \(2, 9\)"):
            stft(np.zeros((2, 9), np.float32), n_fft=64, hop=32)


def test_a_filter_bank_is_its_matrix():
    """Bands without a bin (far more bands than bins) are zero."""
    filters = mel_filterbank(MelTransform(n_fft=256, n_mels=200)).T
    assert not filters.any(dim=0).all()
    power = torch.rand(30, 129)
    np.testing.assert_allclose(FilterBank(filters)(power), power @ filters, rtol=1e-5, atol=1e-6)
    nothing = FilterBank(torch.zeros(129, 3))(power)
    assert nothing.shape == (30, 3)
    assert not nothing.any()


class TestMelScale:
    @pytest.mark.parametrize(
        "transform", [TRANSFORM, MelTransform(n_mels=40, f_min=50.0, f_max=8000.0)]
    )
    def test_centres_are_equally_spaced_in_htk_mel(self, transform):
        centres = mel_frequencies(transform).astype(np.float64)
        mel = [
            1127.01048 * np.log(1 + f / 700) for f in [transform.f_min, *centres, transform.f_max]
        ]
        assert len(centres) == transform.n_mels
        np.testing.assert_allclose(np.diff(mel), (mel[-1] - mel[0]) / (transform.n_mels + 1), 1e-4)

    def test_the_filters_are_triangles_of_peak_one_on_these_centres(self):
        filters = mel_filterbank(TRANSFORM).numpy()
        centres = mel_frequencies(TRANSFORM).astype(np.float64)
        edges = np.concatenate([[TRANSFORM.f_min], centres, [TRANSFORM.f_max]])
        bins = np.arange(1025) * RATE / 2048
        triangles = [np.interp(bins, edges[i : i + 3], [0, 1, 0]) for i in range(128)]
        np.testing.assert_allclose(filters, triangles, atol=2e-3)
        assert filters.any(axis=1).all()  # no band is narrower than the bins

    @pytest.mark.parametrize("band", [30, 60, 90, 127])
    def test_a_tone_is_loudest_in_its_band(self, band):
        hertz = mel_frequencies(TRANSFORM)[band]
        tone = 0.5 * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE).astype(np.float32)
        assert (spectrogram_of(tone)[2:-2].argmax(axis=1) == band).all()


class TestLogMel:
    @pytest.mark.parametrize("samples", [1, 1000, 3 * RATE])
    def test_silence_is_the_floor(self, samples):
        spectrogram = spectrogram_of(np.zeros(samples, np.float32))
        assert (spectrogram == -100.0).all()
        lower = replace(TRANSFORM, floor_db=-80.0)
        assert (spectrogram_of(np.zeros(samples, np.float32), lower) == -80.0).all()

    @pytest.mark.parametrize("samples", [1, 100, 1024, 1025, RATE])
    def test_any_length_has_frames_and_bands(self, samples):
        spectrogram = spectrogram_of(noise(samples))
        assert spectrogram.dtype == np.float32
        assert spectrogram.flags.c_contiguous
        assert spectrogram.shape == (1 + max(samples, 1025) // 512, 128)
        assert np.isfinite(spectrogram).all()

    @pytest.mark.parametrize("amplitude", [1e-30, 1e-6, 1e-3, 1.0, 8.0])
    @pytest.mark.parametrize("kind", ["noise", "tone", "constant", "square", "click"])
    def test_float16_holds_it_to_a_thirtieth_of_a_decibel(self, amplitude, kind):
        """Up to the loudest signal that `ml.audio.check` accepts, a peak of 8."""
        t = np.arange(RATE)
        mono = {
            "noise": np.clip(noise(RATE) / 0.4, -1, 1),
            "tone": np.sin(2 * np.pi * 440 / RATE * t),
            "constant": np.ones(RATE),
            "square": np.where(t % 100 < 50, 1.0, -1.0),
            "click": (t == 9000).astype(float),
        }[kind]
        spectrogram = spectrogram_of((amplitude * mono).astype(np.float32))
        assert spectrogram.min() >= -100.0
        assert (
            np.abs(spectrogram.astype(np.float16).astype(np.float32) - spectrogram).max() <= 1 / 30
        )

    def test_ten_times_the_amplitude_is_twenty_decibels(self):
        quiet = noise(RATE)
        np.testing.assert_allclose(
            spectrogram_of(10 * quiet), spectrogram_of(quiet) + 20, atol=1e-4
        )

    def test_is_torchaudios(self):
        mono = noise(2 * RATE)
        oracle = torchaudio.transforms.MelSpectrogram(
            RATE, n_fft=2048, hop_length=512, n_mels=128, f_min=0.0, f_max=11025.0, power=2.0
        )
        expected = 10 * torch.log10(oracle(torch.from_numpy(mono))).T.numpy()
        np.testing.assert_allclose(spectrogram_of(mono), expected, atol=1e-3)

    def test_is_librosas_with_htk_mel(self, librosa):
        mono = noise(2 * RATE)
        power = librosa.feature.melspectrogram(
            y=mono,
            sr=RATE,
            n_fft=2048,
            hop_length=512,
            pad_mode="reflect",
            n_mels=128,
            fmin=0.0,
            fmax=11025.0,
            htk=True,
            norm=None,
        )
        expected = librosa.power_to_db(power, ref=1.0, top_db=None).T
        np.testing.assert_allclose(spectrogram_of(mono), expected, atol=5e-3)


class TestTransform:
    def test_seconds_and_frames(self):
        assert TRANSFORM.frames_per_second == pytest.approx(43.066, abs=1e-3)
        frames = [TRANSFORM.frames(seconds) for seconds in (0.0, 0.001, 3.0, 30.0)]
        assert frames == [1, 1, 129, 1292]

    @given(
        st.builds(
            MelTransform,
            sample_rate=st.sampled_from([16000, 22050, 44100]),
            n_fft=st.sampled_from([512, 1024]),
            hop=st.integers(1, 512),
            n_mels=st.integers(1, 256),
            f_min=st.floats(0, 100),
            f_max=st.floats(1000, 8000),
            floor_db=st.floats(-200, 0),
        )
    )
    def test_the_attributes_bring_it_back(self, transform):
        stored = json.loads(json.dumps(transform.attributes()))
        assert from_attributes(MEL, stored) == transform
        assert stored["mel_scale"] == "htk"
        assert stored["unit"] == "dB of power, re 1.0"

    def test_attributes_without_a_parameter_are_refused(self):
        stored = TRANSFORM.attributes()
        del stored["hop"]
        with pytest.raises(KeyError, match="hop"):
            from_attributes(MEL, stored)
