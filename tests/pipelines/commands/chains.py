"""A generated sound of the made home, the artifacts it was made from, and a way to damage them."""

from pathlib import Path

from melgraph.storage.artifacts import Artifact
from tests.conftest import MadeHome


def dream_of(home: MadeHome) -> tuple[Artifact, Path]:
    """The artifact of the deep dream, and its one sound."""
    artifact = home.store.need("dreams", "deep-dream")
    (sound,) = artifact.facts["sounds"]
    return artifact, artifact.folder / sound["files"]["dream"]


def chain_of(home: MadeHome) -> list[Artifact]:
    """The dream, its inputs, their inputs: each once."""
    artifacts, waiting = {}, [dream_of(home)[0]]
    while waiting:
        artifact = waiting.pop()
        artifacts[artifact.reference] = artifact
        waiting += [home.store.get(reference) for reference in artifact.record.spec.inputs]
    return list(artifacts.values())


def flip(path: Path, at: int = -1) -> bytes:
    """Change one byte of a file. Returns the old bytes."""
    data = path.read_bytes()
    changed = bytearray(data)
    changed[at] ^= 1
    path.write_bytes(changed)
    return data
