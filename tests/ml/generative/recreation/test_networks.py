"""The autoencoders of genres: shapes, gradients, equal beginnings, inputs that are refused."""

import numpy as np
import pytest
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.generative.kinds import build
from melgraph.ml.generative.recreation.networks import Recreation
from melgraph.ml.models.base import InputShape
from tests.ml.generative.recreation.toys import (
    GENRES,
    LSTM,
    SHAPE,
    equal_weights,
    network_of,
    songs,
)

SONG = np.asarray(songs(4).arrays[0], np.float32)


@pytest.mark.parametrize("lstm", LSTM)
@pytest.mark.parametrize("frames", [1, 8, 40])
def test_a_recreation_has_the_shape_of_any_song(lstm, frames):
    network = network_of(lstm=lstm)
    recreation = network.recreate(SONG[:frames], "blues")
    assert (recreation.shape, recreation.dtype) == ((frames, SHAPE.bins), np.float32)
    assert np.isfinite(recreation).all()
    assert np.array_equal(recreation, network.recreate(SONG[:frames].astype(np.float64), "blues"))
    errors = network.errors(SONG[:frames])
    assert (errors.shape, errors.dtype) == ((2,), np.float64)


@pytest.mark.parametrize("lstm", LSTM)
def test_gradients_reach_every_parameter_of_one_genre_and_none_of_the_other(lstm):
    network = network_of(lstm=lstm)
    x = torch.from_numpy(SONG)[None]
    network(x, 1).square().mean().backward()
    gradients = {name: p.grad for name, p in network.named_parameters()}
    for name, gradient in gradients.items():
        if name.startswith("of_genre.1."):
            assert gradient is not None, name
            assert gradient.abs().sum() > 0, name
        else:
            assert gradient is None, name


@pytest.mark.parametrize("lstm", LSTM)
def test_genres_begin_with_equal_weights_that_the_seed_decides(lstm):
    network = network_of(lstm=lstm)
    assert equal_weights(network.of_genre[0], network.of_genre[1])
    assert equal_weights(network, network_of(lstm=lstm))
    other = build("recreation", SHAPE, GENRES, seed=4, options=network.options)
    assert not equal_weights(network, other)
    assert other.options == network.options


def test_only_the_lstm_reads_earlier_frames():
    for lstm in LSTM:
        network = network_of(lstm=lstm)
        whole, alone = network.recreate(SONG, "metal")[5], network.recreate(SONG[5:6], "metal")[0]
        assert np.allclose(whole, alone, atol=1e-5) is not lstm


def test_the_errors_are_those_of_standardised_mfcc():
    network = network_of()
    mean, std = SONG.mean(axis=0), SONG.std(axis=0)
    network.set_normalisation(mean, std)
    difference = (network.recreate(SONG, "metal") - SONG) / std
    assert network.errors(SONG)[0] == pytest.approx(np.square(difference).mean(), rel=1e-5)
    for parameter in network.parameters():
        parameter.data.zero_()  # the answer is the mean
    assert network.errors(SONG) == pytest.approx([1, 1], rel=1e-4)
    assert np.allclose(network.recreate(SONG, "metal"), mean)


def test_the_number_of_parameters_grows_with_the_genres():
    one = sum(p.numel() for p in Recreation(SHAPE.bins, [16, 8], 2, 0).parameters())
    assert network_of().n_parameters == 2 * one
    assert network_of(genres=("a", "b", "c")).n_parameters == 3 * one


def test_an_unknown_genre_is_refused_with_the_genres_that_exist():
    with pytest.raises(UserError, match="use one of metal, blues"):
        network_of().recreate(SONG, "jazz")


@pytest.mark.parametrize("values", [SONG[:0], SONG[:, :5], SONG[0], SONG[None]])
def test_values_of_another_shape_are_refused(values):
    with pytest.raises(ValueError, match="at least 1 frame, 6 coefficient"):
        network_of().errors(values)


def test_inputs_that_no_network_can_take_are_refused():
    with pytest.raises(UserError, match="need 1 channel"):
        build("recreation", InputShape(2, 6, 8), GENRES, options={})
    with pytest.raises(UserError, match="at least one genre"):
        build("recreation", SHAPE, (), options={})


@pytest.mark.parametrize(
    ("mean", "std"),
    [(np.zeros(5), np.ones(6)), (np.zeros(6), np.zeros(6)), (np.full(6, np.nan), np.ones(6))],
)
def test_statistics_that_cannot_be_used_are_refused(mean, std):
    with pytest.raises(ValueError, match=r"finite values|positive"):
        network_of().set_normalisation(mean, std)
