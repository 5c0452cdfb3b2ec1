import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.audio import resample
from melgraph.ml.errors import UserError
from melgraph.ml.evaluation.fidelity import compare
from melgraph.ml.generation import controls
from melgraph.ml.generation.resynthesis import snr_db
from melgraph.ml.spectral import stft

RATE = 22_050


def music(seconds: float = 3.0, rate: int = RATE, channels: int = 2, seed: int = 0) -> np.ndarray:
    """Decaying tones and a little noise, panned differently per channel."""
    at = np.arange(int(seconds * rate)) / rate
    random = np.random.default_rng(seed)
    sound = np.zeros((len(at), channels))
    for onset in np.arange(0, seconds, 0.25):
        hertz = 220 * 2 ** (random.integers(24) / 12)
        envelope = np.where(at >= onset, np.exp(-8 * np.maximum(at - onset, 0)), 0)
        tone = sum(np.sin(2 * np.pi * k * hertz * at) / k for k in (1, 2, 3, 4)) * envelope
        sound += 0.1 * tone[:, None] * random.uniform(0.3, 1, channels)
    return (sound + 0.002 * random.standard_normal(sound.shape)).astype(np.float32)


def test_the_identity_edit_gives_the_source_back() -> None:
    source = music()
    assert snr_db(source, controls.identity(source, RATE)) > 100


def test_random_phase_has_the_amplitude_of_the_source_and_not_its_waveform() -> None:
    source = music(channels=1)
    sound = controls.random_phase(source, RATE, seed=0)
    assert snr_db(source, sound) < 1
    result = compare(source, RATE, sound, RATE)
    assert result.chroma_correlation is not None
    assert result.chroma_correlation > 0.5
    # the spectrum over the whole sound remains, up to one gain
    before, after = (
        stft(x[:, 0], n_fft=2048, hop=512).abs().square().mean(dim=1).numpy()
        for x in (source, sound)
    )
    assert np.corrcoef(np.log(before), np.log(after))[0, 1] > 0.98
    assert sound.tobytes() == controls.random_phase(source, RATE, seed=0).tobytes()
    assert sound.tobytes() != controls.random_phase(source, RATE, seed=1).tobytes()


def test_random_phase_keeps_the_stereo_image() -> None:
    mono = music(channels=1)
    both = np.concatenate([mono, mono * np.float32(0.5)], axis=1)
    sound = controls.random_phase(both, RATE, seed=0)
    np.testing.assert_allclose(sound[:, 1], 0.5 * sound[:, 0], atol=1e-6)


def test_the_inversion_alone_has_the_spectrogram_of_the_source() -> None:
    source = music()
    sound = controls.inversion(source, RATE, seed=0)
    assert sound.shape == source.shape
    assert sound.tobytes() == controls.inversion(source, RATE, seed=0).tobytes()
    figures = [
        compare(source, RATE, x, RATE).log_spectral_distance_db
        for x in (sound, controls.random_phase(source, RATE, seed=0))
    ]
    assert figures[0] is not None
    assert figures[1] is not None
    assert figures[0] < 0.9 * figures[1]


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000, 37_800, 96_000])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_mp3_is_aligned_and_reproducible(rate: int, channels: int) -> None:
    source = music(2.0, rate, channels)
    sound = controls.mp3(source, rate)
    assert sound.shape == source.shape
    assert sound.dtype == np.float32
    assert sound.tobytes() == controls.mp3(source, rate).tobytes()
    size = 2 * len(source)
    for channel in range(channels):
        spectra = [np.fft.rfft(x[:, channel], size) for x in (source, sound)]
        lag = int(np.fft.irfft(spectra[0] * np.conj(spectra[1])).argmax())
        assert lag == 0
    assert snr_db(source, sound) > 10
    assert snr_db(source, sound) < 60  # it is lossy


def test_mp3_at_64_kbit_s_loses_the_top_octave_of_stereo() -> None:
    random = np.random.default_rng(0)
    source = (0.1 * random.standard_normal((2 * 44_100, 2))).astype(np.float32)
    lost = compare(source, 44_100, controls.mp3(source, 44_100), 44_100).octave_difference_db[-1]
    assert lost is not None
    assert lost < -20


@settings(max_examples=10, deadline=None)
@given(
    count=st.integers(1, 6000),
    channels=st.integers(1, 4),
    scale=st.sampled_from([0.0, 1e-4, 1.0]),
    rate=st.sampled_from([8000, 22_050]),
)
def test_any_sound(count: int, channels: int, scale: float, rate: int) -> None:
    random = np.random.default_rng(count)
    source = (scale * random.uniform(-1, 1, (count, channels))).astype(np.float32)
    copy = source.copy()
    for sound in (
        controls.identity(source, rate),
        controls.random_phase(source, rate, seed=0),
        controls.inversion(source, rate, seed=0),
        controls.mp3(source, rate),
    ):
        assert sound.shape == source.shape
        assert sound.dtype == np.float32
        assert np.isfinite(sound).all()
        assert np.abs(sound).max() <= 1.001
    np.testing.assert_array_equal(source, copy)


def edits() -> dict[str, np.ndarray]:
    source = music(channels=1)
    treble = source - resample(resample(source[:, 0], RATE, 4000), 4000, RATE)[:, None]
    return {
        "random phase": controls.random_phase(source, RATE, seed=3),
        "twice the treble": source + treble,
        "another song": music(channels=1, seed=9),
        "a shorter sound": controls.mp3(source, RATE)[: 2 * RATE],
    }


@pytest.mark.parametrize("name", edits())
def test_matched_noise_is_as_far_from_the_source_as_the_edit(name: str) -> None:
    source, edited = music(channels=1), edits()[name]
    noise = controls.matched_noise(source, edited, RATE, seed=0)
    assert noise is not None
    assert noise.matches
    assert noise.samples.shape == (min(len(source), len(edited)), 1)
    cut = source[: len(edited)]
    target = compare(cut, RATE, edited[: len(cut)], RATE).log_spectral_distance_db
    got = compare(cut, RATE, noise.samples, RATE).log_spectral_distance_db
    assert target == pytest.approx(noise.target_db)
    assert got == pytest.approx(target, abs=controls.DISTANCE_TOLERANCE_DB)
    again = controls.matched_noise(source, edited, RATE, seed=0)
    assert again is not None
    assert again.samples.tobytes() == noise.samples.tobytes()
    other = controls.matched_noise(source, edited, RATE, seed=1)
    assert other is not None
    assert other.samples.tobytes() != noise.samples.tobytes()


def test_the_noise_is_as_smooth_as_the_edit() -> None:
    random = np.random.default_rng(0)
    rough = random.standard_normal((200, 100))
    kernel = np.ones(9) / 9
    smooth = np.apply_along_axis(np.convolve, 0, rough, kernel, mode="same")
    noise = controls._surrogate(smooth, seed=5)
    assert noise.shape == smooth.shape
    assert noise.mean() == pytest.approx(0, abs=1e-9)
    assert noise.std() == pytest.approx(smooth.std(), rel=1e-3)

    def neighbours(x: np.ndarray, axis: int) -> float:
        first, second = np.delete(x, -1, axis).ravel(), np.delete(x, 0, axis).ravel()
        return float(np.corrcoef(first, second)[0, 1])

    for axis in (0, 1):
        assert neighbours(noise, axis) == pytest.approx(neighbours(smooth, axis), abs=0.03)
    assert abs(np.corrcoef(noise.ravel(), smooth.ravel())[0, 1]) < 0.1


def test_no_edit_and_silence() -> None:
    source = music(1.0, channels=1)
    silent = np.zeros_like(source)
    assert controls.matched_noise(source, silent, RATE, seed=0) is None
    assert controls.matched_noise(silent, source, RATE, seed=0) is None
    same = controls.matched_noise(source, source * np.float32(0.5), RATE, seed=0)
    assert same is not None
    assert same.matches
    assert same.target_db == pytest.approx(0, abs=1e-3)
    assert compare(source, RATE, same.samples, RATE).log_spectral_distance_db < 0.11


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.zeros(5, np.float32), RATE, "shape"),
        (np.zeros((0, 1), np.float32), RATE, "shape"),
        (np.zeros((5, 1), np.float32), 0, "at 0 Hz"),
        (np.full((5, 1), np.nan, np.float32), RATE, "5 values that are not finite"),
    ],
)
def test_errors(samples: np.ndarray, rate: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        controls.identity(samples, rate)
    with pytest.raises(UserError, match=message):
        controls.random_phase(samples, rate, seed=0)
    with pytest.raises(UserError, match=message):
        controls.mp3(samples, rate)
    with pytest.raises(UserError, match=message):
        controls.inversion(samples, rate, seed=0)
    with pytest.raises(UserError, match=message):
        controls.matched_noise(samples, samples, rate, seed=0)
