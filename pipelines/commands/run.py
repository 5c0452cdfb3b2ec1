"""`melgraph run`: process a library, from its audio files to the pages."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from melgraph.pipelines.commands import add_library_argument
from melgraph.storage.errors import StorageError

if TYPE_CHECKING:
    from melgraph.storage.home import Home

SUMMARY = "Process a folder of audio; run it again to add new files."
DESCRIPTION = """\
Process a folder of audio: decode the files, compute spectrograms, build a
dataset, train and evaluate models, compute embeddings, recommendations and
generated sounds, and write pages about all of them.

The library is only read. A second run processes new files and repeats nothing
that is finished; it keeps datasets and models until you pass --refresh."""
EXAMPLES = """\
examples:
  melgraph run --library ~/Music
  melgraph run --library ~/Music --label-level 2 --experiment resnet18
  melgraph run --library s3://bucket/music --store s3://bucket/results"""

STEP_FAILED = 1
DEFAULT_BATCH_SIZE = 512
ON_DEMAND = (
    "stft_spectrograms",
    "mfcc",
    "waveforms",
    "waveforms_32k",
)  # a test compares it with the assets'


def add_arguments(parser: ArgumentParser) -> None:
    """Which library and where its results go; and which of them are wanted."""
    add_library_argument(parser)
    parser.add_argument(
        "--store",
        help="s3://BUCKET/PREFIX that receives the artifacts "
        "(default: MELGRAPH_STORE, else as in the last run, else the home)",
    )
    parser.add_argument(
        "--label-level",
        metavar="N",
        help="which folder's name is the genre of a file: 1 for the folder directly below the "
        "library, 2 for the one below that, ...; none if no folder is named after a genre "
        "(default: as in the last run, else 1)",
    )
    add_run_arguments(parser)


def add_run_arguments(parser: ArgumentParser) -> None:
    """What to train and to compute: the arguments that `run` and `demo` share."""
    parser.add_argument(
        "--experiment",
        action="append",
        metavar="NAME",
        help="train this experiment or generative model instead of the default experiments "
        "(repeatable)",
    )
    parser.add_argument(
        "--study",
        action="append",
        metavar="NAME",
        help="run this study too (repeatable)",
    )
    parser.add_argument(
        "--representation",
        action="append",
        choices=ON_DEMAND,
        help="compute this representation too (repeatable)",
    )
    parser.add_argument(
        "--refresh",
        action="store_true",
        help="make datasets, models and reports again from the library as it is now",
    )
    parser.add_argument(
        "--accept-deletions",
        action="store_true",
        help="take all absent files for deleted, even if (nearly) all files of a folder are absent "
        "at once; without it, such a folder is taken for a disk that is not mounted",
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=DEFAULT_BATCH_SIZE,
        metavar="N",
        help=f"most files in a new track batch (default: {DEFAULT_BATCH_SIZE})",
    )


def run(options: Namespace) -> int:
    """Run all stages and print their summary. Returns 1 if a step failed.

    Raises:
        StorageError, UserError: the library, the home or an option cannot be used. Nothing has
            been written then.
    """
    from melgraph.assets.settings import current_home
    from melgraph.pipelines.intake import need_files
    from melgraph.storage.formats import check_formats

    home = current_home()
    need_files(home)
    check_formats(home)
    check_options(options)
    from melgraph.ml.memory import keep_freed_memory
    from melgraph.pipelines.runner import run_stages
    from melgraph.pipelines.summary import summarise

    print(f"library: {home.library}\nhome:    {home.root}", flush=True)
    if home.artifact_store is not None:
        print(f"store:   {home.artifact_store}", flush=True)
    keep_freed_memory()
    experiments = options.experiment
    if not experiments:
        experiments, note = default_experiments(home)
        if note:
            print(note, flush=True)
    report = run_stages(
        home,
        experiments=experiments,
        refresh=options.refresh,
        representations=options.representation or (),
        studies=options.study or [],
        batch_size=options.batch_size,
        accept_deletions=options.accept_deletions,
    )
    print(summarise(home, report))
    return STEP_FAILED if report.failed else 0


def check_options(options: Namespace) -> None:
    """Check the batch size and the names of experiments and studies.

    Raises:
        StorageError: the batch size is less than 1.
        UserError: no such experiment or study; or a TOML file of the home is wrong.
    """
    from melgraph.assets.settings import current_home
    from melgraph.ml.specs import choose, load_specs

    if options.batch_size < 1:
        raise StorageError(
            f"a track batch cannot hold {options.batch_size} files",
            where="--batch-size",
            remedy="give a number from 1 up",
        )
    specs = load_specs(current_home().specs)
    choose(specs.trainings, options.experiment or [], kind="experiment", where="--experiment")
    choose(specs.studies, options.study or [], kind="study", where="--study")


def default_experiments(home: Home) -> tuple[list[str], str | None]:
    """Names of the experiments that are trained if none is named, and a note for people.

    An experiment on the vectors of published taggers is one of them only if the weights of these
    taggers are on this machine: nothing is downloaded for it. The note says which are left out.
    """
    from melgraph.assets.settings import weights_folder
    from melgraph.ml.specs import load_specs

    specs, folder = load_specs(home.specs), weights_folder(home)
    by_default = {name: spec for name, spec in specs.experiments.items() if spec.by_default}
    missing = {
        name: [tagger for tagger in spec.input.taggers
               if not specs.taggers[tagger].is_at_hand(folder)]
        for name, spec in by_default.items()
    }  # fmt: skip
    chosen = [
        name
        for name, spec in by_default.items()
        if not missing[name] and (spec.fallback_for is None or missing.get(spec.fallback_for))
    ]
    left_out = [name for name, spec in by_default.items()
                if missing[name] and spec.fallback_for is None]  # fmt: skip
    if not left_out:
        return sorted(chosen), None
    taggers = sorted({tagger for name in left_out for tagger in missing[name]})
    return sorted(chosen), (
        f"note:    {', '.join(left_out)} is not trained by default, because the weights of "
        f"{', '.join(taggers)} are not in {folder}; to fetch and use them: melgraph run "
        f"--experiment {left_out[0]}"
    )
