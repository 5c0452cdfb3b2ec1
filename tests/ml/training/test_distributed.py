"""Several processes train as one does. On the CPU here; a GPU each where there are several."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.inference.track_set import TrackSet
from melgraph.ml.models import InputShape, build
from melgraph.ml.specs.training import TrainingConfig
from melgraph.ml.training.distributed import train_in_parallel
from melgraph.ml.training.setup import TrainingSetup
from melgraph.ml.training.train import train

CONFIG = TrainingConfig(epochs=3, batch_size=8, crops_per_track=2, augment=(), patience=None)


def build_dense():
    """No batch norm, no dropout: nothing that a share of a batch would change."""
    return build("dense", InputShape(1, 6, 1), n_classes=3, widths=[16, 8], dropout=0.0)


def features(seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(21) % 3
    rows = [(rng.normal(0, 1, (1, 6)) + label).astype(np.float32) for label in labels]
    return TrackSet(rows, labels, least_std=1e-9)


def in_parallel():
    return train_in_parallel(
        build_dense,
        TrainingSetup(features(), CONFIG, 5, validation=features(1), device="cpu", processes=2),
    )


def tags_in_parallel():
    def tagged(seed=0):
        tracks = features(seed)
        return TrackSet(tracks.arrays, np.eye(3, dtype=np.float32)[tracks.labels], 1e-9)

    plain = CONFIG.for_tags()
    model, _ = train_in_parallel(
        build_dense,
        TrainingSetup(tagged(), plain, 5, validation=tagged(1), device="cpu", processes=2),
    )
    alone = build_dense()
    train(alone, TrainingSetup(tagged(), plain, 5, validation=tagged(1)))
    return model, alone


TAGS_PROGRAM = """
import torch
torch.set_num_threads(1)
from tests.ml.training.test_distributed import tags_in_parallel
model, alone = tags_in_parallel()
assert model.multi_label and alone.multi_label
for name, value in alone.state_dict().items():
    torch.testing.assert_close(model.state_dict()[name], value, rtol=1e-3, atol=1e-4)
"""


def test_tags_too():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", TAGS_PROGRAM],
        env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr


PROGRAM = """
import json, sys, torch
torch.set_num_threads(1)
from tests.ml.training.test_distributed import in_parallel
model, result = in_parallel()
torch.save(model.state_dict(), sys.argv[1])
print("curves", json.dumps(result.curves))
print("margins", result.dynamics.margin.shape, result.best_epoch)
"""


def test_two_processes_end_where_one_does(tmp_path):
    """In a process of its own: a fork of one that has threads may hang."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "model.pt")],
        env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    alone = build_dense()
    result = train(alone, TrainingSetup(features(), CONFIG, 5, validation=features(1)))
    together = torch.load(tmp_path / "model.pt", weights_only=True)
    for name, value in alone.state_dict().items():
        torch.testing.assert_close(together[name], value, rtol=1e-3, atol=1e-4)
    (line,) = (line for line in ran.stdout.splitlines() if line.startswith("curves"))
    curves = json.loads(line.removeprefix("curves"))
    for one, other in zip(curves, result.curves, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)
        assert one["validation_loss"] == pytest.approx(other["validation_loss"], rel=1e-3)
    assert f"margins (3, 21) {result.best_epoch}" in ran.stdout


def test_what_cannot_be_shared_is_told():
    few = CONFIG.model_copy(update={"batch_size": 2})
    with pytest.raises(UserError, match="a batch of 2 crops cannot be shared by 2"):
        train_in_parallel(build_dense, TrainingSetup(features(), few, 0, device="cpu", processes=2))
    many = torch.cuda.device_count() + 1
    with pytest.raises(UserError, match=f"on {many} devices, and there are {many - 1}"):
        train_in_parallel(
            build_dense, TrainingSetup(features(), CONFIG, 0, device="cuda", processes=many)
        )
