"""Lineage: the chain from an artifact back to its source recordings, with every byte verified.

Imports the standard library only, so that `melgraph audit` starts at once.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from melgraph.storage.artifacts import Artifact, ArtifactStore
from melgraph.storage.errors import ArtifactMissing, StorageError
from melgraph.storage.files import file_sha256
from melgraph.storage.home import Home
from melgraph.storage.outside import is_outside, remembered_place
from melgraph.storage.records import Recording, Reference


@dataclass(frozen=True)
class Link:
    """One artifact of the chain.

    Attributes:
        reference: which artifact.
        depth: number of steps from the start of the chain.
        artifact: None if it does not exist or cannot be read.
        problems: what is wrong with it, one line each; empty if it is intact.
        repeated: True if it was verified earlier in the chain.
    """

    reference: Reference
    depth: int
    artifact: Artifact | None
    problems: list[str]
    repeated: bool = False


@dataclass(frozen=True)
class Source:
    """A source recording, as it is now.

    Attributes:
        recording: as recorded.
        place: the path at which the recorded sound is now; None if it is nowhere.
        since: what the catalogue knows has happened to it: `removed` or `replaced`; None if it is
            as recorded, or if the catalogue knows nothing that explains the problem.
        retagged: whether the file at `place` has other metadata than the recorded one. Its sound is
            as recorded.
        problem: what is wrong, if the catalogue does not explain it; None if nothing is.
        note: what has happened to the file, if its sound is kept in an artifact, so that nothing is
            lost with it; None if it is as recorded.
    """

    recording: Recording
    place: str | None = None
    since: str | None = None
    retagged: bool = False
    problem: str | None = None
    note: str | None = None

    @property
    def has_moved(self) -> bool:
        """Whether the recorded sound is at another path now."""
        return self.place is not None and self.place != self.recording.path


@dataclass
class Chain:
    """The whole chain of one artifact.

    Attributes:
        links: the artifact, its inputs and their inputs, depth first.
        sources: the source recordings.
    """

    links: list[Link] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """All problems of all artifacts and source recordings."""
        of_artifacts = [problem for link in self.links for problem in link.problems]
        return of_artifacts + [source.problem for source in self.sources if source.problem]

    @property
    def in_excerpts(self) -> list[Source]:
        """The sources whose file is gone or changed, but whose sound is kept in an artifact."""
        return [source for source in self.sources if source.note]

    @property
    def lost(self) -> list[Source]:
        """The sources that were removed or replaced since, as the catalogue knows."""
        return [source for source in self.sources if source.since]


def trace(
    store: ArtifactStore,
    start: Artifact,
    *,
    file: str | None = None,
    locate: Callable[[str], list[str]] = lambda track_id: [],
    identify: Callable[[Path], str | None] = lambda path: None,
    explain: Callable[[Recording], str | None] = lambda recording: None,
    used: Callable[[Artifact], set[str] | None] = lambda artifact: None,
    keeps_sound: Callable[[Artifact], bool] = lambda artifact: False,
    on_link: Callable[[Link], None] = lambda link: None,
) -> Chain:
    """Follow the inputs of an artifact to its source recordings, and verify every file.

    Args:
        store: where the artifacts are.
        start: the artifact to trace.
        file: one of its files. If it is given, the sources are the recordings of that file only.
        locate: track id -> all paths at which the track has been, to find moved files.
        identify: a local file -> the id of the track that it holds; None if that is unknown. It is
            called only if the SHA-256 of a file differs from the recorded one.
        explain: a recording whose sound is nowhere -> what the catalogue knows has happened to it
            (`Source.since`).
        used: an artifact -> the ids of the tracks that it uses of its inputs; None for all. It is
            called only if a recording is not as recorded, and decides whether that recording
            counts.
        keeps_sound: whether an artifact holds the sound of its recordings itself. If such a
            recording is gone, nothing is lost: that is noted, and is no problem.
        on_link: called with each link as soon as it is verified.
    """
    chain = Chain()
    visited: set[Reference] = set()
    for link in _walk(store, start.reference, "", 0, visited, start):
        chain.links.append(link)
        on_link(link)
    search = _Search(store.home, locate, identify, explain)
    in_excerpts = _tracks_in_excerpts(chain, start, keeps_sound)
    sources = [
        _noted(source) if recording.track_id in in_excerpts else source
        for recording in _sources(chain, start, file)
        for source in [search.verify(recording)]
    ]
    if any(source.since or source.problem for source in sources) and not start.record.recordings:
        used_ids = _used_ids(chain, start.reference, used)
        sources = [
            source
            for source in sources
            if not (source.since or source.problem) or source.recording.track_id in used_ids
        ]
    chain.sources = sources
    return chain


def _tracks_in_excerpts(
    chain: Chain, start: Artifact, keeps_sound: Callable[[Artifact], bool]
) -> set[str | None]:
    """The tracks whose recording is not needed, because an artifact of the chain holds its sound.

    A recording that the chain also reads in another way (from a batch of tracks) is needed, unless
    the start of the chain says itself which recordings it was made from.
    """
    roots = [
        link.artifact for link in chain.links
        if link.artifact is not None and not link.artifact.record.spec.inputs
    ]  # fmt: skip
    kept = {r.track_id for root in roots if keeps_sound(root) for r in root.record.recordings}
    if start.record.recordings:
        return kept
    return kept - {
        r.track_id for root in roots if not keeps_sound(root) for r in root.record.recordings
    }


def _used_ids(
    chain: Chain, start: Reference, used: Callable[[Artifact], set[str] | None]
) -> set[str]:
    """The ids of the tracks that an artifact was made from, directly or through its inputs.

    An artifact that reads a selection of tracks (a dataset) and whole batches uses only the
    selected tracks of these batches.
    """
    artifacts = {link.reference: link.artifact for link in chain.links}
    known: dict[Reference, set[str]] = {}

    def is_batch(reference: Reference) -> bool:
        """Whether an artifact is made from nothing but recordings, or from such artifacts."""
        artifact = artifacts.get(reference)
        if artifact is None:
            return False
        parents = [artifacts.get(parent) for parent in artifact.record.spec.inputs]
        return all(parent is not None and not parent.record.spec.inputs for parent in parents)

    def ids_of(reference: Reference) -> set[str]:
        if reference not in known:
            known[reference] = set()  # an artifact is no input of itself
            artifact = artifacts.get(reference)
            if artifact is not None:
                known[reference] = collect(artifact)
        return known[reference]

    def collect(artifact: Artifact) -> set[str]:
        selected = used(artifact)
        parents = artifact.record.spec.inputs
        if not parents:
            own = {recording.track_id for recording in artifact.record.recordings} - {None}
            return {str(track_id) for track_id in own if selected is None or track_id in selected}
        if selected is not None:
            return selected
        batches = [parent for parent in parents if is_batch(parent)]
        others = [parent for parent in parents if parent not in batches]
        selections = [parent for parent in others if (a := artifacts.get(parent)) and used(a)]
        ids = set[str]().union(*map(ids_of, others))
        return ids if selections else ids.union(*map(ids_of, batches))

    return ids_of(start)


def _walk(
    store: ArtifactStore,
    reference: Reference,
    digest: str,
    depth: int,
    visited: set[Reference],
    start: Artifact | None = None,
) -> Iterator[Link]:
    repeated = reference in visited
    visited.add(reference)
    try:
        artifact = start or store.get(reference)  # the start may be a copy outside of the store
    except StorageError as error:
        is_missing = isinstance(error, ArtifactMissing)
        what = "the artifact or its record is missing" if is_missing else error.what
        yield Link(reference, depth, None, [] if repeated else [f"{error.where}: {what}"])
        return
    problems = [] if repeated else store.verify(artifact)
    if not repeated and start is None and (problem := store.pointer_problem(reference)):
        problems.append(problem)
    if digest and artifact.record.digest != digest:
        # It was made again later, with other bytes than those that the artifact above recorded.
        problems.append(f"{artifact.location}: differs from the input of the artifact above")
    yield Link(reference, depth, artifact, problems, repeated)
    if not repeated:
        for parent in artifact.record.spec.inputs:
            recorded = artifact.record.input_digests.get(str(parent), "")
            yield from _walk(store, parent, recorded, depth + 1, visited)


def _sources(chain: Chain, start: Artifact, file: str | None) -> list[Recording]:
    own = start.record.recordings
    if own and file is not None:
        return [recording for recording in own if file in recording.files] or list(own)
    if own:
        return list(own)
    # A path may have held several recordings over time.
    recordings: dict[tuple[str, str], Recording] = {}
    for link in chain.links:
        if link.artifact is not None and not link.artifact.record.spec.inputs:
            for recording in link.artifact.record.recordings:
                recordings.setdefault((recording.path, recording.sha256 or ""), recording)
    return [recordings[key] for key in sorted(recordings)]


@dataclass(frozen=True)
class _Search:
    """Searches for recordings: the recorded bytes, then the recorded sound, wherever it has been.

    Attributes:
        home: whose library is searched.
        locate, identify, explain: as of `trace`.
    """

    home: Home
    locate: Callable[[str], list[str]]
    identify: Callable[[Path], str | None]
    explain: Callable[[Recording], str | None]

    def verify(self, recording: Recording) -> Source:
        """The recording, as it is now."""
        if recording.sha256 is None:
            return Source(recording)  # it could not be read during the ingest: nothing uses it
        if is_outside(recording.path):
            return self._outside(recording, recording.sha256)
        library = self.home.open_library()
        places = [recording.path]
        if recording.track_id is not None:
            places += [path for path in self.locate(recording.track_id) if path != recording.path]
        problem = "missing, and no scan has recorded a deletion"
        others = []
        for place in places:
            with suppress(OSError):
                if library.sha256(place) == recording.sha256:
                    return Source(recording, place)
                others.append(place)
        for place in others:
            with suppress(OSError), library.local(place) as path:
                if recording.track_id is not None and self.identify(path) == recording.track_id:
                    return Source(recording, place, retagged=True)
        if recording.path in others:
            problem = "its content has changed: the SHA-256 differs from the recorded one"
        if since := self.explain(recording):
            return Source(recording, since=since)
        return Source(recording, problem=f"{library.where(recording.path)}: {problem}")

    def _outside(self, recording: Recording, sha256: str) -> Source:
        """A recording outside of the library. Only this home knows where it was."""
        path = remembered_place(self.home, sha256)
        if path is None:
            return Source(recording, note="outside of the library, at a place that is not recorded")
        with suppress(OSError):
            if path.exists() and not path.is_file():  # a pipe would be read for ever
                return Source(recording, since="replaced")
            if file_sha256(path) == sha256:
                return Source(recording, str(path))
            if recording.track_id is not None and self.identify(path) == recording.track_id:
                return Source(recording, str(path), retagged=True)
            return Source(recording, since="replaced")
        return Source(recording, since="removed")


def _noted(source: Source) -> Source:
    """A source whose sound is kept in an artifact: nothing is lost if the file is not there."""
    if source.since is None and source.problem is None and source.note is None:
        return source
    states = {"removed": "no longer there", "replaced": "replaced since"}
    state = source.note or states.get(source.since or "", "not there as recorded")
    return Source(source.recording, note=f"{state}; its excerpt is kept")
