"""The PCA of originals and their recreations."""

import numpy as np
import pytest

from melgraph.ml.errors import UserError
from melgraph.ml.generative.recreation.projection import project

RNG = np.random.default_rng(0)
SONGS = [RNG.normal(size=(10 + n, 5)) + RNG.normal(size=5) * [100, 5, 1, 1, 1] for n in range(12)]


def test_equal_recreations_are_at_the_places_of_the_originals():
    projection = project(SONGS, SONGS)
    assert projection.originals.shape == (12, 2)
    assert np.array_equal(projection.originals, projection.recreations)
    assert np.allclose(projection.originals.mean(axis=0), 0)
    assert 1 >= projection.explained[0] >= projection.explained[1] > 0
    assert projection.explained == project(SONGS, SONGS).explained


def test_recreations_do_not_change_the_plane():
    moved = [song + 1000 for song in SONGS]
    projection, other = project(SONGS, SONGS), project(SONGS, moved)
    assert np.array_equal(other.originals, projection.originals)
    assert other.explained == projection.explained
    shift = other.recreations - projection.recreations
    assert np.allclose(shift, shift[0])
    assert np.abs(shift).max() > 1


def test_the_explained_shares_are_those_of_the_standardised_means():
    means = np.stack([song.mean(axis=0) for song in SONGS])
    values = np.linalg.eigvalsh(np.corrcoef(means.T))[::-1]
    assert project(SONGS, SONGS).explained == pytest.approx(values[:2] / 5)


def test_songs_that_do_not_differ():
    projection = project([np.ones((4, 5))] * 3, [np.ones((2, 5))] * 3)
    assert projection.explained == (0.0, 0.0)
    assert np.allclose(projection.recreations, 0)


def test_too_few_songs_and_missing_recreations_are_refused():
    with pytest.raises(UserError, match="at least 3 songs, there are 2"):
        project(SONGS[:2], SONGS[:2])
    with pytest.raises(ValueError, match="12 originals and 11"):
        project(SONGS, SONGS[1:])
