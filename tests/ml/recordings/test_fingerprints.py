"""Fingerprints: their definition, and the changes to which they are robust."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from melgraph.ml.errors import UserError
from melgraph.ml.recordings import fingerprints
from melgraph.ml.recordings.fingerprints import N_BITS, SILENT, Fingerprints, fingerprint
from melgraph.ml.spectral import MelTransform

LOST = fingerprints.MEAN_FRAMES + fingerprints.LAG_FRAMES - 1  # frames that are needed for one code


def lively(frames: int, seed: int = 0) -> np.ndarray:
    """A spectrogram in which every band moves: float32 [frame, 128], dB."""
    walk = np.random.default_rng(seed).standard_normal((frames, 128)).cumsum(axis=0)
    return (walk * 2 - 30).clip(-90, 0).astype(np.float32)


def differing(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.bitwise_count(first ^ second).mean()) / N_BITS


def by_the_paper(log_mel: np.ndarray, frame: int) -> int:
    """One code, bit by bit, in plain loops."""

    def level(band: int, start: int) -> float:
        first = fingerprints.FIRST_MEL + band * fingerprints.MELS_PER_BAND
        total = 0.0
        for t in range(start, start + fingerprints.MEAN_FRAMES):
            for mel in range(first, first + fingerprints.MELS_PER_BAND):
                total += 10 ** (float(log_mel[t, mel]) / 10)
        return 10 * np.log10(total)

    code = 0
    for bit in range(N_BITS):
        before, after = (
            level(bit, start) - level(bit + 1, start)
            for start in (frame, frame + fingerprints.LAG_FRAMES)
        )
        code |= int(after - before > 0) << bit
    return code


def test_the_frames_are_those_of_the_default_transform():
    assert MelTransform().frames_per_second == fingerprints.FRAMES_PER_SECOND
    assert MelTransform().n_mels == 128


def test_the_bits_are_those_of_the_paper():
    spectrogram = lively(60)
    codes = fingerprint(spectrogram)
    assert codes.dtype == np.uint32
    assert len(codes) == 60 - LOST
    for frame in (0, 17, len(codes) - 1):
        assert int(codes[frame]) == by_the_paper(spectrogram, frame)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 200), st.integers(0, 2**31), st.integers(0, 40))
def test_a_part_has_the_codes_of_the_whole(frames, seed, start):
    whole = lively(frames + start, seed)
    codes, part = fingerprint(whole), fingerprint(whole[start:])
    assert len(codes) == max(0, len(whole) - LOST)
    assert differing(codes[start:], part) < 0.05 if len(part) else not len(codes[start:])


@settings(deadline=None, max_examples=30)
@given(st.floats(-9, 30), arrays(np.float32, 128, elements=st.floats(-6, 6, width=32)))
def test_levels_and_equalisers_cancel(gain_db, slope):
    spectrogram = lively(200) - 40
    smooth = np.convolve(np.pad(slope, 16, mode="edge"), np.full(33, 1 / 33), mode="valid")
    codes = fingerprint(spectrogram)
    assert differing(fingerprint(spectrogram + np.float32(gain_db)), codes) < 0.01
    assert differing(fingerprint(spectrogram + smooth.astype(np.float32)), codes) < 0.06


def test_other_music_differs_in_half_of_the_bits():
    assert 0.4 < differing(fingerprint(lively(500, 1)), fingerprint(lively(500, 2))) < 0.6


@settings(deadline=None, max_examples=30)
@given(arrays(np.float16, (80, 128), elements=st.floats(-100, 60, width=16)))
def test_any_finite_spectrogram_has_a_fingerprint(spectrogram):
    codes = fingerprint(spectrogram)
    assert codes.shape == (80 - LOST,)
    np.testing.assert_array_equal(codes, fingerprint(spectrogram.copy()))


@pytest.mark.parametrize("level", [-100.0, -20.0])
def test_what_never_changes_says_nothing(level):
    assert (fingerprint(np.full((100, 128), level, np.float16)) == SILENT).all()


def test_silence_between_sounds_says_nothing():
    spectrogram = lively(300)
    spectrogram[100:200] = -100
    codes = fingerprint(spectrogram)
    assert (codes[110:170] == SILENT).all()
    assert (codes[:70] != SILENT).mean() > 0.9


def test_too_few_bands_are_refused():
    with pytest.raises(UserError, match=r"\(50, 64\)"):
        fingerprint(np.zeros((50, 64), np.float32))


@given(st.lists(arrays(np.uint32, st.integers(0, 9)), max_size=6))
def test_tracks_come_back(tracks):
    made = Fingerprints.of(tracks)
    assert len(made) == len(tracks)
    for row, codes in enumerate(tracks):
        np.testing.assert_array_equal(made.track(row), codes)
