"""Training on tags: several labels a track, each answered for itself."""

import math

import numpy as np
import pytest
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.inference.track_set import TrackSet
from melgraph.ml.inference.tracks import predict_tracks
from melgraph.ml.metrics.tag_scores import macro
from melgraph.ml.specs.experiment import ExperimentSpec, for_tags
from melgraph.ml.specs.training import TrainingConfig
from melgraph.ml.training.cross_validation import cross_validate
from melgraph.ml.training.fitting import fit
from melgraph.ml.training.optimisation import positive_weights, tagging_loss
from melgraph.ml.training.setup import TrainingSetup
from melgraph.ml.training.train import train
from melgraph.ml.weights import checkpoints
from tests.ml.training.test_resume import Killed, kill_at
from tests.ml.training.test_train import N_MELS, QUICK, bits_of, make_model, tones

TAGS = 3
PLAIN = QUICK.model_copy(update={"label_smoothing": 0.0, "class_balance": 0.0})


def tagged(n=24, seed=0) -> TrackSet:
    """Each tag is a band that is loud, whatever the others are."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, TAGS)) < 0.4).astype(np.float32)
    tracks = []
    for row in labels:
        track = rng.normal(-50, 8, (int(rng.integers(8, 70)), N_MELS))
        for tag in np.flatnonzero(row):
            track[:, tag * 5 : tag * 5 + 4] += 30
        tracks.append(track.astype(np.float16))
    return TrackSet(tracks, labels)


def model_of_tags(seed=0):
    return make_model(n_classes=TAGS, seed=seed)


def test_learns_what_can_be_learned_and_says_so_by_epoch():
    model = model_of_tags()
    result = train(model, TrainingSetup(tagged(), PLAIN, 0, validation=tagged(seed=1)))
    unseen = tagged(40, seed=2)
    probabilities = predict_tracks(model, unseen.arrays)
    roc_auc, pr_auc = macro(probabilities, unseen.labels.astype(bool))
    assert roc_auc > 0.9
    assert pr_auc > 0.85
    kept = result.curves[result.best_epoch - 1]
    assert "validation_accuracy" not in kept
    assert result.best_epoch == 1 + int(np.argmin([c["validation_loss"] for c in result.curves]))
    held_out = tagged(seed=1)
    answers = predict_tracks(model, held_out.arrays, max_segments=10).astype(np.float64)
    of_truth = np.where(held_out.labels > 0, answers, 1 - answers)
    assert kept["validation_loss"] == pytest.approx(-np.log(of_truth).mean(), rel=1e-5)
    expected = macro(answers, held_out.labels.astype(bool))
    assert (kept["validation_roc_auc"], kept["validation_pr_auc"]) == pytest.approx(expected)


def test_each_tag_is_answered_for_itself():
    model = model_of_tags()
    train(model, TrainingSetup(tagged(), PLAIN, 0))
    both = tagged(60, seed=3)
    several = predict_tracks(model, both.arrays)[both.labels.sum(axis=1) >= 2]
    assert several.sum(axis=1).max() > 1.5  # a softmax cannot
    with torch.inference_mode():
        crop = torch.as_tensor(np.asarray(both.arrays[0][:20], np.float32).T[None, None])
        expected = model(crop).sigmoid().numpy()
    np.testing.assert_allclose(predict_tracks(model, [both.arrays[0][:20]]), expected, rtol=1e-5)


def test_same_seed_same_bits():
    models = [model_of_tags() for _ in range(3)]
    for model, seed in zip(models, (7, 7, 8), strict=True):
        train(model, TrainingSetup(tagged(), PLAIN, seed, validation=tagged(seed=1)))
    assert bits_of(models[0]) == bits_of(models[1])
    assert bits_of(models[0]) != bits_of(models[2])


def test_bools_are_tags_too():
    floats, bools = model_of_tags(), model_of_tags()
    tracks = tagged()
    train(floats, TrainingSetup(tracks, PLAIN, 0))
    train(bools, TrainingSetup(TrackSet(tracks.arrays, tracks.labels > 0), PLAIN, 0))
    assert bits_of(floats) == bits_of(bools)


@pytest.mark.parametrize("step", [0, 3, 10])
def test_killed_and_taken_up_again(step, monkeypatch, tmp_path):
    config = PLAIN.model_copy(update={"augment": ("specaugment", "mixup"), "patience": None})

    def trained(state=None):
        model = model_of_tags()
        result = train(
            model,
            TrainingSetup(
                tagged(12), config, 3, validation=tagged(12, seed=1), state=state, save_every_s=0
            ),
        )
        return model, [{k: v for k, v in c.items() if "second" not in k} for c in result.curves]

    whole, curves = trained()
    with monkeypatch.context() as patch:
        kill_at(patch, step)
        with pytest.raises(Killed):
            trained(tmp_path)
    model, again = trained(tmp_path)
    assert bits_of(model) == bits_of(whole)
    assert again == curves


def test_pieces_of_a_batch_give_the_gradient_of_the_whole(monkeypatch):
    """What does not fit into memory at once is computed in halves; each crop counts the same."""
    from melgraph.ml.models import InputShape, build

    rng = np.random.default_rng(0)
    rows = [rng.normal(0, 1, (1, 6)).astype(np.float32) for _ in range(16)]
    features = TrackSet(rows, (rng.random((16, TAGS)) < 0.5).astype(np.float32), least_std=1e-9)
    config = PLAIN.model_copy(update={"epochs": 1, "augment": (), "class_balance": 1.0})
    weights = []
    for most in (8, 3):
        model = build("dense", InputShape(1, 6, 1), n_classes=TAGS, dropout=0.0)
        real = model.forward

        def small(x, most=most, real=real, model=model):
            if model.training and len(x) > most:
                raise MemoryError
            return real(x)

        model.forward = small
        train(model, TrainingSetup(features, config, 0))
        weights.append({k: v.numpy().copy() for k, v in model.state_dict().items()})
    for name, value in weights[0].items():
        np.testing.assert_allclose(weights[1][name], value, rtol=1e-3, atol=1e-4)


class TestTheLoss:
    def test_it_is_binary_cross_entropy(self):
        logits, targets = torch.randn(5, 3), torch.randint(0, 2, (5, 3)).float()
        expected = -torch.where(targets > 0, logits.sigmoid(), 1 - logits.sigmoid()).log().mean()
        found = tagging_loss(logits, targets, torch.ones(3), smoothing=0.0)
        assert found.item() == pytest.approx(expected.item(), rel=1e-5)

    def test_smoothing_draws_towards_a_half(self):
        logits = torch.full((1, 2), 40.0)
        sure = tagging_loss(logits, torch.ones(1, 2), torch.ones(2), smoothing=0.0)
        smoothed = tagging_loss(logits, torch.ones(1, 2), torch.ones(2), smoothing=0.1)
        assert sure.item() == pytest.approx(0, abs=1e-6)
        assert smoothed.item() == pytest.approx(0.05 * 40, rel=1e-4)

    @pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
    def test_positive_weights(self, balance):
        labels = np.zeros((20, 4))
        labels[:4, 0], labels[:10, 1], labels[:, 3] = 1, 1, 1
        expected = [4**balance, 1, 1, 1]  # nobody's and everybody's tags stay as they are
        np.testing.assert_allclose(positive_weights(labels, balance=balance), expected, rtol=1e-6)

    def test_balance_makes_a_rare_tag_be_answered(self):
        """Noise without a cue: the plain model learns how frequent the tag is, the other halves."""
        rng = np.random.default_rng(0)
        noise = [rng.normal(-50, 8, (20, N_MELS)).astype(np.float32) for _ in range(40)]
        labels = np.zeros((40, 2), np.float32)
        labels[::10, 0], labels[::2, 1] = 1, 1
        rare = {}
        for balance in (0.0, 1.0):
            model = make_model()
            config = PLAIN.model_copy(update={"class_balance": balance})
            train(model, TrainingSetup(TrackSet(noise, labels), config, 0))
            fresh = [rng.normal(-50, 8, (20, N_MELS)).astype(np.float32) for _ in range(40)]
            rare[balance] = predict_tracks(model, fresh)[:, 0].mean()
        assert rare[0.0] < 0.3
        assert rare[1.0] > rare[0.0] + 0.1


class TestTheRecipe:
    def test_smoothing_and_balance_only_where_they_were_asked_for(self):
        assert TrainingConfig().for_tags().label_smoothing == 0
        assert TrainingConfig().for_tags().class_balance == 0
        asked = TrainingConfig(label_smoothing=0.1, class_balance=0.5).for_tags()
        assert (asked.label_smoothing, asked.class_balance) == (0.1, 0.5)
        whole = TrainingConfig.model_validate(TrainingConfig().for_tags().model_dump())
        assert whole.for_tags() == whole  # as a record holds it

    def test_a_training_without_words_is_that_of_the_papers(self):
        quick = {"epochs": 1, "batch_size": 8, "crops_per_track": 1}
        plain, silent = model_of_tags(), model_of_tags()
        train(
            plain,
            TrainingSetup(
                tagged(), TrainingConfig(**quick, label_smoothing=0.0, class_balance=0.0), 0
            ),
        )
        train(silent, TrainingSetup(tagged(), TrainingConfig(**quick), 0))
        assert bits_of(plain) == bits_of(silent)

    @pytest.mark.parametrize(
        ("keys", "where"), [({"aggregate": "vote"}, "aggregate"),
                            ({"training": {"drop": 0.1}}, "training.drop")],
    )  # fmt: skip
    def test_what_is_not_defined_for_tags_is_refused(self, keys, where):
        model = {"architecture": "small_cnn"}
        spec = ExperimentSpec(title="x", dataset="tagged", model=model, **keys)
        with pytest.raises(UserError, match="several labels") as caught:
            for_tags(spec, "mine")
        assert caught.value.where == f"experiment mine: {where}"
        assert for_tags(spec.model_copy(update={"aggregate": "mean",
                        "training": TrainingConfig()}), "mine").folds == 0  # fmt: skip


class TestBadInput:
    def test_a_tag_nobody_has_in_train_is_answered_no(self):
        tracks = tagged()
        tracks.labels[:, 1] = 0
        model = model_of_tags()
        config = PLAIN.model_copy(update={"class_balance": 1.0})
        result = train(model, TrainingSetup(tracks, config, 0, validation=tagged(seed=1)))
        assert all(math.isfinite(c["train_loss"]) for c in result.curves)
        assert predict_tracks(model, tagged(seed=2).arrays)[:, 1].max() < 0.5

    def test_all_tracks_with_all_tags(self):
        everything = TrackSet(tagged().arrays, np.ones((24, TAGS), np.float32))
        with pytest.raises(UserError, match="the same tags: there is nothing to tell apart"):
            train(model_of_tags(), TrainingSetup(everything, PLAIN, 0))

    def test_validation_that_cannot_be_ranked_has_a_loss_and_no_area(self):
        held_out = TrackSet(tagged(4).arrays, np.ones((4, TAGS), np.float32))
        result = train(model_of_tags(), TrainingSetup(tagged(), PLAIN, 0, validation=held_out))
        assert result.curves[0]["validation_pr_auc"] is None
        assert math.isfinite(result.curves[0]["validation_loss"])

    def test_one_tag_only(self):
        with pytest.raises(UserError, match="nothing to tell apart"):
            make_model(n_classes=1)

    def test_another_number_of_tags_and_another_kind_of_labels(self):
        with pytest.raises(UserError, match="3 tags, the model has 2 classes"):
            train(make_model(), TrainingSetup(tagged(), PLAIN, 0))
        with pytest.raises(
            UserError, match="only one of the training and the validation set has tags"
        ):
            train(make_model(n_classes=TAGS), TrainingSetup(tagged(), PLAIN, 0, validation=tones()))

    @pytest.mark.parametrize(
        "labels",
        [np.full((24, TAGS), 0.5, np.float32), np.full((24, TAGS), np.nan, np.float32),
         np.ones((24, TAGS), np.int64), np.ones((23, TAGS), np.float32),
         np.ones((24, TAGS, 1), np.float32)],
    )  # fmt: skip
    def test_labels_that_are_none(self, labels):
        with pytest.raises(UserError) as caught:
            TrackSet(tagged().arrays, labels)
        assert caught.value.where == "TrackSet.labels"

    def test_hard_tracks_folds_and_votes_are_refused(self):
        drop = PLAIN.model_copy(update={"drop": 0.2})
        with pytest.raises(UserError, match=r"hardest tracks .* not defined"):
            fit(model_of_tags, TrainingSetup(tagged(), drop, 0))
        with pytest.raises(UserError, match="cross-validation is not defined"):
            cross_validate(
                TrainingSetup(tagged(), PLAIN, 0), np.arange(24), build=model_of_tags, n_folds=2
            )
        model = model_of_tags()
        model.multi_label = True
        with pytest.raises(UserError, match="vote"):
            predict_tracks(model, tagged().arrays, aggregate="vote")


def test_the_dynamics_of_tags_are_their_loss_alone():
    config = PLAIN.model_copy(update={"epochs": 2, "augment": ()})
    dynamics = train(model_of_tags(), TrainingSetup(tagged(), config, 0)).dynamics
    assert np.isfinite(dynamics.loss).all()
    assert np.isnan(dynamics.margin).all()
    assert np.isnan(dynamics.correct).all()


def test_a_checkpoint_knows_that_it_answers_tags(tmp_path):
    """And a reader of single labels alone refuses it: its format is another."""
    model = model_of_tags()
    train(model, TrainingSetup(tagged(), PLAIN, 0))
    given = {"representation": "mel_spectrograms", "channels": ["amplitude"], "transform": {}}
    checkpoints.save(tmp_path, model, {"classes": ["a", "b", "c"], "input": given})
    loaded, _ = checkpoints.load(tmp_path)
    assert loaded.multi_label
    np.testing.assert_array_equal(
        predict_tracks(loaded, tagged().arrays), predict_tracks(model, tagged().arrays)
    )
    description = (tmp_path / checkpoints.DESCRIPTION).read_text()
    assert f'"format": {checkpoints.TAG_FORMAT}' in description
    loaded.multi_label = False
    checkpoints.save(tmp_path, loaded, {"classes": ["a", "b", "c"], "input": given})
    assert '"format": 2' in (tmp_path / checkpoints.DESCRIPTION).read_text()
    assert not checkpoints.load(tmp_path)[0].multi_label
