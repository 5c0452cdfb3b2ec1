"""Copies are found: exact, quieter and shifted. Independent crops are not called copies."""

import numpy as np
import pytest

from melgraph.ml.generative.flow.memorisation import (
    evenly_spaced_crops,
    nearest_crops,
    summarise,
)

BINS, FRAMES = 16, 32
MEAN, STD = np.linspace(-20, -60, BINS), np.linspace(5, 12, BINS)


def recording(seed, frames=150):
    """Levels that change within about 8 frames: float16 `[frame, bin]`, dB."""
    noise = np.random.default_rng(seed).normal(size=(frames + 7, BINS))
    smooth = np.lib.stride_tricks.sliding_window_view(noise, 8, axis=0).mean(axis=2) * np.sqrt(8)
    return (MEAN + STD * smooth).astype(np.float16)


TRAINING = [recording(i) for i in range(20)]
HELD_OUT = evenly_spaced_crops([recording(100 + i) for i in range(20)], frames=FRAMES)


def nearest(crops):
    return nearest_crops(np.asarray(crops), TRAINING, MEAN, STD)


def copy(track=7, start=40, shift=0):
    return TRAINING[track][start + shift : start + shift + FRAMES]


def test_an_exact_copy_has_the_distance_0():
    matches = nearest([copy(), copy(19, 116), copy(0, 0)])
    assert matches.distances.max() < 1e-5
    assert matches.tracks.tolist() == [7, 19, 0]
    assert matches.starts.tolist() == [40, 116, 0]
    assert matches.distances.dtype == np.float32


def test_a_quieter_copy_is_still_a_copy():
    matches = nearest([copy().astype(np.float32) - 10])
    assert matches.distances[0] < 1e-3
    assert (matches.tracks[0], matches.starts[0]) == (7, 40)


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_a_copy_between_two_compared_crops_is_nearer_than_all_held_out_crops(shift):
    matches = nearest([copy(shift=shift)])
    assert matches.tracks[0] == 7
    assert abs(matches.starts[0] - 40 - shift) <= 1
    assert matches.distances[0] < 0.7 * nearest(HELD_OUT).distances.min()


def test_copies_are_counted_and_independent_crops_are_not():
    held_out = nearest(HELD_OUT).distances
    independent = evenly_spaced_crops([recording(200 + i) for i in range(20)], frames=FRAMES)
    clean = summarise(nearest(independent).distances, held_out)
    assert clean.share_nearer <= 0.15  # 5 % are expected
    assert clean.least > 0.8 * clean.held_out_least
    copies = summarise(
        nearest([copy(), copy(3, 20) - np.float16(10), copy(5, 9)]).distances, held_out
    )
    assert copies.share_nearer == 1
    assert copies.sentence.startswith("3 of 3 samples are nearer to a training crop")
    assert copies.median < copies.threshold <= copies.held_out_median


def test_duplicates_among_the_held_out_recordings_are_named():
    with_duplicates = np.concatenate([HELD_OUT, evenly_spaced_crops(TRAINING[:2], frames=FRAMES)])
    held_out = nearest(with_duplicates).distances
    summary = summarise(nearest(HELD_OUT).distances, held_out)
    assert "probably duplicates of training recordings" in summary.sentence
    clean = nearest(HELD_OUT).distances
    assert "duplicates" not in summarise(clean, clean).sentence


def test_the_distance_is_that_of_a_plain_computation():
    crops = HELD_OUT[:3].astype(np.float64)

    def pooled(crop):
        return ((crop - MEAN) / STD).reshape(8, 4, 4, 4).mean(axis=(1, 3)).ravel()

    louder = pooled(MEAN + np.ones((FRAMES, BINS)))
    for crop, distance in zip(crops, nearest(HELD_OUT[:3]).distances, strict=True):
        least = np.inf
        for track in TRAINING:
            for start in range(0, 150 - FRAMES + 1, 2):
                difference = pooled(crop) - pooled(track[start : start + FRAMES].astype(float))
                level = difference @ louder / (louder @ louder)
                least = min(least, np.square(difference - level * louder).mean() ** 0.5)
        assert distance == pytest.approx(least, rel=1e-4)


def test_short_recordings_and_sizes_that_are_no_multiple():
    short = recording(0, 20)
    repeated = np.resize(short, (FRAMES, BINS))
    matches = nearest_crops(repeated[None], [recording(1), short], MEAN, STD)
    assert matches.tracks.tolist() == [1]
    assert matches.distances[0] < 1e-5
    odd = nearest_crops(
        TRAINING[4][None, 8:39, :13], [t[:, :13] for t in TRAINING], MEAN[:13], STD[:13]
    )
    assert (odd.tracks[0], odd.starts[0]) == (4, 8)
    tiny = nearest_crops(
        TRAINING[4][None, 8:10, :3], [t[:, :3] for t in TRAINING], MEAN[:3], STD[:3]
    )
    assert tiny.distances[0] < 1e-4


def test_held_out_crops_are_spread():
    crops = evenly_spaced_crops([recording(0), recording(1, 20)], frames=FRAMES, per_track=2)
    assert crops.shape == (3, FRAMES, BINS)
    assert np.array_equal(crops[0], recording(0)[29 : 29 + FRAMES])


def test_wrong_arguments():
    with pytest.raises(ValueError, match="need recordings"):
        nearest_crops(HELD_OUT, [], MEAN, STD)
    with pytest.raises(ValueError, match="statistics of 16 bins"):
        nearest_crops(HELD_OUT, TRAINING, MEAN[:3], STD)
    with pytest.raises(ValueError, match="at least one sample"):
        summarise(np.zeros(0), np.ones(3))
