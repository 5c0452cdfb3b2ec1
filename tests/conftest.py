"""What every test gets: one thread, a clean environment; and, once, a home with everything in it.

`made_home` is made once, however many workers there are, and read by all: what changes something
works in a copy (`home_copy`). Run in parallel with `-n 2 --dist loadfile`: what a module prepares,
one worker prepares.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from filelock import FileLock

from tests.buckets import bucket, bucket_server  # noqa: F401 - fixtures

if TYPE_CHECKING:
    from melgraph.assets.context import Context
    from melgraph.storage.artifacts import ArtifactStore
    from melgraph.storage.catalogue import Catalogue
    from melgraph.storage.home import Home

# Before anything imports torch: the workers share the cores, and one thread gives the same bytes
# however many there are.
os.environ.update(
    dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
)
# One cache for all homes of the tests: compiling UMAP takes half a minute.
os.environ.setdefault("NUMBA_CACHE_DIR", f"{tempfile.gettempdir()}/melgraph-tests-numba")
REAL_DATA = "MELGRAPH_REAL_DATA"
SETTINGS = ("MELGRAPH_", "MLFLOW_", "DAGSTER_", "AWS_")
# A limit for a process that hangs: no test takes so long, even on a busy machine.
PATIENCE_S = 1800.0
HEAVY_MODULES = (
    "torch", "dagster", "polars", "mlflow", "zarr", "numpy", "pydantic", "pandas", "sklearn"
)  # fmt: skip
KEPT = (REAL_DATA, "MELGRAPH_UPDATE_SNAPSHOT")  # settings of the tests themselves

EXPERIMENT = """\
title = "A small CNN, two epochs: for tests"
dataset = "genres"
model = { architecture = "small_cnn" }
folds = 0
input = { crop_s = 1.5 }
training = { epochs = 2, crops_per_track = 2 }
"""
STUDY = """\
title = "Two arms and one that cannot be: for tests"
question = "Does mixup help?"
experiment = "small-cnn"
control = "plain"
seeds = [0, 1]
folds = 2
training = { epochs = 1, crops_per_track = 1 }

[arms.plain]

[arms.mixup]
training = { augment = ["mixup"] }

[arms.gone]
model = { weights = "gone.pth" }
"""
RECIPE = """\
title = "A second of a dream: for tests"
experiment = "small-cnn"
layer = "conv3"
tracks = 1
excerpt_s = 1.5
dream = { octaves = 2, steps = 2 }
"""
GUIDED_RECIPE = """\
title = "A second of a dream towards another song: for tests"
by_default = false
experiment = "small-cnn"
layer = "conv3"
tracks = 1
excerpt_s = 1.5
dream = { objective = "guide", octaves = 1, steps = 2 }
"""
GUIDE = "classical/Hollow Chamber Players/01 After the Station.flac"  # of the requested sound
STYLE_RECIPE = """\
title = "A second of a style transfer: for tests"
method = "style_transfer"
dataset = "genres"
tracks = 1
excerpt_s = 1.5
style = { features = "random_1d", filters = 8, steps = 2, phase = "new" }
"""
INVERSION_RECIPE = """\
title = "A second of an inversion: for tests"
method = "inversion"
dataset = "genres"
tracks = 1
excerpt_s = 1.5
inversion = { representation = "mel_spectrograms", iterations = 1 }
"""
GENERATIVE_MODELS = {
    "tiny-gan": """\
title = "A tiny CycleGAN, two epochs: for tests"
kind = "cyclegan"
dataset = "genres"
genres = ["blues", "classical"]
embedding = "tiny"
image = 32
crop_s = 1.0
network = { width = 2, blocks = 1, discriminator_width = 2, discriminator_layers = 1 }
training = { epochs = 2 }
""",
    "tiny-recreation": """\
title = "Tiny recreations, two epochs: for tests"
kind = "recreation"
dataset = "genres"
embedding = "tiny"
crop_s = 0.5
network = { widths = [8], bottleneck = 2 }
training = { epochs = 2, crops_per_track = 2, batch_size = 4 }
""",
    "tiny-flow": """\
title = "A tiny rectified flow, two epochs: for tests"
kind = "rectified_flow"
dataset = "genres"
embedding = "tiny"
frames = 16
network = { width = 8, multipliers = [1, 1], patch = 4 }
training = { epochs = 2, steps_per_epoch = 2, batch_size = 2 }
""",
}
GENERATIVE_RECIPES = {
    "tiny-transfer": """\
title = "A second of blues moved towards classical: for tests"
method = "genre_transfer"
model = "tiny-gan"
towards = "classical"
tracks = 1
excerpt_s = 1.5
""",
    "tiny-recreation": """\
title = "A second recreated: for tests"
method = "recreation"
model = "tiny-recreation"
tracks = 1
excerpt_s = 1.5
iterations = 1
""",
    "tiny-composition": """\
title = "A second composed: for tests"
method = "composition"
model = "tiny-flow"
tracks = 1
excerpt_s = 1.5
steps = 2
iterations = 1
""",
}
TAGGER = """\
title = "A tiny tagger with random weights: for tests"
architecture = "musicnn"
file = "tiny.pth"
tags = ["genre---blues", "genre---rock", "instrument---piano"]
"""
TAGGING_ENCODER = """\
title = "What the tiny tagger hears"
kind = "tagger"
tagger = "tiny"
"""
IN_SERVICE = 'in_service = ["audio-features", "mel-statistics", "small-cnn", "tiny-tagger"]'
STYLES = ("blues", "classical", "country")


# A test bounds the work, not the clock: a busy machine must not fail one.
hypothesis.settings.register_profile("melgraph", deadline=None)
hypothesis.settings.load_profile("melgraph")


def _forget_settings() -> None:
    for name in list(os.environ):
        if name.startswith(SETTINGS) and name not in KEPT:
            del os.environ[name]


# The definitions are built from the TOML files of the home that the environment names: while tests
# are collected, those of a home that lies in the working directory must not be found.
_forget_settings()
os.environ["MELGRAPH_HOME"] = str(Path(__file__).with_name("no-home"))  # and there is none


@pytest.fixture(autouse=True)
def _clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No setting of the user's or of another test, and a working directory without `.melgraph`."""
    before, folder = dict(os.environ), Path.cwd()
    _forget_settings()
    os.chdir(tmp_path_factory.getbasetemp())
    yield
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings."""
    folder = os.environ.get(REAL_DATA)
    if not folder:
        pytest.skip(f"{REAL_DATA} does not name a folder of real recordings")
    return Path(folder)


@dataclass(frozen=True)
class MadeHome:
    """A home and its library, and a file of what `melgraph run` said when it was made."""

    root: Path
    library: Path
    output_file: Path

    @property
    def outside(self) -> Path:
        """A recording outside of the library, from which a sound was requested."""
        return self.output_file.with_name("A wish? 100 %.wav")

    @property
    def home(self) -> "Home":
        from melgraph.storage.home import open_home

        return open_home(self.root)

    @property
    def store(self) -> "ArtifactStore":
        from melgraph.storage.artifacts import ArtifactStore

        return ArtifactStore(self.home)

    @property
    def catalogue(self) -> "Catalogue":
        from melgraph.storage.catalogue import Catalogue

        return Catalogue(self.home.catalogue)

    @property
    def context(self) -> "Context":
        from melgraph.assets.context import Context

        return Context.open(self.home)

    def melgraph(
        self, *arguments: str, timeout: float = PATIENCE_S
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line on this home, in a process of its own."""
        command = [sys.executable, "-m", "melgraph.pipelines.cli", *arguments]
        environment = {**os.environ, "MELGRAPH_HOME": str(self.root)}
        return subprocess.run(
            command, env=environment, cwd=self.root.parent, capture_output=True, text=True,
            timeout=timeout,
        )  # fmt: skip


@pytest.fixture(scope="session")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> MadeHome:
    """The whole pipeline, run once on 24 tiny tracks and the faults of real libraries.

    Made by the command line in a process of its own, as a user makes it. Read only.
    """
    in_worker = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if in_worker else base) / "made"
    home = MadeHome(folder / "home", folder / "library", folder / "output.txt")
    with FileLock(folder.with_suffix(".lock")):
        if not home.output_file.is_file():  # no other worker has made it
            shutil.rmtree(folder, ignore_errors=True)
            _make(home)
    return home


def _make(home: MadeHome) -> None:
    from melgraph.ml.sample_library import write_sample_library

    write_sample_library(
        home.library, styles=STYLES, tracks_per_artist=2, duration_s=4.0, workers=1
    )
    specs = {
        "experiments/small-cnn": EXPERIMENT,
        "recipes/deep-dream": RECIPE,
        "recipes/tiny-inversion": INVERSION_RECIPE,
        "recipes/guided-dream": GUIDED_RECIPE,
        "recipes/tiny-style": STYLE_RECIPE,
        **{f"generative_models/{name}": text for name, text in GENERATIVE_MODELS.items()},
        **{f"recipes/{name}": text for name, text in GENERATIVE_RECIPES.items()},
        "studies/tiny": STUDY,
        "taggers/tiny": TAGGER,
        "encoders/tiny-tagger": TAGGING_ENCODER,
        "encoders": IN_SERVICE,
    }
    for name, text in specs.items():
        path = home.root / "specs" / f"{name}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    write_tiny_tagger(home.root / "weights" / "tiny.pth")
    on_demand = ("stft_spectrograms", "mfcc", "waveforms", "waveforms_32k")
    ran = home.melgraph(
        "run", "--library", str(home.library), "--study", "tiny",
        *(word for name in ("small-cnn", *GENERATIVE_MODELS) for word in ("--experiment", name)),
        *(word for name in on_demand for word in ("--representation", name)),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    write_song(home.outside)
    requested = home.melgraph(
        "generate", "guided-dream", "--source", str(home.outside), "--guide", GUIDE, "--start", "1"
    )
    assert requested.returncode == 0, requested.stdout + requested.stderr
    home.output_file.write_text(ran.stdout)


def write_song(path: Path, seconds: float = 4.0) -> None:
    """A chord in noise, in stereo."""
    import numpy as np
    import soundfile

    rate = 22050
    time = np.arange(round(seconds * rate)) / rate
    chord = sum(np.sin(2 * np.pi * hertz * time) for hertz in (220.0, 275.0, 330.0))
    noise = np.random.default_rng(0).normal(0, 0.02, (len(time), 2))
    soundfile.write(path, 0.1 * chord[:, None] + noise, rate, subtype="PCM_16")


def write_tiny_tagger(path: Path) -> None:
    """A state dict as taggers are published, of few and random weights."""
    import torch

    from tests.ml.public_taggers import musicnn, state_of

    path.parent.mkdir(parents=True, exist_ok=True)
    shapes = musicnn(tags=3, back_end=8, hidden=16, timbre=8, rhythm=4)
    torch.save(state_of(shapes), path)


def copy_home(made: MadeHome, folder: Path, *, library: bool = False) -> MadeHome:
    """A copy in `folder` of a made home, and of its library where that is to change too."""
    root = folder / "home"
    shutil.copytree(made.root, root, symlinks=True)
    if not library:
        return MadeHome(root, made.library, made.output_file)
    shutil.copytree(made.library, folder / "library")
    marker = root / "melgraph.json"
    kept = json.loads(marker.read_text())
    marker.write_text(json.dumps(kept | {"library": str(folder / "library")}))
    link = root / "library"
    link.unlink()
    link.symlink_to(folder / "library", target_is_directory=True)
    return MadeHome(root, folder / "library", made.output_file)


@pytest.fixture
def home_copy(made_home: MadeHome, tmp_path: Path) -> Callable[..., MadeHome]:
    """`home_copy()` is a copy of the made home to change; `library=True` copies its library too."""
    return partial(copy_home, made_home, tmp_path)


def write_spec(home: "Home", kind: str, name: str, **keys: object) -> None:
    """Write a TOML file into a home: `write_spec(home, "datasets", "genres", title="x")`."""
    path = home.specs / kind / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{key} = {_toml(value)}\n" for key, value in keys.items()
                            if value is not None))  # fmt: skip


def _toml(value: object) -> str:
    if isinstance(value, dict):
        inside = ", ".join(f"{k} = {_toml(v)}" for k, v in value.items() if v is not None)
        return f"{{ {inside} }}"
    return json.dumps(value)
