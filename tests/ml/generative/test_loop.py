"""The loop of generative trainings, with a network of one weight: budget, state, interruptions."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from melgraph.ml.errors import UserError
from melgraph.ml.generative.base import (
    EpochEnd,
    GenerativeNetwork,
    GenerativeSetup,
    GenreTracks,
    Samples,
    Trainer,
)
from melgraph.ml.generative.loop import train_generative
from melgraph.ml.models.base import InputShape
from melgraph.ml.specs.generative_model import RecreationTraining

ALL_STEPS = [0, 1, 2, 3] * 3  # of each epoch


class OneWeight(GenerativeNetwork):
    kind = "one-weight"

    def __init__(self) -> None:
        super().__init__(InputShape(1, 1, 4), ("rock",))
        self.weight = nn.Parameter(torch.zeros(1))


class OneWeightTrainer(Trainer):
    """Draws from both generators, and keeps a tensor: all that a state must hold."""

    def __init__(self, network, setup, stop_at=None, steps=None):
        super().__init__(network, setup)
        self.steps = [] if steps is None else steps
        self.optimiser = torch.optim.Adam(network.parameters(), lr=0.1)
        self.past = torch.zeros(1)
        self.stop_at, self.done = stop_at, 0

    @property
    def steps_per_epoch(self):
        return 4

    def modules(self):
        return {"network": self.network}

    def optimisers(self):
        return {"adam": self.optimiser}

    def begin_epoch(self, epoch, rng):
        self.targets = rng.normal(size=4)

    def step(self, number):
        if self.done == self.stop_at:
            raise KeyboardInterrupt
        self.done += 1
        self.steps.append(number)
        target = float(self.targets[number]) + torch.randn(()) + self.past
        loss = (self.network.weight - target).square().mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.past = 0.5 * self.past + self.network.weight.detach()
        return {"train_loss": float(loss.detach())}

    def memory(self):
        return {"past": self.past}

    def restore_memory(self, memory):
        self.past = memory["past"].clone()

    def end_epoch(self, epoch):
        weight = float(self.network.weight.detach())
        values = np.full((1, 4, 1), weight, np.float16)
        zeros = np.zeros(1, np.int64)
        return EpochEnd({"validation_loss": weight**2}, Samples(values, zeros, zeros - 1, zeros))


def setup_of(folder=None, **changes) -> GenerativeSetup:
    tracks = GenreTracks([np.zeros((8, 1), np.float32)], np.zeros(1, np.int64))
    config = RecreationTraining()
    setup = GenerativeSetup(tracks, tracks, config, 3, seed=5, state=folder, save_every_s=0.0)
    return replace(setup, **changes)


def trained(setup, **arguments):
    network = OneWeight()
    result = train_generative(
        network, lambda network, setup: OneWeightTrainer(network, setup, **arguments), setup
    )
    return float(network.weight), result


def without_seconds(result):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in result.curves]


@pytest.mark.parametrize("stop_at", [0, 1, 3, 4, 5, 8, 11])
def test_a_training_stopped_at_any_step_ends_with_the_same_bits(tmp_path, stop_at):
    expected, whole = trained(setup_of())
    with pytest.raises(KeyboardInterrupt):
        trained(setup_of(tmp_path), stop_at=stop_at)
    steps = []
    weight, result = trained(setup_of(tmp_path), steps=steps)
    assert steps == ALL_STEPS[stop_at:]
    assert weight == expected
    assert without_seconds(result) == without_seconds(whole)
    assert [s.values.tobytes() for s in result.samples] == [
        s.values.tobytes() for s in whole.samples
    ]


def test_stopped_again_and_again(tmp_path):
    expected, _ = trained(setup_of())
    steps = []
    for _ in range(11):
        with pytest.raises(KeyboardInterrupt):
            trained(setup_of(tmp_path), stop_at=1, steps=steps)
    assert trained(setup_of(tmp_path), steps=steps)[0] == expected
    assert steps == ALL_STEPS


def test_the_state_of_another_training_is_ignored(tmp_path, caplog):
    with pytest.raises(KeyboardInterrupt):
        trained(setup_of(tmp_path, seed=6), stop_at=5)
    steps = []
    assert trained(setup_of(tmp_path), steps=steps)[0] == trained(setup_of())[0]
    assert steps == ALL_STEPS
    assert "of another training" in caplog.text


def test_missing_samples_start_the_training_again(tmp_path, caplog):
    with pytest.raises(KeyboardInterrupt):
        trained(setup_of(tmp_path), stop_at=6)
    (tmp_path / "samples-0001.npz").write_bytes(b"not samples")
    steps = []
    assert trained(setup_of(tmp_path), steps=steps)[0] == trained(setup_of())[0]
    assert steps == ALL_STEPS
    assert "from the beginning" in caplog.text


def test_a_loss_that_is_not_finite_ends_the_training():
    class Diverging(OneWeightTrainer):
        def step(self, number):
            return {"train_loss": float("nan")}

    with pytest.raises(UserError, match="the loss train_loss is nan"):
        train_generative(OneWeight(), Diverging, setup_of())


def test_curves_have_a_row_per_epoch_and_the_global_state_stays():
    before = torch.get_rng_state()
    _, result = trained(setup_of())
    assert torch.equal(torch.get_rng_state(), before)
    assert [row["epoch"] for row in result.curves] == [1, 2, 3]
    assert {"train_loss", "validation_loss", "seconds"} <= result.curves[0].keys()
    assert len(result.samples) == 3
