import numpy as np
import pytest

from melgraph.ml.errors import UserError
from melgraph.ml.generation.reconstruction.excerpts import invert_excerpt
from melgraph.ml.specs.methods.inversion import InversionConfig

RATE = 44100
REPRESENTATIONS = ("stft_spectrograms", "mel_spectrograms", "mfcc")


def chord(length: int = RATE, rate: int = RATE) -> np.ndarray:
    """Two channels with the same chord at two levels."""
    seconds = np.arange(length) / rate
    tones = [np.sin(2 * np.pi * f * seconds) for f in (220.0, 277.2, 329.6)]
    mono = 0.2 * np.sum(tones, axis=0) * np.exp(-2.0 * seconds)
    return np.stack([mono, 0.5 * mono], axis=1).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 22050, 44100])
@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_shape_and_level_of_the_excerpt(representation, rate):
    samples = chord(rate, rate)
    inverted = invert_excerpt(samples, rate, InversionConfig(representation=representation), seed=0)
    assert inverted.samples.shape == samples.shape
    assert inverted.samples.dtype == np.float32
    assert np.abs(inverted.samples).max() <= 1.0
    assert np.std(inverted.samples) == pytest.approx(np.std(samples.mean(axis=1)), rel=0.6)


def test_the_stft_is_nearest_and_mfcc_are_farthest():
    figures = [
        invert_excerpt(
            chord(), RATE, InversionConfig(representation=name), seed=0
        ).spectral_convergence_db
        for name in REPRESENTATIONS
    ]
    assert figures == sorted(figures)
    assert figures[0] < -15


def test_the_original_phase_gives_the_original():
    inverted = invert_excerpt(chord(), RATE, InversionConfig(phase="original"), seed=0)
    np.testing.assert_allclose(inverted.samples, chord(), atol=1e-4)
    assert inverted.si_sdr_db > 80
    estimated = InversionConfig(representation="mel_spectrograms")
    original = InversionConfig(representation="mel_spectrograms", phase="original")
    figures = [invert_excerpt(chord(), RATE, config, seed=0) for config in (original, estimated)]
    assert figures[0].si_sdr_db > figures[1].si_sdr_db


def test_channels_keep_their_levels_and_have_one_phase():
    inverted = invert_excerpt(chord(), RATE, InversionConfig(), seed=0).samples
    left, right = inverted[2000:20000].T
    assert np.std(left) == pytest.approx(2 * np.std(right), rel=0.05)
    assert np.corrcoef(left, right)[0, 1] > 0.99


def test_more_overlap_is_nearer():
    coarse, fine = (
        invert_excerpt(chord(), RATE, InversionConfig(overlap=overlap), seed=0)
        for overlap in (4, 16)
    )
    assert fine.spectral_convergence_db < coarse.spectral_convergence_db


@pytest.mark.parametrize("representation", REPRESENTATIONS)
@pytest.mark.parametrize("length", [1, 500, 9000])
def test_silence_and_less_than_a_frame(representation, length):
    config = InversionConfig(representation=representation)
    silence = np.zeros((length, 2), np.float32)
    inverted = invert_excerpt(silence, RATE, config, seed=0)
    assert not inverted.samples.any()
    assert inverted.samples.shape == (length, 2)
    sound = invert_excerpt(chord(length), RATE, config, seed=0)
    assert sound.samples.shape == (length, 2)
    assert np.isfinite(sound.samples).all()


def test_a_loud_result_is_attenuated_and_not_clipped():
    loud = 4.0 * chord()
    inverted = invert_excerpt(loud, RATE, InversionConfig(phase="original"), seed=0)
    assert np.abs(inverted.samples).max() == pytest.approx(1.0)
    np.testing.assert_allclose(inverted.samples / inverted.gain, loud, atol=1e-3)


@pytest.mark.parametrize("samples", [np.zeros((0, 2)), np.zeros(100), np.full((100, 1), np.nan)])
def test_an_excerpt_that_cannot_be_used(samples):
    with pytest.raises(UserError, match="the excerpt has"):
        invert_excerpt(samples, RATE, InversionConfig(), seed=0)
