"""`melgraph audit ARTIFACT`: print where an artifact comes from, and verify every file of it."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from melgraph.pipelines.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from melgraph.assets.generation.marks.copies import Comparison
    from melgraph.storage.artifacts import Artifact, ArtifactStore
    from melgraph.storage.home import Home
    from melgraph.storage.lineage import Chain, Link, Source
    from melgraph.storage.records import Recording

SUMMARY = "Verify an artifact and everything that it was made from."
DESCRIPTION = """\
Print the chain from an artifact back to the source recordings: the artifact,
its inputs, their inputs. Verify the SHA-256 of every file on the way, the
pointers to current versions, and the catalogue of the library.

A recording that you removed or replaced since, as a scan has recorded, is named
and is no error; nor is one whose file metadata changed, but not its sound. The
exit status is 1 if anything else is missing or not as recorded."""
EXAMPLES = """\
examples:
  melgraph audit dreams/deep-dream
  melgraph audit datasets/genres --home ~/music-results
  melgraph audit dream.flac

A generated sound names its record in its file metadata, so a copy of it outside
the home can be audited too, also in the formats of `melgraph export`. If the
copy is signed, the signature is verified. The audit of a sound also names its
guide, its network, and the tracks that the network was trained on."""

NOT_AS_RECORDED = 1
NOT_CHECKED = (
    "not checked: the databases of Dagster and MLflow, the register of test reads, and the TOML "
    "files of the home"
)
SHOWN_SOURCES = 12


def add_arguments(parser: ArgumentParser) -> None:
    """The artifact, and how strict the audit is."""
    add_artifact_argument(parser)
    parser.add_argument(
        "--strict",
        action="store_true",
        help="exit with 1 also if a source recording was removed or replaced since",
    )


def add_artifact_argument(parser: ArgumentParser) -> None:
    """The artifact."""
    parser.add_argument(
        "artifact", help="a file or folder of the artifact, or ASSET/PARTITION[/VERSION]"
    )


def run(options: Namespace) -> int:
    """Print the chain of an artifact and verify it. Returns 1 if anything is wrong.

    Raises:
        StorageError: there is no such artifact, or no home.
    """
    from melgraph.ml.weights.licences import licence_sentence
    from melgraph.storage.artifacts import ArtifactStore
    from melgraph.storage.errors import ArtifactCorrupt
    from melgraph.storage.licences import recorded_licences

    home = home_of(options.artifact)
    store = ArtifactStore(home)
    try:
        artifact, file = find_named_artifact(store, options.artifact)
    except ArtifactCorrupt as error:
        print(f"NOT AS RECORDED\n  {error}")
        return NOT_AS_RECORDED
    print(f"{artifact.reference}" + (f"  file {file}" if file else ""))
    for entry in recorded_licences(artifact.record):
        print(f"licence of weights: {licence_sentence(entry)}")
    chain = trace_artifact(store, artifact, file, on_link=_print_link)
    _print_sources(chain, _source_name(artifact))
    if _is_sound(artifact) and not any(link.problems for link in chain.links):
        from melgraph.assets.generation.origins import origin_lines

        for line in origin_lines(store, artifact, file, most=SHOWN_SOURCES):
            print(printable(line))
    is_damaged = bool(chain.links[0].problems)
    copy = None if is_damaged else _compared_copy(artifact, file, Path(options.artifact), home)
    for line in copy.lines() if copy else ():
        print(printable(line))
    problems = chain.problems + _catalogue_problems(store, chain) + (copy.problems if copy else [])
    if problems:
        print(f"\nNOT AS RECORDED: {len(problems)} problem(s)")
        for problem in problems:
            print(f"  {printable(problem)}")
        return NOT_AS_RECORDED
    verified = {link.reference: link.artifact for link in chain.links if link.artifact}
    n_bytes = sum(n for a in verified.values() for _, n in a.record.files.values())
    print(
        f"\nverified: {len(verified)} artifacts ({n_bytes / 1e6:.1f} MB) and "
        f"{len(chain.sources) - len(chain.lost) - len(chain.in_excerpts)} recording(s) are as "
        "recorded"
    )
    if chain.in_excerpts:
        print(
            f"{len(chain.in_excerpts)} source recording(s) are not there as recorded; their "
            "excerpts are kept, so that the sounds can be made again"
        )
    if chain.lost:
        print(
            f"{len(chain.lost)} source recording(s) were removed or replaced since; the artifacts "
            "made from them are intact, but cannot all be made again"
        )
    print(NOT_CHECKED)
    return NOT_AS_RECORDED if options.strict and (chain.lost or chain.in_excerpts) else 0


def trace_artifact(
    store: ArtifactStore,
    artifact: Artifact,
    file: str | None = None,
    on_link: Callable[[Link], None] = lambda link: None,
) -> Chain:
    """The verified chain of an artifact. The catalogue says what has happened to its sources."""
    from melgraph.storage.catalogue import Catalogue
    from melgraph.storage.lineage import trace

    catalogue = Catalogue(store.home.catalogue)
    if not catalogue.path.is_file():  # an audit writes nothing
        return trace(
            store, artifact, file=file, identify=_track_id, used=_used_tracks,
            keeps_sound=_is_excerpt, on_link=on_link,
        )  # fmt: skip
    return trace(
        store,
        artifact,
        file=file,
        locate=catalogue.locations,
        identify=_track_id,
        explain=lambda r: catalogue.fate(r.path, r.track_id) if r.track_id else None,
        used=_used_tracks,
        keeps_sound=_is_excerpt,
        on_link=on_link,
    )


def _is_excerpt(artifact: Artifact) -> bool:
    from melgraph.assets.stages import EXCERPTS

    return EXCERPTS.owns(artifact.reference)


def _is_sound(artifact: Artifact) -> bool:
    """Whether an artifact holds the sounds of a generator."""
    from melgraph.assets.generation.marks.source_types import is_generated

    return is_generated(artifact)


def _compared_copy(
    artifact: Artifact, file: str | None, path: Path, home: Home
) -> Comparison | None:
    """The comparison of a copy of a generated sound with the sound; None for other artifacts."""
    from melgraph.storage.home import enclosing_home

    if file is None or not _is_sound(artifact) or not path.is_file() or enclosing_home(path):
        return None
    from melgraph.assets.generation.marks.copies import Comparison, SoundCopy

    return Comparison(SoundCopy(path, home), artifact, file)


def _track_id(path: Path) -> str | None:
    """The track that a local file holds. Imports FFmpeg, which few audits need."""
    from melgraph.assets.library.identity import identity_of
    from melgraph.storage.files import file_sha256

    return identity_of(path, file_sha256(path)).track_id


def _used_tracks(artifact: Artifact) -> set[str] | None:
    """The tracks that `tracks` and `datasets` pass on: those of good files, and those in a split.

    Only called if a recording is not as recorded, because it imports polars.
    """
    from melgraph.assets.dataset.snapshot import TABLE as SNAPSHOT_TABLE
    from melgraph.assets.library.tracks import GOOD, TABLE
    from melgraph.assets.stages import DATASETS, TRACKS
    from melgraph.storage.tables import read_part

    if TRACKS.owns(artifact.reference):
        table = read_part(artifact.folder / TABLE, ["track_id"], GOOD)
    elif DATASETS.owns(artifact.reference):
        import polars as pl

        in_a_split = pl.col("split").is_not_null()
        table = read_part(artifact.folder / SNAPSHOT_TABLE, ["track_id"], in_a_split)
    else:
        return None
    return set(table["track_id"])


def _catalogue_problems(store: ArtifactStore, chain: Chain) -> list[str]:
    """What is wrong with the catalogue, compared with the current `tracks` of the chain."""
    from melgraph.storage.catalogue import Catalogue

    recordings: dict[str, dict[str, str]] = {}
    for link in chain.links:
        if link.artifact is None or link.artifact.record.spec.inputs:
            continue
        asset, batch = link.reference.asset, link.reference.partition
        if store.current_reference(asset, batch) == link.reference:
            rows = link.artifact.record.recordings
            recordings[batch] = {r.path: r.track_id for r in rows if r.track_id}
    return Catalogue(store.home.catalogue).problems(recordings)


def _print_link(link: Link) -> None:
    indent = "  " * link.depth
    if link.repeated:
        print(f"{indent}{link.reference}  (see above)")
        return
    state = "ok" if not link.problems else "NOT AS RECORDED"
    detail = ""
    if link.artifact is not None:
        record = link.artifact.record
        time = record.finished_at[:19].replace("T", " ")
        detail = f"  {len(record.files)} file(s), digest {record.digest[:12]}, made {time} UTC"
    print(f"{indent}{link.reference}  {state}{detail}")


def _source_name(artifact: Artifact) -> str:
    """What the recordings of an artifact are: a composition has none that it was made from."""
    if not _is_sound(artifact):
        return "source recordings"
    from melgraph.assets.generation.sound_files import COMPOSITION

    rows = artifact.facts["sounds"]
    return (
        "recordings beside it" if any(COMPOSITION in row for row in rows) else "source recordings"
    )


def _print_sources(chain: Chain, name: str) -> None:
    """Print every recording that is not as recorded, and some of the others."""
    print(f"{name} ({len(chain.sources)}):")
    notable = [source for source in chain.sources if _is_notable(source)]
    others = [source for source in chain.sources if not _is_notable(source)]
    n_shown = max(SHOWN_SOURCES, len(notable))
    for source in [*notable, *others][:n_shown]:
        print(f"  {_describe(source.recording)}  {_state(source)}")
    if len(chain.sources) > n_shown:
        print(f"  ... and {len(chain.sources) - n_shown} more, all ok")


def _is_notable(source: Source) -> bool:
    return bool(source.since or source.problem or source.retagged or source.note)


def _state(source: Source) -> str:
    if source.problem:
        return "NOT AS RECORDED"
    if source.note:
        return source.note
    if source.since:
        return f"{source.since} since"
    state = "retagged since, sound as recorded" if source.retagged else "ok"
    return f"{state}, now at {printable(source.place)}" if source.has_moved else state


def _describe(recording: Recording) -> str:
    sha256 = recording.sha256 or "unknown (the file was not readable)"
    return f"{printable(recording.path)}  sha256 {sha256}"


def home_of(text: str) -> Home:
    """The home that an argument of `audit` or `reproduce` belongs to.

    A path names the home that it lies in. Else it is the home of the settings; else the only one
    below the working directory.

    Raises:
        StorageError: there is no home, or there are several and none is named.
    """
    from melgraph.storage.home import enclosing_home

    path = Path(text)
    if path.exists() and (home := enclosing_home(path)):
        return home
    return existing_home()


def existing_home() -> Home:
    """The home of the settings; else the only one below the working directory.

    Raises:
        StorageError: there is no home, or there are several and none is named.
    """
    from melgraph.assets.settings import BASE, current_home
    from melgraph.storage.errors import StorageError
    from melgraph.storage.home import open_home, read_marker

    home_of_settings = current_home()
    if read_marker(home_of_settings.root) is not None:
        return open_home(home_of_settings.root)
    if "MELGRAPH_HOME" not in os.environ and "MELGRAPH_LIBRARY" not in os.environ:
        roots = sorted(marker.parent for marker in (BASE / "home").glob("*/melgraph.json"))
        if len(roots) == 1:
            return open_home(roots[0])
        if roots:
            raise StorageError(
                f"there are {len(roots)} homes: {', '.join(root.name for root in roots)}",
                where=BASE / "home",
                remedy="name one of them: --home FOLDER, or MELGRAPH_HOME",
            )
    return open_home(home_of_settings.root)


def find_named_artifact(store: ArtifactStore, text: str) -> tuple[Artifact, str | None]:
    """The artifact that a user names, and the file of it, if a file is named.

    A sound that was copied out of its home is recognised by its file metadata.

    Raises:
        ArtifactMissing: there is no such artifact.
        ArtifactCorrupt: its record is damaged, or the copy of a sound is.
    """
    from melgraph.storage.artifacts import file_sha256
    from melgraph.storage.errors import ArtifactCorrupt
    from melgraph.storage.home import enclosing_home
    from melgraph.storage.named_artifacts import find_artifact

    path = Path(text)
    if not path.is_file() or enclosing_home(path):
        return find_artifact(store, text)
    from melgraph.assets.generation.marks.copies import SoundCopy

    copy = SoundCopy(path, store.home)
    if copy.reference is None:
        return find_artifact(store, text)
    artifact, _ = find_artifact(store, copy.reference)
    sha256 = file_sha256(path)
    for file, (recorded_sha256, _) in artifact.record.files.items():
        if recorded_sha256 == sha256:
            return artifact, file
    if _is_sound(artifact) and (sound := copy.file_in(artifact)) is not None:
        return artifact, sound
    raise ArtifactCorrupt(
        f"the file's metadata names {copy.reference}, but that artifact has no such sound",
        where=path,
        remedy="copy the file from the artifact's folder again, or export it again",
    )
