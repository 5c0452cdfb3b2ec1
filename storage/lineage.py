"""Lineage: the chain from any artifact back to the source recordings, every byte verified.

Standard library only: `melgraph audit` starts at once.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from melgraph.storage.artifacts import Artifact, ArtifactStore
from melgraph.storage.errors import ArtifactMissing, StorageError
from melgraph.storage.library import Library
from melgraph.storage.records import RECORD_NAME, Recording, Reference, parse_record


@dataclass(frozen=True)
class Link:
    """One artifact of the chain."""

    reference: Reference
    depth: int
    artifact: Artifact | None
    problems: list[str]
    repeated: bool = False  # already shown and verified further up


@dataclass
class Chain:
    """The whole chain of one artifact.

    Attributes:
        links: the artifact, its inputs, their inputs, depth first.
        sources: the recordings it ends at, and what is wrong with each (empty: verified).
        moved: path of a recording -> where its bytes are now, where that is another place.
    """

    links: list[Link] = field(default_factory=list)
    moved: dict[str, str] = field(default_factory=dict)
    sources: list[tuple[Recording, list[str]]] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """Everything wrong anywhere in the chain."""
        found = [problem for link in self.links for problem in link.problems]
        return found + [problem for _, problems in self.sources for problem in problems]


def trace(
    store: ArtifactStore,
    start: Artifact,
    *,
    file: str | None = None,
    locate: Callable[[str], list[str]] = lambda track_id: [],
    on_link: Callable[[Link], None] = lambda link: None,
) -> Chain:
    """Walk from an artifact to its sources, verifying every file on the way.

    Args:
        store: where the artifacts are.
        start: the artifact asked about.
        file: one file of it; then only the recordings that file was made from are its sources.
        locate: other paths at which a track's bytes were seen, for files that moved.
        on_link: told of each link as soon as it is verified.
    """
    chain = Chain()
    seen: set[Reference] = set()
    for link in _walk(store, start.reference, "", 0, seen, start):
        chain.links.append(link)
        on_link(link)
    library = store.home.open_library()
    for recording in _sources(chain, start, file):
        place, problems = _verify_source(library, recording, locate)
        chain.sources.append((recording, problems))
        if place is not None and place != recording.path:
            chain.moved[recording.path] = place
    return chain


def _walk(
    store: ArtifactStore,
    reference: Reference,
    digest: str,
    depth: int,
    seen: set[Reference],
    start: Artifact | None = None,
) -> Iterator[Link]:
    repeated = reference in seen
    seen.add(reference)
    try:
        artifact = start or store.get(reference)  # the start may be a copy kept elsewhere
    except StorageError as error:
        lost = isinstance(error, ArtifactMissing)
        what = "missing, or its record is" if lost else error.what
        yield Link(reference, depth, None, [] if repeated else [f"{error.where}: {what}"])
        return
    problems = [] if repeated else store.verify(artifact)
    if digest and artifact.record.digest != digest:
        # Made again since, with other bytes: the record of the user names what it was made from.
        problems.append(f"{artifact.location}: not the bytes the artifact above was made from")
    yield Link(reference, depth, artifact, problems, repeated)
    if not repeated:
        for parent in artifact.record.spec.inputs:
            recorded = artifact.record.input_digests.get(str(parent), "")
            yield from _walk(store, parent, recorded, depth + 1, seen)


def _sources(chain: Chain, start: Artifact, file: str | None) -> list[Recording]:
    named = start.record.recordings
    if named and file is not None:
        return [r for r in named if file in r.files] or list(named)
    if named:
        return list(named)
    found: dict[tuple[str, str], Recording] = {}  # one path may have held several recordings
    for link in chain.links:
        if link.artifact is not None and not link.artifact.record.spec.inputs:
            for recording in link.artifact.record.recordings:
                found.setdefault((recording.path, recording.sha256 or ""), recording)
    return [found[key] for key in sorted(found)]


def _verify_source(
    library: Library, recording: Recording, locate: Callable[[str], list[str]]
) -> tuple[str | None, list[str]]:
    """Where in the library the recorded bytes are now, and what is wrong, if they are nowhere."""
    if recording.sha256 is None:
        return None, []  # it could not be read when it was catalogued, and nothing was made from it
    places = [recording.path]
    if recording.track_id is not None:
        places += [path for path in locate(recording.track_id) if path != recording.path]
    state = "missing"
    for place in places:
        try:
            if library.sha256(place) == recording.sha256:
                return place, []
            if place == recording.path:
                state = "changed since: its SHA-256 is not the recorded one"
        except OSError:
            continue
    return None, [f"{library.where(recording.path)}: {state}"]


def find_artifact(store: ArtifactStore, text: str) -> tuple[Artifact, str | None]:
    """What a user means by `text`: a path to a file or folder, or `asset/partition[/version]`.

    Returns:
        The artifact, and the file of it that was named, if one was.

    Raises:
        ArtifactMissing: nothing answers to it. ArtifactCorrupt: its record is damaged.
    """
    path = Path(os.path.abspath(text))  # noqa: PTH100 - Path keeps `..`
    place = _place_in_bucket(store, text) or (_place(store, path) if path.exists() else [])
    if path.exists() and not place and (copy := _copy_around(path)) is not None:
        return copy
    parts = place or text.strip("/").split("/")
    artifact, file = _artifact_at(store, parts), "/".join(parts[3:])
    if artifact is None or not _holds(artifact, file):
        known = [f"{asset}/{name}" for asset in store.assets() for name in store.partitions(asset)]
        raise ArtifactMissing(
            f"no artifact answers to {text!r}",
            where=store.location,
            remedy="name a file or folder below it, or one of: "
            + (", ".join(known) or "(none yet)"),
        )
    return artifact, file if file in artifact.record.files else None


def _holds(artifact: Artifact, file: str) -> bool:
    """Whether an artifact has a file or folder of this name; nothing is fetched to find out."""
    if artifact.bucket is None:
        return (artifact.folder / file).exists()
    names = (*artifact.record.files, RECORD_NAME)
    return not file or any(name == file or name.startswith(f"{file}/") for name in names)


def _place_in_bucket(store: ArtifactStore, text: str) -> list[str]:
    """`_place` of the address of something in the store's bucket."""
    if store.bucket is None or not text.startswith(f"{store.location}/"):
        return []
    parts = text[len(store.location) + 1 :].strip("/").split("/")
    if len(parts) > 3 and re.fullmatch(r"[0-9a-f]{32}", parts[3]):
        del parts[3]  # the digest that the files lie below
    return parts


def _place(store: ArtifactStore, path: Path) -> list[str]:
    """`[asset, partition, version, file...]` of a path below the store, as far as it goes."""
    for spelling in (path, path.resolve()):
        if spelling.is_relative_to(store.root):
            return list(spelling.relative_to(store.root).parts)
    return []


def _copy_around(path: Path) -> tuple[Artifact, str | None] | None:
    """The artifact a path outside the store lies in: a copy, with its record."""
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
        return store.current(*parts)
    partitions = store.partitions(parts[0])
    return store.current(parts[0], partitions[0]) if len(partitions) == 1 else None
