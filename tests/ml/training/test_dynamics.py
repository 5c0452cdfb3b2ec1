import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from melgraph.ml.errors import UserError
from melgraph.ml.inference.track_set import TrackSet
from melgraph.ml.training.dynamics import Dynamics, DynamicsRecorder, at_random, easiest, hardness
from melgraph.ml.training.fitting import fit
from melgraph.ml.training.setup import TrainingSetup
from tests.ml.training.test_train import QUICK, make_model, tones


def test_an_epoch_is_the_mean_over_a_tracks_crops():
    recorder = DynamicsRecorder(3)
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.0], [3.0, 0.0, 0.0]])
    recorder.add(np.array([0, 0, 2]), logits, torch.tensor([0, 0, 1]))
    recorder.end_epoch()
    found = recorder.result()
    np.testing.assert_allclose(found.margin, [[(2.0 - 1.0) / 2, 0.0, -3.0]])
    np.testing.assert_allclose(found.correct, [[0.5, 0.0, 0.0]])
    expected = torch.nn.functional.cross_entropy(logits[:2], torch.tensor([0, 0]))
    np.testing.assert_allclose(found.loss[0, 0], expected, rtol=1e-5)


def of(margin):
    margin = np.asarray(margin, np.float32)
    return Dynamics(loss=-margin, margin=margin, correct=(margin > 0).astype(np.float32))


def test_each_way_ranks_the_tracks_as_its_paper_says():
    #            learned at once, learned late, forgotten twice, never learned
    dynamics = of([[5, -2, 1, -3], [5, -1, -1, -3], [5, 2, 1, -3], [5, 3, -1, -3]])
    assert np.argsort(hardness(dynamics, "aum")).tolist()[0] == 0
    assert np.argsort(hardness(dynamics, "aum")).tolist()[-1] == 3
    assert hardness(dynamics, "loss").argmax() == 3
    assert hardness(dynamics, "forgetting").tolist() == [0, 0, 2, 4]


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=60),
    st.floats(0, 0.99),
    st.integers(0, 5),
)
def test_no_class_is_emptied_and_no_more_is_dropped_than_asked(labels, drop, seed):
    labels = np.array(labels)
    kept = easiest(at_random(len(labels), seed), labels, drop=drop)
    assert len(kept) >= len(labels) - round(drop * len(labels))
    assert (np.diff(kept) > 0).all()
    before, after = np.bincount(labels), np.bincount(labels[kept], minlength=labels.max() + 1)
    assert (after >= np.minimum(before, 2)).all()


def test_the_hardest_go_first():
    kept = easiest(
        np.array([0.1, 0.9, 0.5, 0.8, 0.2, 0.3]), np.array([0, 0, 0, 1, 1, 1]), drop=0.34
    )
    assert kept.tolist() == [0, 2, 4, 5]


def test_a_share_that_leaves_nothing():
    with pytest.raises(UserError, match="100%"):
        easiest(np.zeros(4), np.zeros(4, np.int64), drop=1.0)


@pytest.mark.parametrize("how", ["aum", "loss", "forgetting"])
def test_wrong_labels_are_found_and_left_out(how):
    tracks = tones(24)
    wrong = tracks.labels.copy()
    wrong[[3, 8]] = 1 - wrong[[3, 8]]
    config = QUICK.model_copy(update={"epochs": 8, "drop": 2 / 24, "drop_by": how, "augment": ()})
    seen = []

    def watching():
        model = make_model()
        seen.append(model)
        return model

    mislabelled = TrackSet(tracks.arrays, wrong)
    _, result = fit(watching, TrainingSetup(mislabelled, config, 0))
    assert len(seen) == 2
    assert "learned from 22 of 24 tracks" in result.notes
    _, first = fit(
        make_model, TrainingSetup(mislabelled, config.model_copy(update={"drop": 0.0}), 0)
    )
    if how != "forgetting":  # what is never learned ties with what is hard
        left_out = np.setdiff1d(np.arange(24), easiest(hardness(first.dynamics, how), wrong,
                                                       drop=2 / 24))  # fmt: skip
        assert left_out.tolist() == [3, 8]


def test_dropped_at_random_needs_no_first_training():
    built = []
    config = QUICK.model_copy(update={"epochs": 1, "drop": 0.25, "drop_by": "random"})
    fit(lambda: built.append(1) or make_model(), TrainingSetup(tones(), config, 0))
    assert built == [1]
