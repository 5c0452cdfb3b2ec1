"""What every kind of generative model must do. A new kind joins by one entry in KINDS."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.generative import checkpoints, kinds
from melgraph.ml.generative.base import GenerativeNetwork, GenerativeSetup
from melgraph.ml.generative.flow.sampling import compose
from melgraph.ml.generative.loop import train_generative
from tests.ml.generative.cyclegan import toys as gan
from tests.ml.generative.flow import toys as flow
from tests.ml.generative.recreation import toys as recreation

Make = Callable[[GenerativeNetwork], np.ndarray]


class Kind(NamedTuple):
    """A kind: a small network, a short training, and what a generator makes with it."""

    network: Callable[[], GenerativeNetwork]
    setup: Callable[[], GenerativeSetup]
    make: Make


KINDS = {
    "cyclegan": Kind(
        gan.network, gan.setup, lambda network: network.translate(gan.striped(0.5, 3), "light")
    ),
    "recreation": Kind(
        lambda: recreation.network_of(lstm=True),
        recreation.setup_of,
        lambda network: network.recreate(
            recreation.songs(4).arrays[0].astype(np.float32), recreation.GENRES[0]
        ),
    ),
    "rectified_flow": Kind(
        flow.toy_network,
        flow.toy_setup,
        lambda network: compose(network, flow.GENRES[0], 40, steps=2, guidance=2.0, seed=1),
    ),
}


def test_every_kind_has_an_entry():
    assert sorted(KINDS) == kinds.kinds()


@pytest.fixture(params=KINDS)
def name(request) -> str:
    return request.param


@pytest.fixture
def kind(name) -> Kind:
    return KINDS[name]


def trained(kind: Kind, setup: GenerativeSetup):
    network = kind.network()
    return network, train_generative(network, kinds.trainer_of(network.kind), setup)


def state_of(network) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in network.state_dict().items()}


def test_an_unknown_kind_names_the_kinds(kind):
    with pytest.raises(UserError, match="no kind of generative model 'magic'"):
        kinds.build("magic", kind.network().shape, ("a", "b"), options={})


def test_equal_seeds_give_equal_bits_and_the_global_state_stays(kind):
    before = torch.get_rng_state()
    (first, one), (again, other) = (trained(kind, kind.setup()) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert state_of(first) == state_of(again)
    for row, same in zip(one.curves, other.curves, strict=True):
        assert {k: v for k, v in row.items() if k != "seconds"} == {
            k: v for k, v in same.items() if k != "seconds"
        }


def test_a_training_killed_at_random_steps_ends_with_the_same_weights(kind, tmp_path, monkeypatch):
    trainer = kinds.trainer_of(kind.network().kind)
    step, rng, steps, stop_at = trainer.step, np.random.default_rng(5), [], [10**9]

    def step_or_stop(self, number):
        if len(steps) == stop_at[0]:
            raise KeyboardInterrupt
        steps.append(number)
        return step(self, number)

    monkeypatch.setattr(trainer, "step", step_or_stop)
    expected, _ = trained(kind, kind.setup())
    all_steps = steps.copy()
    steps.clear()
    setup = replace(kind.setup(), state=tmp_path, save_every_s=0.0)
    for done in np.cumsum(rng.integers(1, 3, size=3)).tolist():
        stop_at[0] = done
        with pytest.raises(KeyboardInterrupt):
            trained(kind, setup)
    stop_at[0] = 10**9
    resumed, _ = trained(kind, setup)
    assert steps == all_steps  # of all runs together: no step is computed twice
    assert state_of(resumed) == state_of(expected)


def test_curves_and_samples_of_each_epoch(kind):
    setup = kind.setup()
    _, result = trained(kind, setup)
    assert [row["epoch"] for row in result.curves] == list(range(1, setup.epochs + 1))
    assert all(np.isfinite(row["train_loss"] + row["validation_loss"]) for row in result.curves)
    shapes = {sample.values.shape for sample in result.samples}
    assert len(result.samples) == setup.epochs
    assert len(shapes) == 1
    assert all(np.isfinite(sample.values.astype(np.float32)).all() for sample in result.samples)
    last = result.samples[-1]
    assert len(last.values) == len(last.genres) == len(last.tracks) == len(last.starts)
    assert last.tracks.max() < len(setup.validation)
    assert all(isinstance(note, str) for note in result.notes)


def test_a_checkpoint_holds_everything(kind, tmp_path):
    network, _ = trained(kind, kind.setup())
    checkpoints.save(tmp_path, network, {"input": {}, "model": "x"})
    loaded, meta = checkpoints.load(tmp_path, kind=network.kind)
    assert meta == {"input": {}, "model": "x"}
    assert state_of(loaded) == state_of(network)
    assert loaded.genres == network.genres
    assert kind.make(loaded).tobytes() == kind.make(network).tobytes()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    checkpoints.save(tmp_path, network, meta)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("training", [True, False])
def test_making_sound_changes_neither_the_network_nor_the_global_state(kind, training):
    network = kind.network()
    network.train(training)
    before, weights = torch.get_rng_state(), state_of(network)
    torch.manual_seed(1)
    first = kind.make(network)
    torch.manual_seed(2)
    seeded = torch.get_rng_state()
    assert kind.make(network).tobytes() == first.tobytes()
    assert torch.equal(torch.get_rng_state(), seeded)
    torch.set_rng_state(before)
    assert state_of(network) == weights
    assert network.training == training
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
