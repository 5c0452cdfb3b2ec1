import math

import numpy as np
import pytest
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.inference.track_set import TrackSet
from melgraph.ml.inference.tracks import predict_tracks
from melgraph.ml.models import InputShape, build
from melgraph.ml.specs.training import TrainingConfig
from melgraph.ml.training.optimisation import class_weights, rate
from melgraph.ml.training.setup import TrainingSetup
from melgraph.ml.training.train import train

N_MELS = 16
QUICK = TrainingConfig(
    epochs=4,
    batch_size=8,
    crops_per_track=2,
    time_mask_frames=4,
    mel_mask_bands=3,
    learning_rate=1e-2,
)


def make_model(n_classes=2, seed=0):
    return build(
        "small_cnn",
        InputShape(1, N_MELS, 20),
        n_classes=n_classes,
        channels=(8, 16),
        embedding_dim=8,
        seed=seed,
    )


def tones(n=12, seed=0):
    """Two classes that differ in which bands are loud; lengths around and below a crop."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    tracks = []
    for label in labels:
        track = rng.normal(-50, 8, (int(rng.integers(8, 70)), N_MELS))
        track[:, label * 8 : label * 8 + 4] += 30
        tracks.append(track.astype(np.float16))
    return TrackSet(tracks, labels)


def bits_of(model):
    return b"".join(v.contiguous().numpy().tobytes() for v in model.state_dict().values())


def test_learns_what_can_be_learned():
    model = make_model()
    result = train(model, TrainingSetup(tones(), QUICK, 0, validation=tones(seed=1)))
    unseen = tones(20, seed=2)
    probabilities = predict_tracks(model, unseen.arrays)
    assert (probabilities.argmax(axis=1) == unseen.labels).mean() >= 0.9
    assert result.n_parameters == model.n_parameters
    assert result.seconds > 0
    assert result.curves[-1]["train_loss"] < result.curves[0]["train_loss"]
    assert not model.training


def test_same_seed_same_bits_and_global_state_untouched():
    torch.manual_seed(5)
    before, before_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()
    models = [make_model() for _ in range(3)]
    for model, seed in zip(models, (7, 7, 8), strict=True):
        torch.rand(int(seed))  # whatever the caller did before must not matter
        state = torch.get_rng_state()
        train(model, TrainingSetup(tones(), QUICK, seed, validation=tones(seed=1)))
        assert torch.equal(torch.get_rng_state(), state)
    assert bits_of(models[0]) == bits_of(models[1])
    assert bits_of(models[0]) != bits_of(models[2])
    assert not torch.equal(torch.get_rng_state(), before)  # only by the torch.rand above
    assert (np.random.get_state()[1] == before_numpy).all()


def test_best_epoch_has_the_lowest_validation_loss_and_its_weights_are_kept():
    contrary = tones(seed=1)
    validation = TrackSet(contrary.arrays, 1 - contrary.labels)  # learning makes it worse
    config = QUICK.model_copy(update={"epochs": 9, "patience": 2})
    model, reports = make_model(), []
    result = train(
        model, TrainingSetup(tones(), config, 0, validation=validation), progress=reports.append
    )
    losses = [curve["validation_loss"] for curve in result.curves]
    assert result.best_epoch == 1 + int(np.argmin(losses))
    assert len(losses) == result.best_epoch + 2 < 9  # stopped early
    assert [r.epoch for r in reports] == list(range(1, len(losses) + 1))
    probabilities = predict_tracks(model, validation.arrays, max_segments=10)
    of_truth = probabilities[np.arange(len(validation)), validation.labels]
    assert -np.log(of_truth).mean() == pytest.approx(min(losses), rel=1e-4)


def test_without_validation_the_last_epoch_stands():
    result = train(make_model(), TrainingSetup(tones(), QUICK, 0))
    assert result.best_epoch == QUICK.epochs == len(result.curves)
    assert result.curves[0]["validation_loss"] is None


def test_the_normalisation_is_of_the_training_tracks():
    model, tracks = make_model(), tones()
    train(model, TrainingSetup(tracks, QUICK.model_copy(update={"epochs": 1}), 0))
    frames = np.concatenate(tracks.arrays).astype(np.float64)
    np.testing.assert_allclose(model.mean[0], frames.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(model.std[0], frames.std(axis=0), rtol=1e-5)


def test_one_crop_and_one_step_are_enough():
    config = QUICK.model_copy(update={"epochs": 1, "crops_per_track": 1, "warmup": 0.0})
    one = TrackSet(tones().arrays[:1], np.array([1]))
    result = train(make_model(), TrainingSetup(one, config, 0))
    assert math.isfinite(result.curves[0]["train_loss"])


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_class_weights(balance):
    labels = np.array([0] * 16 + [1] * 4 + [3])
    weights = class_weights(labels, 4, balance=balance).numpy()
    assert weights[labels].mean() == pytest.approx(1)
    assert weights[1] / weights[0] == pytest.approx(4**balance)
    assert weights[2] == 0


def test_balance_makes_a_rare_class_be_answered():
    """Noise without a cue: the unbalanced model learns the frequencies, the balanced one halves."""
    rng = np.random.default_rng(0)
    noise = [rng.normal(-50, 8, (20, N_MELS)).astype(np.float32) for _ in range(40)]
    tracks = TrackSet(noise, (np.arange(40) % 10 == 0).astype(np.int64))
    rare = {}
    for balance in (0.0, 1.0):
        model = make_model()
        config = QUICK.model_copy(update={"class_balance": balance, "label_smoothing": 0.0})
        train(model, TrainingSetup(tracks, config, 0))
        fresh = [rng.normal(-50, 8, (20, N_MELS)).astype(np.float32) for _ in range(40)]
        rare[balance] = predict_tracks(model, fresh)[:, 1].mean()
    assert rare[0.0] < 0.3
    assert rare[1.0] > rare[0.0] + 0.1


def test_sets_that_do_not_fit_the_model_are_told():
    track = np.zeros((9, N_MELS), dtype=np.float32)
    with pytest.raises(UserError, match="2 classes"):
        train(make_model(), TrainingSetup(TrackSet([track], np.array([2])), QUICK, 0))
    with pytest.raises(UserError, match="validation"):
        train(
            make_model(),
            TrainingSetup(tones(), QUICK, 0, validation=TrackSet([track[:, :5]], np.array([1]))),
        )


def test_divergence_is_told():
    config = QUICK.model_copy(update={"learning_rate": 1e30, "warmup": 0.0})
    with pytest.raises(UserError, match="diverged"):
        train(make_model(), TrainingSetup(tones(), config, 0))


def test_the_learning_rate_is_constant_where_the_recipe_says_so():
    constant = TrainingConfig(schedule="constant", warmup=0.0)
    assert [rate(step, 10, constant) for step in (0, 5, 9)] == [1.0, 1.0, 1.0]
    assert rate(0, 10, TrainingConfig(schedule="constant", warmup=0.2)) == pytest.approx(1 / 3)
    cosine = [rate(step, 10, TrainingConfig(warmup=0.0)) for step in (0, 5, 10)]
    np.testing.assert_allclose(cosine, [1.0, 0.5, 0.0], atol=1e-12)
