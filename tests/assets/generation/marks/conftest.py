"""Two sounds in a home, written by hand: nothing is trained and no recording is read."""

import numpy as np
import pytest

from melgraph.assets.generation.sound_files import Generated, SoundWriter
from melgraph.assets.generation.sources import Source
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.home import Home
from melgraph.storage.records import Spec

RATE = 22050
VGG = {"of": "vgg16", "sha256": "ab" * 32, "weights": "x", "data": "y", "commercial_use": "unclear"}


def song(name: str, seed: int) -> Source:
    noise = np.random.default_rng(seed).normal(0, 0.1, (RATE // 2, 2)).astype(np.float32)
    track = {"path": f"{name}.wav", "track_id": f"{seed:032x}", "title": name}
    return Source(track, noise, RATE, f"{seed:064x}", 1.5)


def write_dreams(work: Work) -> None:
    """Two sounds, the first one towards a guide."""
    work.licences.append(VGG)
    guides = {1: song("guide", 9), 2: None}

    def make(source: Source, guide: Source | None) -> Generated:
        return Generated(source.samples / 2, b"PNG", {})

    writer = SoundWriter(work, make, "dream", "deep dream", "a licence")
    rows = [writer.write(n, song(f"Été {n}", n), guide) for n, guide in guides.items()]
    work.facts.update(sounds=rows, recipe="Dreams by hand")


@pytest.fixture
def store(tmp_path) -> ArtifactStore:
    (tmp_path / "library").mkdir()
    return ArtifactStore(Home(tmp_path / "home", str(tmp_path / "library")).create())


@pytest.fixture
def dreams(store) -> Artifact:
    """`01-t-1.dream.flac`, with a guide, and `02-t-2.dream.flac`."""
    spec = Spec("dreams", "by-hand", 1, (), {"method": "deep_dream", "title": "Dreams by hand"})
    return store.produce(spec, write_dreams)[0]
