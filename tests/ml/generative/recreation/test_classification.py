"""Genres by the smallest error of recreation."""

import numpy as np
import pytest

from melgraph.ml.errors import UserError
from melgraph.ml.generative.recreation.classification import classify
from tests.ml.generative.recreation.toys import GENRES, network_of, setup_of, songs, trained


def test_songs_and_their_recreations_are_classified_by_the_smallest_error():
    training = {"epochs": 8, "crops_per_track": 60, "learning_rate": 5e-3, "batch_size": 16}
    network, _ = trained(setup_of(training=training))
    unseen = songs(7)
    for array, number in zip(unseen.arrays, unseen.genres, strict=True):
        song, genre = np.asarray(array, np.float32), GENRES[number]
        result = classify(network, song)
        assert result.genre == genre
        assert list(result.errors) == list(GENRES)
        assert list(result.errors.values()) == network.errors(song).tolist()
        smallest, second = sorted(result.errors.values())
        assert result.margin == pytest.approx(1 - smallest / second)
        assert classify(network, network.recreate(song, genre)).genre == genre


def test_equal_errors_are_decided_by_the_order_of_the_genres():
    result = classify(network_of(), np.ones((1, 6), np.float32))
    assert (result.genre, result.margin) == ("metal", 0.0)


def test_one_genre_cannot_be_told_apart():
    with pytest.raises(UserError, match="one genre only"):
        classify(network_of(genres=("metal",)), np.ones((3, 6), np.float32))
