import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.inference.tracks import crop_batch, predict_tracks
from melgraph.ml.models import InputShape, build
from melgraph.ml.models.base import bin_statistics
from melgraph.ml.representations.images import (
    ImageMapping,
    ImageTrack,
    amplitude_from_image,
    amplitude_image,
    apply_amplitude_edit,
    apply_phase_edit,
    clipped_share,
    phase_differences,
    phase_from_image,
    phase_image,
)
from melgraph.ml.spectral import StftTransform, amplitude_and_phase, stft

MAPPING = ImageMapping(size=64)
SHAPE = (110, 129)  # frames, bins


def amplitudes(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-80, 60, SHAPE).astype(np.float16)


def phases(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-math.pi, math.pi, SHAPE).astype(np.float16)


def test_the_default_is_the_image_of_the_source():
    image = amplitude_image(np.zeros((862, 1025), np.float16), ImageMapping())
    assert image.shape == (512, 512)
    assert image.dtype == np.float32


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99))
def test_images_lie_between_0_and_1(seed):
    for image in (amplitude_image(amplitudes(seed), MAPPING), *phase_image(phases(seed), MAPPING)):
        assert image.shape == (64, 64)
        assert 0.0 <= image.min() <= image.max() <= 1.0


@pytest.mark.parametrize(
    ("decibels", "pixel"), [(-100, 0.0), (-50, 0.0), (2.5, 0.5), (55, 1.0), (70, 1.0)]
)
def test_the_stated_mapping(decibels, pixel):
    image = amplitude_image(np.full(SHAPE, decibels, np.float16), MAPPING)
    np.testing.assert_allclose(image, pixel, atol=1e-6)
    back = amplitude_from_image(image, MAPPING, n_frames=SHAPE[0], n_bins=SHAPE[1])
    assert back.shape == SHAPE
    np.testing.assert_allclose(back, np.clip(decibels, -50, 55), atol=1e-4)


def turns(image: np.ndarray) -> np.ndarray:
    """The angle that each pixel of the two images of the phase shows, radians."""
    cosine, sine = 2 * image - 1
    return np.arctan2(sine, cosine)


def test_phase_there_and_back():
    """A phase that turns by 0.5 rad a frame, and is wrapped: what comes back is not wrapped."""
    turning = np.repeat(0.5 * np.arange(SHAPE[0])[:, None], SHAPE[1], axis=1)
    wrapped = np.angle(np.exp(1j * turning))
    image = phase_image(wrapped, MAPPING, before=np.full(SHAPE[1], -0.5))
    np.testing.assert_allclose(turns(image), 0.5, atol=1e-4)
    back = phase_from_image(image, n_frames=SHAPE[0], n_bins=SHAPE[1])
    np.testing.assert_allclose(back, turning, atol=0.02)


def test_the_phase_of_a_tone_survives_the_shrinking():
    """Of wrapped radians nothing was left: the mean of -pi and pi is 0.

    A tone of 1000 Hz turns by the same angle in every frame, in all bins that hold it. Its image
    shows this angle, at a sixteenth of the size. The image of the wrapped phase is grey there.
    """
    how = StftTransform()
    tone = np.sin(2 * np.pi * 1000 * np.arange(10 * how.sample_rate) / how.sample_rate)
    spectrum = stft(tone.astype(np.float32), n_fft=how.n_fft, hop=how.hop)
    _, phase = amplitude_and_phase(spectrum, how)
    expected = np.angle(np.exp(1j * 2 * np.pi * 1000 * how.hop / how.sample_rate))
    image = phase_image(phase, MAPPING)
    row = round(1000 / (how.sample_rate / 2) * MAPPING.size)
    np.testing.assert_allclose(turns(image)[row, 4:-4], expected, atol=0.15)
    wrapped = amplitude_image(phase, ImageMapping(size=64, low_db=-math.pi, high_db=math.pi))
    assert np.abs(wrapped[row, 4:-4] - 0.5).max() < 0.1  # no angle is left


def test_the_difference_of_the_first_frame_needs_the_frame_before():
    phase = phases().astype(np.float32)
    whole = phase_differences(phase)
    assert not whole[0].any()
    np.testing.assert_array_equal(phase_differences(phase[7:], before=phase[6]), whole[7:])


def test_rows_are_bins_and_columns_are_frames():
    amplitude = np.full(SHAPE, -50.0, np.float16)
    amplitude[:, :30] = 55.0  # low bins, all the time
    image = amplitude_image(amplitude, MAPPING)
    np.testing.assert_allclose(image[:10], 1.0, atol=1e-6)
    np.testing.assert_allclose(image[-30:], 0.0, atol=1e-6)


def test_the_clipped_share_is_counted():
    amplitude = np.array([[-60.0, -50.0, 0.0, 56.0]])
    assert clipped_share(amplitude, MAPPING) == (0.25, 0.25)


def test_no_edit_changes_nothing():
    amplitude, phase = amplitudes(), phases()
    image = amplitude_image(amplitude, MAPPING)
    np.testing.assert_array_equal(
        apply_amplitude_edit(amplitude, image, image, MAPPING), amplitude.astype(np.float32)
    )
    image = phase_image(phase, MAPPING)
    np.testing.assert_array_equal(apply_phase_edit(phase, image, image), phase.astype(np.float32))


def test_an_edit_arrives_where_it_was_made():
    """A brighter square raises the level there and nowhere else, and the detail stays."""
    amplitude = amplitudes()
    before = amplitude_image(amplitude, MAPPING)
    after = before.copy()
    after[16:32, 32:48] += 0.1
    change = apply_amplitude_edit(amplitude, before, after, MAPPING) - amplitude
    frames, bins = (np.arange(n) * 64 / n for n in SHAPE)
    inside = np.outer((frames > 34) & (frames < 46), (bins > 18) & (bins < 30))
    outside = np.outer((frames < 30) | (frames > 50), (bins < 14) | (bins > 34))
    np.testing.assert_allclose(change[inside], 10.5, atol=1e-3)
    np.testing.assert_allclose(change[outside], 0.0, atol=1e-3)


def test_a_phase_edit_turns_the_phase():
    """Images that turn by 0.1 rad a frame more: every frame is turned by 0.1 more than the last."""
    phase = np.zeros(SHAPE)
    before = phase_image(phase, MAPPING)
    after = before.copy()
    after[:] = (np.array([np.cos(0.1), np.sin(0.1)])[:, None, None] + 1) / 2
    turned = apply_phase_edit(phase, before, after)
    np.testing.assert_allclose(turned[:, 0], 0.1 * np.arange(1, SHAPE[0] + 1), rtol=1e-4)


def test_images_of_two_sizes_are_refused():
    image = amplitude_image(amplitudes(), MAPPING)
    with pytest.raises(ValueError, match=r"\(64, 64\) and \(63, 64\)"):
        apply_amplitude_edit(amplitudes(), image, image[1:], MAPPING)


def test_the_phase_edit_of_one_image_is_refused():
    image = phase_image(phases(), MAPPING)
    with pytest.raises(ValueError, match=r"\[2, row, column\]"):
        apply_phase_edit(phases(), image[0], image[0])


@pytest.mark.parametrize("names", [("amplitude",), ("phase",), ("amplitude", "phase")])
def test_a_track_is_the_images_of_its_chunks(names):
    """Chunks of 110 frames, three and a bit: each crop is the image of its chunk, bit by bit."""
    rng = np.random.default_rng(1)
    both = {"amplitude": rng.uniform(-80, 60, (347, 129)).astype(np.float16),
            "phase": rng.uniform(-math.pi, math.pi, (347, 129)).astype(np.float16)}  # fmt: skip
    arrays = {name: both[name] for name in names}
    track = ImageTrack(arrays, MAPPING, chunk_frames=110)
    channels = {"amplitude": 1, "phase": 2}
    assert track.shape == (int(347 / 110 * 64), 64, sum(channels[name] for name in names))
    crops = crop_batch([track], np.zeros(3, int), np.array([0, 64, 128]), crop_frames=64).numpy()
    for number, crop in enumerate(crops):
        rows = slice(number * 110, (number + 1) * 110)
        expected = []
        if "amplitude" in names:
            expected.append(amplitude_image(both["amplitude"][rows], MAPPING)[None])
        if "phase" in names:
            before = both["phase"][rows.start - 1] if number else None
            expected.append(phase_image(both["phase"][rows], MAPPING, before=before))
        np.testing.assert_array_equal(crop, np.concatenate(expected))
    assert np.asarray(track).shape == track[:].shape == track.shape
    assert track[5:5].shape == (0, *track.shape[1:])
    with pytest.raises(ValueError, match="a step of 2"):
        track[::2]


def test_a_track_shorter_than_a_chunk_is_repeated():
    track = ImageTrack({"phase": phases()[:40]}, MAPPING, chunk_frames=110)
    assert track.shape == (23, 64, 2)
    crop = crop_batch([track], np.zeros(1, int), np.zeros(1, int), crop_frames=64)
    assert crop.shape == (1, 2, 64, 64)
    np.testing.assert_array_equal(crop[0, :, :, 23:46], crop[0, :, :, :23])


def test_a_network_takes_images_as_it_takes_any_input():
    tracks = [ImageTrack({"amplitude": amplitudes(i), "phase": phases(i)}, MAPPING, chunk_frames=50)
              for i in range(2)]  # fmt: skip
    mean, std = bin_statistics(tracks, least_std=0.01)
    assert mean.shape == std.shape == (3, 64)
    model = build("small_cnn", InputShape(3, 64, 64), n_classes=2, channels=[4, 8])
    model.set_normalisation(mean, std)
    assert predict_tracks(model, tracks).shape == (2, 2)


def test_the_attributes_bring_it_back():
    stored = json.loads(json.dumps(MAPPING.attributes()))
    assert ImageMapping(**{name: stored[name] for name in asdict(MAPPING)}) == MAPPING
