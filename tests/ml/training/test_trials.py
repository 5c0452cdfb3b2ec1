"""Trials: every policy, and that no fold learns from what it is asked."""

import numpy as np
import pytest

from melgraph.ml.errors import UserError
from melgraph.ml.inference.track_set import TrackSet
from melgraph.ml.specs.study import Trial
from melgraph.ml.splits.folds import Eligible
from melgraph.ml.training import trials
from melgraph.ml.training.setup import TrainingSetup
from melgraph.ml.training.trials import cut_into_chunks, plan_folds, run_trial, same_crops
from tests.ml.training.test_train import QUICK, make_model, tones

N = 24
TRACKS = tones(N)
GROUPS = np.arange(N) // 2
PARTS = ["train"] * 14 + ["validation"] * 4 + ["test"] * 5 + [None]


def trial(split, **options):
    folds = {"folds": 3} if split in ("group", "track", "chunk") else {}
    recipe = {"training": QUICK.model_dump(), "aggregate": "mean", "input": {}, "model": {}}
    return Trial(recipe=recipe, split=split, **folds | options)


def run(which, seed=0, state=None, parts=PARTS, **options):
    setup = TrainingSetup(TRACKS, QUICK, seed, state=state)
    return run_trial(
        setup, trial=which, groups=GROUPS, parts=parts, build=make_model, n_classes=2, **options
    )


@pytest.mark.parametrize(
    ("which", "asked"),
    [
        (trial("group"), N),
        (trial("track"), N),
        (trial("chunk"), N),
        (trial("holdout", train=0.75), 6),
        (trial("dataset"), 5),
    ],
    ids=lambda value: value.split if isinstance(value, Trial) else "",
)
def test_every_policy_answers_the_tracks_it_holds_out(which, asked):
    epochs = []
    found = run(which, progress=lambda fold, report: epochs.append((fold, report.epoch)))
    seen = ~np.isnan(found.probabilities[:, 0])
    assert seen.sum() == asked
    np.testing.assert_allclose(found.probabilities[seen].sum(axis=1), 1, atol=1e-5)
    assert (found.probabilities[seen].argmax(axis=1) == TRACKS.labels[seen]).mean() > 0.8
    assert len(found.curves) == (which.folds or 1)
    assert len(epochs) == sum(map(len, found.curves))
    assert found.parameters == make_model().n_parameters
    assert found.seconds > 0
    if which.split != "dataset":  # which may stop early
        part = {"group": 16, "track": 16, "chunk": 16, "holdout": 18}[which.split]
        assert found.crops == pytest.approx(part * 2 * QUICK.epochs, rel=0.35)
    assert found.peak_memory_bytes > 0


def test_shuffled_labels_teach_nothing():
    rng_free = [run(trial("group", shuffle_labels=True), seed=s).probabilities for s in range(4)]
    right = [(p.argmax(axis=1) == TRACKS.labels).mean() for p in rng_free]
    assert np.mean(right) < 0.8
    assert (run(trial("group")).probabilities.argmax(axis=1) == TRACKS.labels).mean() > 0.85


def test_the_same_seed_gives_the_same_bytes_and_another_other_folds():
    one, same, other = (run(trial("group"), seed=seed).probabilities for seed in (0, 0, 1))
    assert one.tobytes() == same.tobytes()
    assert one.tobytes() != other.tobytes()


@pytest.mark.parametrize("split", ["group", "track", "holdout", "dataset"])
def test_no_fold_learns_from_what_it_is_asked(split):
    which = trial(split, **({"train": 0.5} if split == "holdout" else {}))
    for fold in plan_folds(TRACKS, np.arange(N), GROUPS, PARTS, which, 0):
        assert not set(fold.train) & set(fold.test)
        assert not set(fold.validation) & set(fold.test)
        if split == "group":
            assert not set(GROUPS[fold.train]) & set(GROUPS[fold.test])


def test_chunks_leak_on_purpose_and_cost_no_more_crops():
    long = TrackSet([np.zeros((200, 4), np.float32)] * 6, np.arange(6) % 2)
    units, owners = cut_into_chunks(long, 20)
    assert len(units) == 60
    assert np.bincount(owners).tolist() == [10] * 6
    folds = plan_folds(units, owners, np.arange(6), [None] * 6, trial("chunk"), 0)
    assert set(owners[folds[0].train]) == set(owners[folds[0].test]) == set(range(6))
    config = QUICK.model_copy(update={"epochs": 20, "crops_per_track": 4})
    thrifty = same_crops(config, 6, 60)
    spent = thrifty.epochs * thrifty.crops_per_track * 60
    assert spent == 20 * 4 * 6


def test_a_split_that_the_dataset_lacks():
    with pytest.raises(UserError, match="no test part"):
        run(trial("dataset"), parts=["train"] * N)
    with pytest.raises(UserError, match="cannot be held apart"):
        plan_folds(tones(3), np.arange(3), np.arange(3), [None] * 3,
                   trial("holdout", train=0.9), 0)  # fmt: skip


def test_a_stopped_trial_goes_on(tmp_path, monkeypatch):
    whole = run(trial("group")).probabilities
    real, calls = trials.fit, []

    def dying(build, setup, progress):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(setup.state)
        return real(build, setup, progress=progress)

    with monkeypatch.context() as patch:
        patch.setattr(trials, "fit", dying)
        with pytest.raises(KeyboardInterrupt):
            run(trial("group"), state=tmp_path)
    assert [path.name for path in calls] == ["fold0", "fold1"]
    assert run(trial("group"), state=tmp_path).probabilities.tobytes() == whole.tobytes()


def test_only_eligible_tracks_are_held_out_and_folds_without_any_are_not_trained():
    """The folds, their seeds and their training tracks stay those of a trial without the rule."""
    some = GROUPS < 3
    eligible = Eligible(test=some, validation=some)
    every, found = (run(trial("group"), eligible=e) for e in (None, eligible))
    predicted = ~np.isnan(found.probabilities[:, 0])
    np.testing.assert_array_equal(predicted, some)
    # The batch of held-out tracks is smaller, and some CPUs then round the last bit differently.
    np.testing.assert_allclose(found.probabilities[some], every.probabilities[some], atol=1e-6)
    folds = plan_folds(TRACKS, np.arange(N), GROUPS, PARTS, trial("group"), 0)
    assert len(found.curves) == sum(some[fold.test].any() for fold in folds)


def test_no_eligible_track_is_a_user_error():
    nothing = Eligible(test=np.zeros(N, bool), validation=np.zeros(N, bool))
    with pytest.raises(UserError, match="initial weights were trained on every track"):
        run(trial("dataset"), eligible=nothing)
