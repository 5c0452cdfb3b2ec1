"""`melgraph validate DATASET`: check a dataset's lists against the files of the library."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from melgraph.pipelines.commands import add_library_argument
from melgraph.pipelines.terminal import printable

if TYPE_CHECKING:
    from melgraph.ml.collections import Track
    from melgraph.storage.home import Home

LIST_ITEM = "\n  - "  # as a finding separates the faults of one table
SUMMARY = "Check a dataset's lists against the files of the library."
DESCRIPTION = """\
Check whether the lists of a dataset (its labels and official splits) and the
files of the library fit together. Print how many files, classes and splits
there are, then every error and warning. Nothing is written.

It works before the first `melgraph run`, too. Then only the names of the files
are checked. The exit status is 1 if there are errors."""
EXAMPLES = """\
examples:
  melgraph validate genres --library ~/Music
  melgraph validate my-dataset --home ~/music-results"""

HAS_ERRORS = 1


def add_arguments(parser: ArgumentParser) -> None:
    """The dataset and the library."""
    parser.add_argument("dataset", help="name of a dataset: its TOML file without the suffix")
    add_library_argument(parser)


def run(options: Namespace) -> int:
    """Print what the dataset would hold, and every problem. Returns 1 if there are errors.

    Raises:
        UserError: there is no such dataset, or one of its lists is missing.
        StorageError: the library or the home cannot be read.
    """
    from melgraph.assets.settings import current_home
    from melgraph.ml.collections import find_metadata
    from melgraph.ml.collections.validate import describe, validate
    from melgraph.ml.specs import choose, load_specs

    name = options.dataset
    home = current_home()
    datasets = load_specs(home.specs).datasets
    choose(datasets, [name], kind="dataset", where="melgraph validate")
    spec = datasets[name]
    spec = spec.model_copy(update={"label_level": spec.label_level or home.label_level})
    lists = find_metadata(spec, home.root, where=f"dataset {name}")
    tracks, are_ingested = _tracks(home)
    tracks = [track for track in tracks if track.path.startswith(spec.collection)]
    print(f"{name}: {spec.title}\nlabels   {spec.labels}, split {spec.split}")
    for key, path in lists.items():
        print(f"list     {key}: {path}")
    annotations, findings = validate(tracks, lists, spec)
    print("\n".join(describe(tracks, annotations, spec)))
    if not are_ingested:
        print(
            "note: the library has not been ingested yet, so only file names were checked; "
            "run `melgraph run` to check file metadata and damaged files too"
        )
    print("\n".join(map(_printable_list, findings)) or "no problems")
    n_errors = sum(finding.severity == "error" for finding in findings)
    if findings:
        print(f"{n_errors} error(s), {len(findings) - n_errors} warning(s)")
    return HAS_ERRORS if n_errors else 0


def _tracks(home: Home) -> tuple[list[Track], bool]:
    """The files of the library, with the damaged ones; and whether they were ingested."""
    from melgraph.assets.dataset.labels import candidates, tracks_of
    from melgraph.assets.library.live import library_state
    from melgraph.assets.library.tracks import Tracks
    from melgraph.ml.collections import Track
    from melgraph.pipelines.intake import need_files
    from melgraph.storage.artifacts import ArtifactStore
    from melgraph.storage.catalogue import Catalogue
    from melgraph.storage.home import read_marker

    if read_marker(home.root) is not None:
        store = ArtifactStore(home)
        batches = Tracks.all_current(store)
        if batches:
            good, others = candidates(batches, library_state(Catalogue(home.catalogue)))
            return [*tracks_of(good), *tracks_of(others)], True
    return [Track(file.path) for file in need_files(home)], False


def _printable_list(finding: object) -> str:
    return LIST_ITEM.join(printable(part) for part in str(finding).split(LIST_ITEM))
