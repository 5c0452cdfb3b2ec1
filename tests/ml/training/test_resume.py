"""A training that is killed and taken up again ends with the bits of one that was not."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.inference.track_set import TrackSet
from melgraph.ml.models import InputShape, build
from melgraph.ml.specs.training import TrainingConfig
from melgraph.ml.training import loop as training_loop
from melgraph.ml.training.setup import TrainingSetup
from melgraph.ml.training.train import train
from tests.ml.training.test_train import QUICK, bits_of, make_model, tones

EVERYTHING = QUICK.model_copy(
    update={"augment": ("specaugment", "mixup", "equaliser"), "patience": None}
)
STEPS = EVERYTHING.epochs * 3  # 12 tracks, 2 crops, batches of 8


class Killed(BaseException):
    """What no code under test catches."""


def trained(state=None, config=EVERYTHING, seed=3, validation=True, **options):
    model = make_model()
    held_out = tones(seed=1) if validation else None
    result = train(
        model,
        TrainingSetup(
            tones(), config, seed, validation=held_out, state=state, save_every_s=0, **options
        ),
    )
    return model, result


def kill_at(monkeypatch, step):
    """Stops before the given optimiser step, counted from 0."""
    real, taken = training_loop.TrainingLoop._step, []

    def counted(self, *arguments):
        if len(taken) == step:
            raise Killed
        taken.append(step)
        return real(self, *arguments)

    monkeypatch.setattr(training_loop.TrainingLoop, "_step", counted)
    return real


@pytest.mark.parametrize("step", range(STEPS))
def test_killed_at_any_step(step, monkeypatch, tmp_path):
    whole, expected = trained()
    with monkeypatch.context() as patch:
        kill_at(patch, step)
        with pytest.raises(Killed):
            trained(tmp_path)
    assert (tmp_path / "state.pt").is_file() == (step > 0)
    model, result = trained(tmp_path)
    assert bits_of(model) == bits_of(whole)
    assert result.best_epoch == expected.best_epoch
    same = ("epoch", "train_loss", "validation_loss", "validation_accuracy", "is_best")
    assert [[c[k] for k in same] for c in result.curves] == [
        [c[k] for k in same] for c in expected.curves
    ]
    np.testing.assert_array_equal(result.dynamics.margin, expected.dynamics.margin)


def test_finished_and_asked_again(tmp_path):
    whole, _ = trained(tmp_path)
    again, result = trained(tmp_path)
    assert bits_of(again) == bits_of(whole)
    assert len(result.curves) == EVERYTHING.epochs


@pytest.mark.parametrize(
    "change", [{"seed": 4}, {"config": EVERYTHING.model_copy(update={"epochs": 5})}]
)
def test_the_state_of_another_training_is_passed_over(change, tmp_path, caplog):
    trained(tmp_path)
    model, _ = trained(tmp_path, **change)
    assert "of another training" in caplog.text
    assert bits_of(model) == bits_of(trained(**change)[0])


def test_a_damaged_state_is_passed_over(tmp_path, caplog):
    whole, _ = trained(tmp_path)
    state = tmp_path / "state.pt"
    state.write_bytes(state.read_bytes()[:-2000])
    assert bits_of(trained(tmp_path)[0]) == bits_of(whole)
    assert "cannot be read" in caplog.text


PROGRAM = """
import sys, torch
torch.set_num_threads(1)
from pathlib import Path
from tests.ml.training.test_resume import trained
print("ready", flush=True)
model, _ = trained(Path(sys.argv[1]))
torch.save(model.state_dict(), Path(sys.argv[1]) / "final.pt")
"""


def test_killed_by_the_system_at_random_moments(tmp_path):
    """Real processes, real SIGKILLs, until one gets to the end."""
    whole, _ = trained()
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    rng, kills = np.random.default_rng(0), 0
    for attempt in range(12):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        if attempt < 4:
            time.sleep(float(rng.uniform(0.02, 0.25)))
            process.send_signal(signal.SIGKILL)
        status = process.wait(60)
        process.stdout.close()
        kills += status == -signal.SIGKILL
        if status == 0:
            break
    assert kills >= 2
    final = torch.load(tmp_path / "final.pt", weights_only=True)
    assert b"".join(v.numpy().tobytes() for v in final.values()) == bits_of(whole)


class TestOutOfMemory:
    def test_batches_are_halved_and_it_is_said(self, monkeypatch, caplog):
        """A machine on which no more than three crops fit at once."""
        model = make_model()
        real = model.forward

        def small(x):
            if model.training and len(x) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
            return real(x)

        monkeypatch.setattr(model, "forward", small)
        config = QUICK.model_copy(update={"epochs": 2})
        result = train(model, TrainingSetup(tones(), config, 0))
        assert [note.split(" in pieces of ")[1].split()[0] for note in result.notes] == ["4", "2"]
        assert "out of memory in epoch 1" in caplog.text
        assert len(result.curves) == 2

    def test_pieces_give_the_gradient_of_the_whole(self):
        """Without batch norm, which sees each piece alone, halves change rounding at most."""
        config = QUICK.model_copy(update={"epochs": 1, "augment": ()})
        features = TrackSet([np.random.default_rng(i).normal(0, 1, (1, 6)).astype(np.float32)
                             for i in range(16)], np.arange(16) % 2, least_std=1e-9)  # fmt: skip
        weights = []
        for most in (8, 3):
            model = build("dense", InputShape(1, 6, 1), n_classes=2, dropout=0.0)
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

    def test_not_even_one(self, monkeypatch):
        model = make_model()

        def none(x):
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

        monkeypatch.setattr(model, "forward", none)
        with pytest.raises(UserError, match="a single crop does not fit") as caught:
            train(model, TrainingSetup(tones(), QUICK, 0))
        assert "crop_s" in caught.value.remedy

    def test_other_errors_are_not_taken_for_it(self, monkeypatch):
        model = make_model()

        def broken(x):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

        monkeypatch.setattr(model, "forward", broken)
        with pytest.raises(RuntimeError, match="cannot be multiplied"):
            train(model, TrainingSetup(tones(), QUICK, 0))


def test_a_track_that_is_not_finite_is_named():
    tracks = tones()
    tracks.arrays[5][3, 2] = np.nan
    with pytest.raises(UserError, match="track 5"):
        train(make_model(), TrainingSetup(tracks, QUICK, 0))
    with pytest.raises(UserError, match="track 5 of the validation tracks"):
        train(make_model(), TrainingSetup(tones(), QUICK, 0, validation=tracks))


def test_a_config_says_what_the_loop_needs():
    config = TrainingConfig(precision="bfloat16", epochs=1)
    result = train(make_model(), TrainingSetup(tones(), config, 0))
    assert np.isfinite(result.curves[0]["train_loss"])
    assert result.curves[0]["crops_per_second"] > 0
    assert result.peak_memory_bytes > 50e6
