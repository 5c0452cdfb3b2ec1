"""`melgraph validate DATASET`: do the collection's lists and the library fit together?"""

from melgraph.assets.library import ingest
from melgraph.assets.settings import current_home
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.catalogue import Catalogue
from melgraph.storage.home import Home, read_marker


def validate_dataset(name: str) -> int:
    """Print what there is and everything that is wrong. Returns 1 where there are errors.

    Works before the first run, too: then only the names of the files are known.

    Raises:
        UserError: there is no such dataset, or a list is not there.
    """
    from melgraph.assets.partitions import SPECS
    from melgraph.ml.collections import find_metadata
    from melgraph.ml.collections.validate import describe, validate
    from melgraph.ml.specs import choose

    choose(SPECS.datasets, [name], kind="dataset", where="melgraph validate")
    home = current_home()
    spec = SPECS.datasets[name]
    spec = spec.model_copy(update={"label_level": spec.label_level or home.label_level})
    lists = find_metadata(spec, home.root, where=f"dataset {name}")
    tracks, scanned = _tracks(home)
    tracks = [track for track in tracks if track.path.startswith(spec.collection)]
    print(f"{name}: {spec.title}\nlabels   {spec.labels}, split {spec.split}")
    for key, path in lists.items():
        print(f"list     {key}: {path}")
    found, findings = validate(tracks, lists, spec)
    print("\n".join(describe(tracks, found, spec)))
    if not scanned:
        print("note: the library has not been ingested: file names only, no tags, no faults")
    print("\n".join(str(finding) for finding in findings) or "nothing is wrong")
    errors = sum(finding.severity == "error" for finding in findings)
    if findings:
        print(f"{errors} error(s), {len(findings) - errors} warning(s)")
    return 1 if errors else 0


def _tracks(home: Home) -> tuple[list, bool]:
    """The files of the library, the faulty among them, and whether they were ingested."""
    from melgraph.assets.dataset.labels import candidates, tracks_of
    from melgraph.assets.library.live import library_state
    from melgraph.ml.audio import AUDIO_SUFFIXES
    from melgraph.ml.collections import Track

    if read_marker(home.root) is not None:
        store = ArtifactStore(home)
        batches = [store.need(ingest.TRACKS, name) for name in store.partitions(ingest.TRACKS)]
        if batches:
            good, others = candidates(batches, library_state(Catalogue(home.catalogue)))
            return [*tracks_of(good), *tracks_of(others)], True
    library = home.open_library()
    library.check()
    files = library.list(AUDIO_SUFFIXES)
    if not files:
        raise UserError(
            "the library holds no audio files",
            where=str(home.library),
            remedy="name a folder that does: --library FOLDER",
        )
    return [Track(file.path) for file in files], False
