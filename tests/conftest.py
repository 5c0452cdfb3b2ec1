"""What every test gets: one thread, a clean environment; and, once, a home with everything in it.

Tests that read `made_home` carry `@pytest.mark.xdist_group("home")`, so that it is made once however
many workers there are (`-n 2 --dist loadgroup`). They leave it as it was: who changes something
works in a copy (`copied_home`).
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

# Before anything imports torch: the workers share the cores, and one thread gives the same bytes
# on any number of them.
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
os.environ.update(THREADS)

REAL_DATA = "MELGRAPH_REAL_DATA"
SETTINGS = [
    name
    for name in os.environ
    if name.startswith(("MELGRAPH_", "MLFLOW_", "DAGSTER_")) and name != REAL_DATA
]
for _name in SETTINGS:
    del os.environ[_name]
# `assets.partitions` reads the user's own specs when it is imported. While tests are collected that
# must not be those of a home that lies in the working directory.
os.environ["MELGRAPH_HOME"] = os.devnull + "/no-home"

EXPERIMENT = """\
title = "A small CNN, two epochs, for tests"
dataset = "genres"
model = { architecture = "small_cnn" }
folds = 0
training = { epochs = 2, crops_per_track = 2, crop_frames = 64 }
"""
RECIPE = """\
title = "A dream of a second, for tests"
experiment = "small-cnn"
layer = "conv3"
tracks = 1
excerpt_s = 1.5
dream = { octaves = 2, steps = 2 }
"""
STYLES = ("bossa", "techno", "ambient")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory) -> None:
    """No setting of the user's, and a working directory without a `.melgraph` in it."""
    for name in list(os.environ):
        if name.startswith(("MELGRAPH_", "MLFLOW_", "DAGSTER_")) and name != REAL_DATA:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings, where there is one."""
    folder = os.environ.get(REAL_DATA)
    if not folder:
        pytest.skip(f"{REAL_DATA} names no folder of real recordings")
    return Path(folder)
