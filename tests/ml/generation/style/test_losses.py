"""The distances of a style transfer, by hand-computed values and by what must not change them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from melgraph.ml.generation.style.losses import (
    Targets,
    autocorrelation,
    gram_matrix,
    relative_distance,
)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    values = np.random.default_rng(seed).standard_normal(shape)
    return torch.from_numpy(values.astype(np.float32))


def test_the_gram_matrix_of_two_channels_and_two_positions():
    activation = torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]])
    # (1*1 + 2*2) / 2, (1*3 + 2*4) / 2, (3*3 + 4*4) / 2
    assert gram_matrix(activation).tolist() == [[2.5, 5.5], [5.5, 12.5]]


@given(st.permutations(range(12)))
def test_the_gram_matrix_does_not_know_where_things_are(order):
    activation = drawn(3, 1, 12)
    permuted = activation[:, :, list(order)]
    torch.testing.assert_close(gram_matrix(permuted), gram_matrix(activation))


def test_a_song_that_is_repeated_has_the_same_gram_matrix():
    activation = drawn(4, 3, 7)
    torch.testing.assert_close(gram_matrix(activation.repeat(1, 1, 3)), gram_matrix(activation))


def test_the_relative_distance_is_zero_at_the_target_and_one_at_zero():
    target = torch.tensor([3.0, 4.0])
    assert relative_distance(target, target).item() == 0.0
    assert relative_distance(torch.zeros(2), target).item() == 1.0
    # ((4 - 3)^2 + (4 - 4)^2) / (9 + 16)
    assert relative_distance(torch.tensor([4.0, 4.0]), target).item() == pytest.approx(1 / 25)
    assert np.isfinite(relative_distance(target, torch.zeros(2)).item())


def test_the_autocorrelation_of_a_pulse_every_four_frames():
    activation = torch.zeros(1, 2, 16)
    activation[:, :, ::4] = 1.0
    lags = autocorrelation(activation, 1, 8)[0]
    assert lags.shape == (8,)
    assert int(lags.argmax()) + 1 == 4
    series = np.tile([0.75, -0.25, -0.25, -0.25], 4)
    by_hand = [np.sum(series[lag:] * series[:-lag]) / 16 for lag in range(1, 9)]
    np.testing.assert_allclose(lags.numpy(), by_hand, atol=1e-6)


def targets(**keys) -> Targets:
    source, guide = (
        {"a": drawn(3, 2, 40), "b": drawn(2, 1, 20)},
        {
            "a": drawn(3, 2, 25, seed=1),
            "b": drawn(2, 1, 12, seed=2),
        },
    )
    return Targets(source, guide, content_layers=["b"], style_layers=["a", "b"], **keys)


def test_the_distances_are_means_over_the_layers():
    activations = {"a": drawn(3, 2, 40, seed=3), "b": drawn(2, 1, 20, seed=4)}
    distances = targets().distances(activations)
    content = relative_distance(activations["b"], drawn(2, 1, 20))
    style = [
        relative_distance(gram_matrix(activations["a"]), gram_matrix(drawn(3, 2, 25, seed=1))),
        relative_distance(gram_matrix(activations["b"]), gram_matrix(drawn(2, 1, 12, seed=2))),
    ]
    assert distances.content.item() == pytest.approx(content.item())
    assert distances.style.item() == pytest.approx(float(sum(style)) / 2)
    assert distances.rhythm.item() == 0.0


def test_the_source_has_its_own_content_and_rhythm():
    source = {"a": drawn(3, 2, 40), "b": drawn(2, 1, 20)}
    distances = targets(seconds=1.0).distances(source)
    assert distances.content.item() == 0.0
    assert distances.rhythm.item() == 0.0
    shuffled = {name: value.flip(2).roll(3, dims=2) for name, value in source.items()}
    assert targets(seconds=1.0).distances(shuffled).rhythm.item() > 0.0


def test_a_network_that_is_louder_gives_the_same_distances():
    def distances(factor: float) -> list[float]:
        source, guide, other = ({"a": factor * drawn(3, 2, 30, seed=s)} for s in range(3))
        targets = Targets(source, guide, content_layers=["a"], style_layers=["a"], seconds=1.0)
        values = targets.distances(other)
        return [float(values.content), float(values.style), float(values.rhythm)]

    assert distances(50.0) == pytest.approx(distances(1.0), rel=1e-4)


def test_a_guide_of_another_length_has_a_content_distance():
    guide = {"a": drawn(3, 2, 25, seed=1), "b": drawn(2, 1, 12, seed=2)}
    assert 0.0 < targets().content_distance(guide).item() < 10.0


def test_an_excerpt_that_is_too_short_for_the_lags_has_no_rhythm():
    assert targets(seconds=0.1).distances({"a": drawn(3, 2, 40), "b": drawn(2, 1, 20)}).rhythm == 0
