import numpy as np
import pytest

from melgraph.ml.errors import UserError
from melgraph.ml.judging.cross_fitting import CrossFittedProbe, too_few
from melgraph.ml.models import InputShape, build
from melgraph.ml.models.probe import Probe


def probe(classes: int = 2, dimension: int = 6) -> Probe:
    shape = InputShape(1, dimension, 1)
    model = build("probe", shape, n_classes=classes, strengths=(0.01, 0.1, 1.0), inner_folds=3)
    assert isinstance(model, Probe)
    return model


def songs(artist_weight: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Eight artists with six songs each, whose class follows from the artist's number alone.

    Dimension 0 holds a little of the class, the others the artist.
    """
    random = np.random.default_rng(seed)
    artists = random.standard_normal((8, 6))
    vectors, labels, groups = [], [], []
    for artist in range(8):
        for _ in range(6):
            vector = artist_weight * artists[artist] + 0.3 * random.standard_normal(6)
            vector[0] = (artist % 2) - 0.5 + 0.6 * random.standard_normal()
            vectors.append(vector)
            labels.append(artist % 2)
            groups.append(f"artist {artist}")
    return np.array(vectors), np.array(labels), groups


def test_the_probabilities_do_not_depend_on_the_songs_that_are_left_out() -> None:
    vectors, labels, groups = songs(2.0)
    fitted = CrossFittedProbe(probe(), vectors, labels, groups, class_balance=0.0, seed=0)
    other_labels = labels.copy()
    own = np.array([group == "artist 3" for group in groups])
    changed = vectors.copy()
    changed[own] += 5.0
    again = CrossFittedProbe(probe(), changed, other_labels, groups, class_balance=0.0, seed=0)
    again._strength = fitted._strength
    sound = vectors[own][0]
    without = {"artist 3", "an artist of another library"}
    first, second = fitted.probabilities(sound, without), again.probabilities(sound, without)
    np.testing.assert_array_equal(first, second)
    assert first.sum() == pytest.approx(1)
    assert not np.allclose(first, fitted.probabilities(sound, ()))


def test_it_knows_its_artists_only_where_they_are_not_left_out() -> None:
    vectors, labels, groups = songs(3.0)
    fitted = CrossFittedProbe(probe(), vectors, labels, groups, class_balance=0.0, seed=0)
    pairs = list(zip(vectors, labels, groups, strict=True))
    inside = np.mean([fitted.probabilities(v, ()).argmax() == k for v, k, _ in pairs])
    outside = np.mean([fitted.probabilities(v, {g}).argmax() == k for v, k, g in pairs])
    assert inside > 0.95
    assert outside < inside


def test_a_class_is_known_while_an_artist_of_it_is_left() -> None:
    vectors, labels, groups = songs(1.0)  # of artists with even numbers, the class is 0
    fitted = CrossFittedProbe(probe(), vectors, labels, groups, class_balance=0.0, seed=0)
    assert fitted.knows(0, ())
    assert fitted.knows(0, {"artist 0", "artist 2", "artist 4", "an artist of another library"})
    even = {"artist 0", "artist 2", "artist 4", "artist 6"}
    assert not fitted.knows(0, even)
    assert fitted.knows(1, even)
    assert not fitted.knows(1, set(groups))
    assert not fitted.knows(2, ())


def test_too_few_songs_or_artists() -> None:
    labels = ["rock"] * 30 + ["pop"] * 19 + ["jazz"] * 20
    groups = [i % 4 for i in range(30)] + list(range(19)) + list(range(20))
    assert too_few(labels, groups) == ["pop: 19 songs in 19 groups", "rock: 30 songs in 4 groups"]
    assert too_few(labels[49:], groups[49:]) == []


def test_nothing_is_left() -> None:
    vectors, labels, groups = songs(1.0)
    fitted = CrossFittedProbe(probe(), vectors, labels, groups, class_balance=0.0, seed=0)
    with pytest.raises(UserError, match="no training song"):
        fitted.probabilities(vectors[0], set(groups))
