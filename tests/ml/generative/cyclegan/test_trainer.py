"""The training of a CycleGAN: what it draws, equal bits after interruptions, and that it learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.generative.cyclegan.failures import DIRECTIONS
from melgraph.ml.generative.cyclegan.trainer import MAX_SAMPLES, CycleGanTrainer, rate_factor
from melgraph.ml.generative.kinds import trainer_of
from melgraph.ml.generative.loop import train_generative
from tests.ml.generative.cyclegan.toys import SIDE, network, recordings, setup, striped

# 3 of the larger genre in 3 epochs; the buffer of 2 is full after the second
ALL_STEPS = [0, 1, 2] * 3
FIGURES = ("change", "correlation", "variety", "drift", "checkerboard", "sharpness", "hidden")


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Interrupted(CycleGanTrainer):
    """Stops before a step, as a killed process would; `None` never stops."""

    def __init__(self, network, setup, stop_at=None, steps=None):
        super().__init__(network, setup)
        self.stop_at, self.done = stop_at, 0
        self.steps = [] if steps is None else steps

    def step(self, number):
        if self.done == self.stop_at:
            raise KeyboardInterrupt
        self.done += 1
        self.steps.append(number)
        return super().step(number)


def trained(of, **arguments):
    gan = network()
    result = train_generative(gan, lambda gan, of: Interrupted(gan, of, **arguments), of)
    return gan.state_dict(), result


def bits(state, result):
    curves = [{k: v for k, v in row.items() if k != "seconds"} for row in result.curves]
    samples = [
        [values.tobytes() for values in (s.values, s.genres, s.tracks, s.starts)]
        for s in result.samples
    ]
    return [{n: v.numpy().tobytes() for n, v in state.items()}, curves, samples, result.notes]


def test_a_training_killed_at_any_step_ends_with_the_same_bits(tmp_path):
    expected = bits(*trained(setup(config={"epochs": 3})))
    rng = np.random.default_rng(0)
    for stop_at in (0, *rng.choice(np.arange(1, len(ALL_STEPS)), 2, replace=False).tolist()):
        of, steps = setup(config={"epochs": 3}, state=tmp_path / str(stop_at)), []
        with pytest.raises(KeyboardInterrupt):
            trained(of, stop_at=stop_at)
        assert bits(*trained(of, steps=steps)) == expected
        assert steps == ALL_STEPS[stop_at:]


def test_a_training_killed_again_and_again_ends_with_the_same_bits(tmp_path):
    expected = bits(*trained(setup(config={"epochs": 3})))
    of, steps = setup(config={"epochs": 3}, state=tmp_path), []
    for _ in range(8):
        with pytest.raises(KeyboardInterrupt):
            trained(of, stop_at=1, steps=steps)
    assert bits(*trained(of, steps=steps)) == expected
    assert steps == ALL_STEPS


def test_another_seed_gives_other_weights():
    first, second = (trained(setup(seed=seed))[0] for seed in (3, 4))
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_curves_have_every_loss_and_every_figure():
    _, result = trained(setup())
    names = {"train_loss", "adversarial", "cycle", "identity", "discriminator", "validation_loss"}
    names |= {f"{figure}_{direction}" for figure in FIGURES for direction in DIRECTIONS}
    assert names <= result.curves[0].keys()
    assert all(np.isfinite(list(row.values())).all() for row in result.curves)


def test_the_loss_is_the_weighted_sum_of_its_terms():
    _, result = trained(setup(config={"cycle": 3.0, "identity": 2.0}))
    row = result.curves[-1]
    terms = row["adversarial"] + 3 * row["cycle"] + 2 * row["identity"]
    assert row["train_loss"] == pytest.approx(terms, rel=1e-5)


def test_without_an_identity_loss_none_is_computed():
    _, result = trained(setup(config={"identity": 0.0, "epochs": 1}))
    assert result.curves[-1]["identity"] == 0


def test_samples_are_always_of_the_same_recordings():
    _, result = trained(setup(validation=recordings(9, 2)))
    first, last = result.samples
    assert first.values.shape == (MAX_SAMPLES + 2, SIDE, SIDE)
    assert first.values.dtype == np.float16
    assert first.genres.tolist() == [1] * MAX_SAMPLES + [0, 0]
    np.testing.assert_array_equal(first.tracks, last.tracks)
    assert set(first.tracks[:MAX_SAMPLES]) <= set(range(9))
    assert first.tracks[MAX_SAMPLES:].tolist() == [9, 10]
    assert first.starts.tolist() == [(48 - SIDE) // 2] * (MAX_SAMPLES + 2)


def test_a_sample_is_what_the_network_makes_of_its_recording():
    of = setup()
    gan = network()
    samples = train_generative(gan, CycleGanTrainer, of).samples[-1]
    crop = of.validation.arrays[samples.tracks[0]][samples.starts[0] :][:SIDE, :, 0]
    translated = gan.translate(crop, "light")
    np.testing.assert_allclose(samples.values[0].astype(np.float32), translated, atol=1e-3)


def test_an_epoch_takes_each_recording_of_the_larger_genre_as_often_as_asked():
    of = setup(training=recordings(5, 2), config={"crops_per_track": 2})
    trainer = CycleGanTrainer(network(), of)
    assert trainer.steps_per_epoch == 10
    trainer.begin_epoch(1, np.random.default_rng(0))
    (dark, dark_starts), (light, _) = trainer._chosen
    assert sorted(dark) == sorted([0, 1, 2, 3, 4] * 2)
    assert sorted(light) == [5] * 5 + [6] * 5
    assert dark_starts.min() >= 0
    assert dark_starts.max() <= 48 - SIDE
    assert len(set(dark_starts)) > 1


def test_a_recording_shorter_than_a_crop_is_repeated():
    short = recordings(2, 2)
    short = replace(short, arrays=[array[:10] for array in short.arrays])
    _, result = trained(setup(training=short, validation=short, config={"epochs": 1}))
    assert result.samples[0].starts.tolist() == [0] * 4


def test_the_end_of_an_epoch_does_not_change_the_global_state():
    trainer = CycleGanTrainer(network(), setup())
    before = torch.get_rng_state()
    with torch.no_grad():
        first, second = trainer.end_epoch(1), trainer.end_epoch(2)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.figures == second.figures


def test_the_rate_is_constant_and_then_falls_towards_0():
    factors = [rate_factor(epoch, 200) for epoch in range(1, 201)]
    assert set(factors[:100]) == {1.0}
    np.testing.assert_allclose(np.diff(factors[99:]), -1 / 101)
    assert factors[-1] > 0
    assert rate_factor(1, 1) == 1.0
    trainer = CycleGanTrainer(network(), setup(epochs=2))
    trainer.begin_epoch(2, np.random.default_rng(0))
    rates = [group["lr"] for o in trainer.optimisers().values() for group in o.param_groups]
    assert rates == [1e-4, 1e-4]


@pytest.mark.parametrize("side", ["training", "validation"])
def test_a_genre_without_recordings_is_named(side):
    with pytest.raises(UserError, match=f"'light' is left for {side}"):
        CycleGanTrainer(network(), setup(**{side: recordings(2, 0)}))


def test_gradients_reach_generators_and_discriminators_in_their_own_steps():
    trainer = CycleGanTrainer(network(), setup())
    before = {
        n: {k: v.clone() for k, v in m.state_dict().items()} for n, m in trainer.modules().items()
    }
    trainer.begin_epoch(1, np.random.default_rng(0))
    trainer.step(0)
    for name, module in trainer.modules().items():
        for key, value in module.state_dict().items():
            assert not torch.equal(value, before[name][key]), f"{name}: {key}"
        assert all(parameter.requires_grad for parameter in module.parameters())


def test_images_move_towards_the_other_genre():
    of = setup(
        training=recordings(6, 6),
        config={"epochs": 8, "learning_rate": 5e-3, "crops_per_track": 2, "buffer": 10},
    )
    gan = network()
    result = train_generative(gan, trainer_of("cyclegan"), of)
    dark, light = striped(0.3, 901), striped(0.7, 902)
    assert gan.translate(dark, "light").mean() > dark.mean() + 0.2
    assert gan.translate(light, "dark").mean() < light.mean() - 0.2
    assert result.curves[-1]["validation_loss"] < 0.8 * result.curves[0]["validation_loss"]
    assert result.curves[-1]["correlation_forward"] > 0.3
