"""Finding the artifact that a user named: by a path, by a copy of a file, or by its name.

Imports the standard library only, so that `melgraph audit` starts at once.
"""

import os
import re
from pathlib import Path

from melgraph.storage.artifacts import Artifact, ArtifactStore
from melgraph.storage.errors import ArtifactCorrupt, ArtifactMissing
from melgraph.storage.records import RECORD_NAME, Reference, parse_record


def find_artifact(store: ArtifactStore, text: str) -> tuple[Artifact, str | None]:
    """The artifact that a user named: by a path, or by `asset/partition[/version]`.

    Returns:
        The artifact, and its file if `text` names a file.

    Raises:
        ArtifactMissing: `text` names no artifact.
        ArtifactCorrupt: the record of the artifact is damaged.
    """
    path = Path(os.path.abspath(text))  # noqa: PTH100 - Path keeps `..`
    place = _place_in_bucket(store, text) or (_place(store, path) if path.exists() else [])
    if path.exists() and not place and (copy := _copy_around(path)) is not None:
        return copy
    parts = place or text.strip("/").split("/")
    artifact, file = _artifact_at(store, parts), "/".join(parts[3:])
    if artifact is None or not _holds(artifact, file):
        choices = [
            f"{asset}/{name}" for asset in store.assets() for name in store.partitions(asset)
        ]
        raise ArtifactMissing(
            f"there is no artifact {text!r}",
            where=store.location,
            remedy="name a file or folder below it, or one of: "
            + (", ".join(choices) or "(none yet)"),
        )
    return artifact, file if file in artifact.record.files else None


def _holds(artifact: Artifact, file: str) -> bool:
    """Whether an artifact has a file or folder of this name. Fetches nothing."""
    if artifact.bucket is None:
        return (artifact.folder / file).exists()
    names = (*artifact.record.files, RECORD_NAME)
    return not file or any(name == file or name.startswith(f"{file}/") for name in names)


def _place_in_bucket(store: ArtifactStore, text: str) -> list[str]:
    """Like `_place`, for an address in the bucket of the store."""
    if store.bucket is None or not text.startswith(f"{store.location}/"):
        return []
    parts = text[len(store.location) + 1 :].strip("/").split("/")
    if len(parts) > 3 and re.fullmatch(r"[0-9a-f]{32}", parts[3]):
        del parts[3]  # the content digest, which is a folder of its own in a bucket
    return parts


def _place(store: ArtifactStore, path: Path) -> list[str]:
    """The parts `[asset, partition, version, file...]` of a path below the store."""
    for spelling in (path, path.resolve()):
        if spelling.is_relative_to(store.root):
            return list(spelling.relative_to(store.root).parts)
    return []


def _copy_around(path: Path) -> tuple[Artifact, str | None] | None:
    """The copied artifact, with its record, that contains a path outside of the store."""
    for folder in (path, *path.parents):
        record_path = folder / RECORD_NAME
        if record_path.is_file():
            record = parse_record(record_path.read_bytes(), where=record_path)
            is_part = path.is_file() and path != record_path
            return Artifact(folder, record), path.relative_to(
                folder
            ).as_posix() if is_part else None
    return None


def _artifact_at(store: ArtifactStore, parts: list[str]) -> Artifact | None:
    if len(parts) >= 3:
        return store.find(Reference(*parts[:3]))
    if len(parts) == 2:
        return _current(store, *parts)
    partitions = store.partitions(parts[0])
    return _current(store, parts[0], partitions[0]) if len(partitions) == 1 else None


def _current(store: ArtifactStore, asset: str, partition: str) -> Artifact | None:
    """The current version; None if there is no such partition.

    Raises:
        ArtifactCorrupt: the pointer to the current version is damaged.
    """
    artifact = store.current(asset, partition)
    if artifact is None and partition in store.partitions(asset):
        raise ArtifactCorrupt(
            store.pointer_problem(Reference(asset, partition, "")) or "the pointer is damaged",
            where=f"{store.location}/{asset}/{partition}",
            remedy=f"make {asset} for {partition} again: melgraph run, or the command that made it",
        )
    return artifact
