"""A probe beside scikit-learn, its choice of C, and the data on which a regression is undefined."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from melgraph.ml.inference.track_set import TrackSet
from melgraph.ml.inference.tracks import predict_tracks
from melgraph.ml.models import InputShape, build
from melgraph.ml.specs.training import TrainingConfig
from melgraph.ml.training.cross_validation import cross_validate
from melgraph.ml.training.fitting import fit
from melgraph.ml.training.logistic_regression import choose_strength, solve, vectors_of
from melgraph.ml.training.setup import TrainingSetup
from melgraph.ml.weights import checkpoints

N, DIMENSION = 60, 8
PLAIN = TrainingConfig(class_balance=0.0)


def tracks(n_classes=3, *, seed=0, groups=None, spread=2.0):
    """Vectors around one centre per class; dimension 0 is constant."""
    rng = np.random.default_rng(seed)
    labels = np.arange(N) % n_classes
    centres = rng.normal(0, spread, (n_classes, DIMENSION))
    values = (centres[labels] + rng.normal(0, 2, (N, DIMENSION))).astype(np.float32) * 5 + 40
    values[:, 0] = 7.0
    return TrackSet([row[None] for row in values], labels, least_std=1e-9, groups=groups)


def probe(n_classes=3, **options):
    return build("probe", InputShape(1, DIMENSION, 1), n_classes=n_classes, **options)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_it_is_the_regression_of_scikit_learn_on_standardised_vectors(n_classes):
    data = tracks(n_classes)
    model, result = fit(
        lambda: probe(n_classes, strengths=[0.1]), TrainingSetup(data, PLAIN, seed=0)
    )
    scaled = StandardScaler().fit_transform(vectors_of(data))
    expected = LogisticRegression(C=0.1, max_iter=2000).fit(scaled, data.labels)
    probabilities = predict_tracks(model, data.arrays)
    np.testing.assert_allclose(probabilities, expected.predict_proba(scaled), atol=2e-3)
    assert probabilities.dtype == np.float32
    assert (result.best_epoch, len(result.curves)) == (1, 1)


def test_equal_data_give_equal_bytes_and_a_checkpoint_without_a_pickle(tmp_path):
    described = {"representation": "vectors", "channels": ["amplitude"], "transform": {}}
    meta = {"classes": list("abc"), "input": described}
    for name in ("first", "second"):
        model, _ = fit(probe, TrainingSetup(tracks(), PLAIN, seed=3))
        checkpoints.save(tmp_path / name, model, meta)
    files = sorted(p.name for p in (tmp_path / "first").iterdir())
    assert files == ["model.json", "model.safetensors"]
    for file in files:
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()
    loaded, _ = checkpoints.load(tmp_path / "first")
    assert torch.equal(loaded.head.weight, model.head.weight)


def test_the_penalty_is_chosen_by_groups_and_not_by_tracks():
    """Six copies of each recording: by tracks, memorising is rewarded; by groups it is not."""
    rng = np.random.default_rng(5)
    centres = rng.normal(0, 1, (10, 40)).astype(np.float32)  # ten recordings, labels at random
    recording = np.repeat(np.arange(10), 6)
    labels = (np.arange(10) % 2)[recording]
    values = centres[recording] + rng.normal(0, 0.01, (60, 40)).astype(np.float32)
    arrays = [row[None] for row in values]
    model = build("probe", InputShape(1, 40, 1), n_classes=2)
    by_group, by_track = (
        choose_strength(
            model, TrackSet(arrays, labels, groups=groups), values.astype(float), 0.0, 0
        )
        for groups in (recording, None)
    )
    assert by_group.strength < by_track.strength
    assert by_track.losses[by_track.strength] < 0.05 < by_group.losses[by_group.strength]


def test_rare_classes_count_as_much_as_class_balance_says():
    data = tracks(2, spread=0.3)
    rare = data.take(np.r_[np.flatnonzero(data.labels == 0), np.flatnonzero(data.labels == 1)[:5]])
    shares = [
        predict_tracks(
            fit(lambda: probe(2), TrainingSetup(rare, TrainingConfig(class_balance=b), seed=0))[0],
            data.arrays,
        )[:, 1].mean()
        for b in (0.0, 1.0)
    ]
    assert shares[0] < 0.3 < shares[1]


def test_a_class_without_training_tracks_is_never_predicted():
    data = tracks(2)
    model, _ = fit(lambda: probe(4), TrainingSetup(data, PLAIN, seed=0))
    assert predict_tracks(model, data.arrays)[:, 2:].max() < 1e-9


def test_one_class_alone_and_too_few_groups_are_no_error():
    data = tracks(2, groups=np.zeros(N, np.int64))
    _, result = fit(lambda: probe(2), TrainingSetup(data, PLAIN, seed=0))
    assert "too few groups" in result.notes[0]
    one = TrackSet(data.arrays[:5], np.zeros(5, np.int64))
    model, _ = fit(lambda: probe(2), TrainingSetup(one, PLAIN, seed=0))
    assert predict_tracks(model, one.arrays)[:, 0].min() > 0.99


def test_tags_have_a_regression_each():
    data = tracks(3)
    tags = np.stack([data.labels == 0, data.labels > 0, np.zeros(N, bool)], axis=1)
    tagged = TrackSet(data.arrays, tags.astype(np.float32), 1e-9)
    model, result = fit(probe, TrainingSetup(tagged, TrainingConfig(), seed=0, validation=tagged))
    assert model.multi_label
    scores = predict_tracks(model, data.arrays)
    scaled = StandardScaler().fit_transform(vectors_of(data))
    strength = float(result.notes[0].split()[2])
    for tag in (0, 1):
        expected = LogisticRegression(C=strength, max_iter=2000).fit(scaled, tags[:, tag])
        np.testing.assert_allclose(scores[:, tag], expected.predict_proba(scaled)[:, 1], atol=5e-3)
    assert scores[:, 2].max() < 0.02
    assert result.curves[0]["validation_pr_auc"] > 0.5


def test_validation_tracks_decide_nothing():
    data = tracks()
    alone, _ = fit(probe, TrainingSetup(data, PLAIN, seed=0))
    beside, result = fit(probe, TrainingSetup(data, PLAIN, seed=0, validation=tracks(seed=9)))
    assert torch.equal(alone.head.weight, beside.head.weight)
    assert 0 <= result.curves[0]["validation_accuracy"] <= 1


def test_it_is_cross_validated_like_any_other_model():
    data = tracks(groups=np.arange(N) // 2)
    found = cross_validate(
        TrainingSetup(data, PLAIN, seed=0), np.arange(N) // 2, build=probe, n_folds=3
    )
    assert (found.argmax(axis=1) == data.labels).mean() > 0.6


def test_more_dimensions_than_tracks_give_the_same_solution():
    rng = np.random.default_rng(2)
    scaled, labels = rng.normal(size=(20, 50)), np.arange(20) % 3
    weight, bias = solve(scaled, labels, 3, 0.05, 0.0)
    expected = LogisticRegression(C=0.05, max_iter=2000, tol=1e-8).fit(scaled, labels)
    np.testing.assert_allclose(weight, expected.coef_, atol=1e-4)
    np.testing.assert_allclose(bias, expected.intercept_, atol=1e-4)


def test_separate_fusion_averages_the_logits_of_one_regression_per_source():
    data = tracks()
    whole = replace(data, blocks=(3, 5))
    fused, result = fit(lambda: probe(fusion="separate"), TrainingSetup(whole, PLAIN, seed=0))
    logits = np.zeros((N, 3))
    for part, n in ((slice(0, 3), 3), (slice(3, 8), 5)):
        arrays = [array[:, part] for array in data.arrays]
        alone, _ = fit(
            lambda n=n: build("probe", InputShape(1, n, 1), n_classes=3),
            TrainingSetup(TrackSet(arrays, data.labels, 1e-9), PLAIN, seed=0),
        )
        logits += np.log(predict_tracks(alone, arrays)) / 2
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(predict_tracks(fused, data.arrays), expected, atol=1e-4)
    assert [note.partition(":")[0] for note in result.notes] == ["source 1", "source 2"]
    joint, _ = fit(probe, TrainingSetup(whole, PLAIN, seed=0))
    assert not torch.equal(joint.head.weight, fused.head.weight)
