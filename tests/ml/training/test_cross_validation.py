from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from melgraph.ml.errors import UserError
from melgraph.ml.inference.track_set import TrackSet
from melgraph.ml.models import InputShape, build
from melgraph.ml.specs.training import TrainingConfig
from melgraph.ml.splits.folds import grouped_folds
from melgraph.ml.training import cross_validation
from melgraph.ml.training.cross_validation import cross_validate
from melgraph.ml.training.setup import TrainingSetup

N_MELS = 16
CONFIG = TrainingConfig(
    epochs=3,
    patience=1,
    batch_size=8,
    crops_per_track=2,
    time_mask_frames=4,
    mel_mask_bands=3,
    learning_rate=1e-2,
)
build_tiny = partial(
    build,
    "small_cnn",
    InputShape(1, N_MELS, 20),
    n_classes=2,
    channels=(8, 16),
    embedding_dim=8,
    seed=0,
)


def library(n=24, n_groups=8, seed=0):
    """Two classes that differ in which bands are loud; a group is of one class."""
    rng = np.random.default_rng(seed)
    groups = np.arange(n) % n_groups
    labels = groups % 2
    tracks = []
    for label in labels:
        track = rng.normal(-50, 8, (int(rng.integers(8, 40)), N_MELS))
        track[:, label * 8 : label * 8 + 4] += 30
        tracks.append(track.astype(np.float16))
    return tracks, labels, groups


def by_folds(n_folds=3, seed=0, progress=None):
    tracks, labels, groups = library()
    return cross_validate(
        TrainingSetup(TrackSet(tracks, labels), CONFIG, seed),
        groups,
        build=build_tiny,
        n_folds=n_folds,
        progress=progress,
    )


class TestGroupedFolds:
    @pytest.mark.filterwarnings("ignore:The least populated class")
    @settings(deadline=None)
    @given(
        st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), min_size=6, max_size=50),
        st.integers(2, 5),
        st.integers(0, 3),
    )
    def test_groups_stay_whole_and_every_track_is_held_out_once(self, rows, n_folds, seed):
        labels, groups = np.array(rows).T
        assume(len(np.unique(groups)) >= n_folds)
        assume(np.bincount(labels).max() >= n_folds)
        fold = grouped_folds(labels, groups, n_folds=n_folds, seed=seed)
        assert (fold.shape, fold.dtype) == ((len(rows),), np.int64)
        assert 0 <= fold.min() <= fold.max() < n_folds
        assert len({*zip(fold.tolist(), groups.tolist(), strict=True)}) == len(np.unique(groups))
        np.testing.assert_array_equal(
            fold, grouped_folds(labels, groups, n_folds=n_folds, seed=seed)
        )

    def test_classes_are_spread_evenly(self):
        labels, groups = np.repeat([0, 1], [60, 30]), np.arange(90) // 3
        fold = grouped_folds(labels, groups, n_folds=5, seed=0)
        for label, share in ((0, 12), (1, 6)):
            assert np.bincount(fold[labels == label]).tolist() == [share] * 5

    def test_the_seed_decides(self):
        labels, groups = np.arange(40) % 2, np.arange(40)
        one, other = (grouped_folds(labels, groups, n_folds=5, seed=s) for s in (0, 1))
        assert (one != other).any()

    def test_fewer_groups_than_folds(self):
        with pytest.raises(UserError, match="4 groups and at most 10 tracks a class"):
            grouped_folds(np.arange(20) % 2, np.arange(20) % 4, n_folds=5, seed=0)


class TestCrossValidate:
    def test_what_can_be_learned_is_found_in_groups_never_seen(self):
        reports = []
        probabilities = by_folds(progress=lambda fold, report: reports.append((fold, report.epoch)))
        assert (probabilities.shape, probabilities.dtype) == ((24, 2), np.float32)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
        assert (probabilities.argmax(axis=1) == library()[1]).mean() >= 0.9
        # All epochs of every fold: the held-out tracks do not say when to stop.
        assert reports == [(fold, epoch) for fold in range(3) for epoch in (1, 2, 3)]

    def test_no_model_was_trained_on_the_groups_it_predicts(self, monkeypatch):
        tracks, labels, groups = library()
        row_of = {id(track): row for row, track in enumerate(tracks)}
        trained, predicted = [], []

        def fit(build, setup, progress):
            assert setup.validation is None
            inside = setup.training
            rows = [row_of[id(track)] for track in inside.arrays]
            np.testing.assert_array_equal(inside.labels, labels[rows])
            model = build()
            trained.append((model, setup.seed, {int(groups[row]) for row in rows}))
            return model, None

        def predict_tracks(model, views, **_):
            rows = [row_of[id(track)] for track in views]
            predicted.append((model, {int(groups[row]) for row in rows}))
            return np.array([[row, 100 + row] for row in rows], dtype=np.float32)

        monkeypatch.setattr(cross_validation, "fit", fit)
        monkeypatch.setattr(cross_validation, "predict_tracks", predict_tracks)
        found = cross_validate(
            TrainingSetup(TrackSet(tracks, labels), CONFIG, 7), groups, build=object, n_folds=4
        )
        assert [seed for _, seed, _ in trained] == [7, 8, 9, 10]
        assert len({id(model) for model, _, _ in trained}) == 4  # each fold starts afresh
        for (model, _, inside), (same, held_out) in zip(trained, predicted, strict=True):
            assert model is same
            assert not inside & held_out
            assert inside | held_out == set(range(8))
        np.testing.assert_array_equal(found[:, 0], np.arange(24))  # in the order of the tracks
        np.testing.assert_array_equal(found[:, 1], 100 + np.arange(24))

    def test_same_seed_same_bits(self):
        one, same, other = (by_folds(n_folds=2, seed=seed) for seed in (0, 0, 5))
        assert one.tobytes() == same.tobytes()
        assert one.tobytes() != other.tobytes()
