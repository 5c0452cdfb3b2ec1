"""The training of a rectified flow: interruptions, the average, what it learns, and its notes."""

import numpy as np
import pytest
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.generative.base import GenreTracks
from melgraph.ml.generative.flow.sampling import compose
from melgraph.ml.generative.flow.trainer import FlowTrainer, loss_notes
from melgraph.ml.generative.loop import train_generative
from tests.ml.generative.flow.toys import GENRES, toy, toy_network, toy_setup, trained_toy


class StoppedTrainer(FlowTrainer):
    """Stops after a number of steps, as a killed process does; `None` never stops."""

    def __init__(self, network, setup, stop_after=None, steps=None):
        super().__init__(network, setup)
        self.remaining = stop_after  # `done` is an attribute of the trainer itself
        self.steps = [] if steps is None else steps

    def step(self, number):
        if self.remaining == 0:
            raise KeyboardInterrupt
        self.remaining = None if self.remaining is None else self.remaining - 1
        self.steps.append(number)
        return super().step(number)


def run(folder=None, **arguments):
    network = toy_network()
    result = train_generative(
        network,
        lambda network, setup: StoppedTrainer(network, setup, **arguments),
        toy_setup(state=folder),
    )
    curves = [{k: v for k, v in row.items() if k != "seconds"} for row in result.curves]
    weights = {n: v.numpy().tobytes() for n, v in network.state_dict().items()}
    return weights, curves, [s.values.tobytes() for s in result.samples], result.notes


@pytest.fixture(scope="module")
def learned():
    return trained_toy(epochs=3, steps_per_epoch=40, batch_size=16)


def test_a_killed_training_ends_with_the_same_bits(tmp_path):
    expected = run()
    rng = np.random.default_rng(0)
    for name, kills in {"once": rng.integers(6, size=1), "again": rng.integers(3, size=2)}.items():
        steps = []
        for stop_after in kills.tolist():
            with pytest.raises(KeyboardInterrupt):
                run(tmp_path / name, stop_after=stop_after, steps=steps)
        assert run(tmp_path / name, steps=steps) == expected
        assert steps == [0, 1, 2] * 2  # of all runs together: no step is computed twice


def test_the_global_random_state_stays():
    before = torch.get_rng_state()
    run()
    assert torch.equal(torch.get_rng_state(), before)


def test_the_end_of_an_epoch_does_not_change_the_random_state():
    trainer = FlowTrainer(toy_network(), toy_setup())
    before = torch.get_rng_state()
    first, second = trainer.end_epoch(1), trainer.end_epoch(2)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.figures == second.figures
    assert np.array_equal(first.samples.values, second.samples.values)


def test_the_average_is_between_the_weights_and_is_what_remains():
    network = toy_network()
    trainer = FlowTrainer(network, toy_setup())
    trainer.begin_epoch(1, np.random.default_rng(0))
    before = network.genre.weight.detach().clone()
    trainer.step(0)
    now, average = network.genre.weight.detach().clone(), trainer.ema.genre.weight
    decay = 0.1  # (1 + 0) / (10 + 0)
    torch.testing.assert_close(average, decay * before + (1 - decay) * now)
    trainer.finish()
    assert torch.equal(network.genre.weight, average)
    assert not any(p.requires_grad for p in trainer.ema.parameters())


def test_genres_are_drawn_equally_often_and_crops_lie_in_their_recordings():
    setup = toy_setup(config={"steps_per_epoch": 500})
    uneven = GenreTracks(
        [toy(0, 40, 0), *[toy(1, 32 + i, i) for i in range(9)]], np.array([0] + [1] * 9)
    )
    trainer = FlowTrainer(
        toy_network(), toy_setup(config=setup.config.model_dump(), training=uneven)
    )
    trainer.begin_epoch(1, np.random.default_rng(0))
    assert 0.45 < trainer.crop_genres.mean() < 0.55
    assert np.array_equal(uneven.genres[trainer.crop_tracks], trainer.crop_genres)
    ends = trainer.crop_starts + 32
    assert (ends <= uneven.lengths()[trainer.crop_tracks]).all()
    assert (ends == uneven.lengths()[trainer.crop_tracks]).any()
    assert set(trainer.crop_tracks) == set(range(10))


def test_recordings_shorter_than_a_crop_are_learned():
    short = GenreTracks([toy(0, 20, 0), toy(1, 20, 1)], np.array([0, 1]))
    result = train_generative(
        toy_network(), FlowTrainer, toy_setup(training=short, validation=short)
    )
    assert len(result.curves) == 2


def test_the_samples_of_the_sheet():
    samples = run_samples(toy_network())
    assert samples.values.shape == (12, 32, 16)
    assert samples.values.dtype == np.float16
    assert samples.genres.tolist() == [0] * 6 + [1] * 6
    assert samples.tracks.tolist() == [-1] * 12


def run_samples(network):
    return train_generative(network, FlowTrainer, toy_setup()).samples[-1]


def test_it_learns_the_genres(learned):
    network, result = learned
    assert result.curves[-1]["validation_loss"] < 0.8 * result.curves[0]["validation_loss"]
    assert {f"validation_loss_{g}" for g in GENRES} <= result.curves[0].keys()
    means = [np.mean([toy(g, 200, [9, g, i]) for i in range(8)], axis=(0, 1)) for g in range(2)]
    for number, genre in enumerate(GENRES):
        for seed in range(3):
            composition = compose(network, genre, 32, steps=24, guidance=1.0, seed=seed).mean(
                axis=0
            )
            distances = [np.square(composition - mean).mean() for mean in means]
            assert np.argmin(distances) == number


def test_guidance_moves_samples_further_apart(learned):
    network, _ = learned

    def contrast(guidance):
        both = [compose(network, g, 32, steps=12, guidance=guidance, seed=1) for g in GENRES]
        return np.square(both[0].mean(axis=0) - both[1].mean(axis=0)).mean()

    assert contrast(0) == 0
    assert contrast(0) < contrast(0.5) < contrast(1)


def test_missing_recordings_are_named():
    one = GenreTracks([toy(0, 50, 0)], np.array([0]))
    with pytest.raises(UserError, match="'clicks' has no training recording"):
        FlowTrainer(toy_network(), toy_setup(training=one))
    with pytest.raises(UserError, match="no validation recording"):
        FlowTrainer(toy_network(), toy_setup(validation=GenreTracks([], np.zeros(0, np.int64))))
    figures = FlowTrainer(toy_network(), toy_setup(validation=one)).end_epoch(1).figures
    assert figures.keys() == {"validation_loss", "validation_loss_bass"}


def rows(validation, train):
    return [
        {"epoch": i + 1, "validation_loss": v, "train_loss": t}
        for i, (v, t) in enumerate(zip(validation, train, strict=True))
    ]


def test_notes_say_where_the_validation_loss_does_not_fall():
    assert loss_notes([]) == []
    assert loss_notes(rows([1.0], [1.0])) == []
    assert loss_notes(rows([1.0, 0.5, 0.4], [1.0, 0.6, 0.5])) == []
    (memorised,) = loss_notes(rows([1.0, 0.5, 0.7], [1.0, 0.6, 0.2]))
    assert "memorises its training recordings. Train for 2 epochs" in memorised
    (nothing,) = loss_notes(rows([1.0, 0.995], [1.0, 1.2]))
    assert "1.0000 after the first epoch and 0.9950 after the last" in nothing
    assert "change training.learning_rate" in nothing
