import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.errors import UserError
from melgraph.ml.metrics.kernel_distance import (
    MIN_REFERENCE_SONGS,
    SongKernels,
    distance_change,
    kernel_distance,
)


def cloud(count: int, seed: int, dimension: int = 4, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, dimension)) + shift


def by_hand(x: np.ndarray, y: np.ndarray) -> float:
    """The formula of the paper, pair by pair."""
    sigma = np.median([np.linalg.norm(a - b) for a, b in itertools.combinations(x, 2)])

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.exp(-np.sum((a - b) ** 2) / (2 * sigma**2)))

    def within(points: np.ndarray) -> float:
        return float(np.mean([kernel(a, b) for a, b in itertools.permutations(points, 2)]))

    across = np.mean([kernel(a, b) for a in x for b in y])
    return 100 * (within(x) + within(y) - 2 * float(across))


@settings(max_examples=15, deadline=None)
@given(
    n=st.integers(20, 30),
    m=st.integers(2, 12),
    seed=st.integers(0, 99),
    shift=st.floats(-2, 2),
    offset=st.sampled_from([0.0, 1e4]),
)
def test_the_formula_of_the_paper(n: int, m: int, seed: int, shift: float, offset: float) -> None:
    x, y = cloud(n, seed) + offset, cloud(m, seed + 100, shift=shift) + offset
    result = kernel_distance(x, y, permutations=9, resamples=20)
    assert result.value == pytest.approx(by_hand(x, y), abs=1e-6)
    assert (result.n_reference, result.n_generated) == (n, m)


def test_a_value_by_hand() -> None:
    # Two reference points at distance 1, hence sigma = 1; two other points at the same places.
    kernels = SongKernels.of(np.array([[0.0], [1.0]]), np.array([[0.0], [1.0]]))
    assert kernels.bandwidth == 1.0
    e = np.exp(-0.5)
    assert kernels.distance() == pytest.approx(100 * (e + e - 2 * (1 + e) / 2))  # below zero
    assert kernels.distance() < 0


def test_far_sets_reach_the_limit_of_the_kernel() -> None:
    x, y = cloud(25, 0), cloud(25, 1) + 1e3
    result = kernel_distance(x, y)
    assert result.p_value == pytest.approx(1 / 1000)
    kernels = SongKernels.of(x, y)
    inside = kernels.matrix[:25, :25][~np.eye(25, dtype=bool)].mean()
    also = kernels.matrix[25:, 25:][~np.eye(25, dtype=bool)].mean()
    assert result.value == pytest.approx(100 * (inside + also))
    assert result.low is not None
    assert result.low > 0


def test_segments_of_a_song_count_as_one_song() -> None:
    x, y = cloud(24, 0), cloud(10, 1, shift=0.5)
    once = kernel_distance(x, y)
    songs = np.arange(24).repeat(3)
    thrice = kernel_distance(x.repeat(3, axis=0), y, reference_songs=songs.tolist())
    assert thrice.value == pytest.approx(once.value)
    assert thrice.low == pytest.approx(once.low)
    assert thrice.p_value == once.p_value
    assert thrice.n_reference == 24
    alone = kernel_distance(x.repeat(3, axis=0), y)  # taken as songs, copies bias the distance up
    assert alone.value is not None
    assert once.value is not None
    assert alone.value > once.value


def test_the_order_of_segments_does_not_matter() -> None:
    x, y, order = cloud(60, 0), cloud(10, 1), np.random.default_rng(5).permutation(60)
    songs = np.arange(60) // 3
    names = [f"song {song}" for song in songs[order]]
    assert kernel_distance(
        x[order], y, reference_songs=names, permutations=9, resamples=9
    ).value == pytest.approx(
        kernel_distance(x, y, reference_songs=songs.tolist(), permutations=9, resamples=9).value
    )


def test_the_p_value_is_uniform_without_a_difference() -> None:
    p = [
        kernel_distance(cloud(20, s), cloud(12, s + 1000), permutations=99, resamples=2).p_value
        for s in range(200)
    ]
    share = np.mean(np.array(p, float) <= 0.2)
    assert 0.12 <= share <= 0.28  # 0.2 +- 2.8 standard errors
    assert np.mean(np.array(p, float)) == pytest.approx(0.5, abs=0.06)


def test_the_distance_is_unbiased_and_the_interval_covers() -> None:
    values = [SongKernels.of(cloud(20, s), cloud(12, s + 1000)).distance() for s in range(300)]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3 * error
    assert min(values) < 0 < max(values)
    truth = np.mean(
        [SongKernels.of(cloud(40, s), cloud(40, s + 500, shift=1.0)).distance() for s in range(60)]
    )
    covered = 0
    for seed in range(60):
        result = kernel_distance(
            cloud(40, seed + 200), cloud(40, seed + 900, shift=1.0), permutations=1, resamples=300
        )
        assert result.low is not None
        assert result.high is not None
        covered += result.low <= truth <= result.high
    assert covered / 60 > 0.85


def kernels_of(shift: float, seed: int) -> SongKernels:
    """12 sounds around `shift`, and always the same reference around 0."""
    return SongKernels.of(cloud(25, 0), cloud(12, seed, shift=shift))


def test_a_change_is_the_later_distance_minus_the_first() -> None:
    far, near = kernels_of(2.0, 1), kernels_of(0.0, 2)
    change, low, high = distance_change(far, near)
    assert change == pytest.approx(near.distance() - far.distance())
    assert low < change < high < 0
    back, back_low, back_high = distance_change(near, far)
    assert (back, back_low, back_high) == pytest.approx((-change, -high, -low))
    assert distance_change(far, near) == (change, low, high)
    assert distance_change(far, near, seed=1)[1:] != (low, high)


def test_the_interval_of_a_change_contains_zero_without_one() -> None:
    intervals = [distance_change(kernels_of(0.5, s), kernels_of(0.5, s + 100), resamples=300)[1:]
                 for s in range(1, 41)]  # fmt: skip
    assert sum(low <= 0 <= high for low, high in intervals) >= 34  # of 40
    same = kernels_of(0.5, 1)
    assert distance_change(same, same) == (0.0, 0.0, 0.0)


def test_the_songs_of_a_change_are_drawn_in_pairs() -> None:
    sounds = cloud(12, 1, shift=1.0)
    before = SongKernels.of(cloud(25, 0), sounds)
    after = SongKernels.of(cloud(25, 0), sounds + 0.1 * cloud(12, 2))  # the same songs, and noise
    _, low, high = distance_change(before, after)
    independent = after.bootstrapped(1000, 1) - before.bootstrapped(1000, 2)
    from_draws_apart = np.percentile(independent, [2.5, 97.5])
    assert high - low < 0.5 * np.diff(from_draws_apart)[0]


def test_seeds() -> None:
    x, y = cloud(25, 0), cloud(9, 1)
    assert kernel_distance(x, y, seed=3) == kernel_distance(x, y, seed=3)
    assert kernel_distance(x, y, seed=3) != kernel_distance(x, y, seed=4)


def test_too_few_songs_are_undetermined() -> None:
    few = kernel_distance(cloud(MIN_REFERENCE_SONGS - 1, 0), cloud(9, 1))
    assert few.undetermined
    assert few.value is few.low is few.p_value is None
    assert few.n_reference == MIN_REFERENCE_SONGS - 1
    segments = kernel_distance(
        cloud(60, 0), cloud(9, 1), reference_songs=[i // 6 for i in range(60)]
    )
    assert segments.undetermined
    assert segments.n_reference == 10
    assert kernel_distance(cloud(30, 0), cloud(1, 1)).undetermined
    assert kernel_distance(cloud(1, 0), cloud(4, 1)).bandwidth is None


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (cloud(30, 0), cloud(5, 0, dimension=3), "shapes"),
        (cloud(30, 0), cloud(0, 0), "shapes"),
        (cloud(30, 0), np.full((2, 4), np.nan), "8 values that are not finite"),
        (np.ones((30, 4)), cloud(5, 0), "same embedding"),
    ],
)
def test_errors(x: np.ndarray, y: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        kernel_distance(x, y)
    with pytest.raises(UserError, match="2 songs for 30 segments"):
        kernel_distance(cloud(30, 0), cloud(5, 1), reference_songs=[1, 2])
