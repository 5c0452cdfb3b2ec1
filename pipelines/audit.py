"""`melgraph audit` and `melgraph reproduce`: where a result came from; can it be made again?"""

import os
from pathlib import Path

from melgraph.assets.settings import BASE, current_home
from melgraph.storage.artifacts import Artifact, ArtifactStore, file_sha256
from melgraph.storage.catalogue import Catalogue
from melgraph.storage.errors import ArtifactCorrupt, StorageError
from melgraph.storage.home import Home, enclosing_home, open_home, read_marker
from melgraph.storage.lineage import Chain, Link, find_artifact, trace
from melgraph.storage.records import Recording

SHOWN_SOURCES = 12


def audit(text: str) -> int:
    """Print the chain of an artifact, verifying every byte. Returns 1 where anything is wrong."""
    home = _home_of(text)
    store = ArtifactStore(home)
    try:
        artifact, file = _find(store, text)
    except ArtifactCorrupt as error:
        print(f"NOT AS RECORDED\n  {error}")
        return 1
    print(f"{artifact.reference}" + (f"  file {file}" if file else ""))
    catalogue = Catalogue(home.catalogue)
    chain = trace(store, artifact, file=file, locate=catalogue.locations, on_link=_print_link)
    _print_sources(chain)
    if chain.problems:
        print(f"\nNOT AS RECORDED: {len(chain.problems)} problem(s)")
        for problem in chain.problems:
            print(f"  {problem}")
        return 1
    verified = {link.reference: link.artifact for link in chain.links if link.artifact}
    size = sum(n for a in verified.values() for _, n in a.record.files.values())
    print(
        f"\nverified: {len(verified)} artifacts ({size / 1e6:.1f} MB) and "
        f"{len(chain.sources)} source recording(s) are as recorded"
    )
    return 0


def _print_link(link: Link) -> None:
    indent = "  " * link.depth
    if link.repeated:
        print(f"{indent}{link.reference}  (see above)")
        return
    state = "ok" if not link.problems else "NOT AS RECORDED"
    detail = ""
    if link.artifact is not None:
        record = link.artifact.record
        made = record.finished_at[:19].replace("T", " ")
        detail = f"  {len(record.files)} file(s), digest {record.digest[:12]}, made {made} UTC"
    print(f"{indent}{link.reference}  {state}{detail}")


def _print_sources(chain: Chain) -> None:
    print(f"source recordings ({len(chain.sources)}):")
    wrong = [pair for pair in chain.sources if pair[1]]
    right = [pair for pair in chain.sources if not pair[1]]
    for recording, problems in [*wrong, *right][: max(SHOWN_SOURCES, len(wrong))]:
        moved = chain.moved.get(recording.path)
        state = "NOT AS RECORDED" if problems else f"ok, now at {moved}" if moved else "ok"
        print(f"  {_spell(recording)}  {state}")
    if len(chain.sources) > max(SHOWN_SOURCES, len(wrong)):
        print(f"  ... and {len(chain.sources) - max(SHOWN_SOURCES, len(wrong))} more, all ok")


def _spell(recording: Recording) -> str:
    return f"{recording.path}  sha256 {recording.sha256 or '(was not readable)'}"


def reproduce(text: str) -> int:
    """Make an artifact again, aside, and compare. Returns 1 where a byte differs."""
    import tempfile

    home = _home_of(text)
    store = ArtifactStore(home)
    artifact, _ = _find(store, text)
    from melgraph.pipelines.instance import prepare

    prepare(home)
    from melgraph.assets.kinds import remake

    print(f"making {artifact.reference} again, aside")
    with tempfile.TemporaryDirectory(prefix="melgraph-") as folder:
        different = remake(store, artifact, Path(folder))
    if different:
        print(f"{len(different)} of {len(artifact.record.files)} file(s) differ:")
        print("\n".join(f"  {name}" for name in different))
        print(f"recorded on: {artifact.record.environment}")
        return 1
    print(f"the same bytes: {len(artifact.record.files)} file(s)")
    return 0


def _home_of(text: str) -> Home:
    """The home a path lies in, else the one the settings name, else the only one there is."""
    path = Path(text)
    if path.exists() and (home := enclosing_home(path)):
        return home
    named = current_home()
    if read_marker(named.root) is not None:
        return open_home(named.root)
    if "MELGRAPH_HOME" not in os.environ and "MELGRAPH_LIBRARY" not in os.environ:
        homes = sorted(marker.parent for marker in (BASE / "home").glob("*/melgraph.json"))
        if len(homes) == 1:
            return open_home(homes[0])
        if homes:
            raise StorageError(
                f"there are {len(homes)} homes: {', '.join(home.name for home in homes)}",
                where=BASE / "home",
                remedy="say which: --home FOLDER, or MELGRAPH_HOME",
            )
    return open_home(named.root)


def _find(store: ArtifactStore, text: str) -> tuple[Artifact, str | None]:
    """The artifact a user means; a sound that was copied out of the home names it in its tags."""
    path = Path(text)
    named = _record_in_tags(path) if path.is_file() and not enclosing_home(path) else None
    if named is None:
        return find_artifact(store, text)
    artifact, _ = find_artifact(store, named)
    sha256 = file_sha256(path)
    for file, (recorded, _) in artifact.record.files.items():
        if recorded == sha256:
            return artifact, file
    raise ArtifactCorrupt(
        f"the file says it is of {named}, which holds no such bytes",
        where=path,
        remedy="copy it from the artifact's folder again",
    )


def _record_in_tags(path: Path) -> str | None:
    import mutagen

    try:
        tags = mutagen.File(path)
    except mutagen.MutagenError:
        return None
    named = (tags or {}).get("melgraph_record")
    return str(named[0]) if named else None
