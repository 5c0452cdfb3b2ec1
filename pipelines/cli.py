"""The `melgraph` command. Imports are lazy: `audit` answers in a fraction of a second."""

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from melgraph.storage.errors import StorageError

USER_MISTAKE, NOT_AS_RECORDED, STEP_FAILED = 2, 1, 1
DISK_TROUBLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point. Returns the exit status: 0 good, 1 something is wrong, 2 a user's mistake."""
    options = _parser().parse_args(arguments)
    try:
        status = options.command(options)
        sys.stdout.flush()
        return status
    except StorageError as error:
        return _refuse(error)
    except BrokenPipeError:  # `melgraph audit ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return 0
    except KeyboardInterrupt:
        print("\nstopped; what was committed stays, run it again to go on", file=sys.stderr)
        return 130
    except OSError as error:
        if error.errno not in DISK_TROUBLE:
            raise
        remedy = "check permissions and free space, or choose another place: --home FOLDER"
        where = error.filename or "the disk"
        return _refuse(StorageError(error.strerror or str(error), where=where, remedy=remedy))
    except Exception as error:
        from melgraph.ml.errors import UserError

        if isinstance(error, UserError):
            return _refuse(error)
        raise


def _refuse(error: Exception) -> int:
    print(f"melgraph: {error}", file=sys.stderr)
    return USER_MISTAKE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="melgraph",
        description="Everything that can be learned from a music library's spectrograms.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: object, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        sub.add_argument("--home", help="where everything made is kept (MELGRAPH_HOME)")
        return sub

    demo = add("demo", _demo, "Run everything on the embedded sample library (synthetic music).")
    run = add("run", _run, "Run everything on a folder of audio; again, only on what is new.")
    run.add_argument("--library", help="folder of audio, or s3://BUCKET/PREFIX (MELGRAPH_LIBRARY)")
    run.add_argument("--store", help="s3://BUCKET/PREFIX for the artifacts (MELGRAPH_STORE)")
    run.add_argument(
        "--label-level",
        metavar="N",
        help="folder level whose name is the genre: 1 (default), 2, ... or none",
    )
    for sub in (demo, run):
        sub.add_argument(
            "--experiment", action="append", metavar="NAME", help="train this one (repeatable)"
        )
        sub.add_argument(
            "--study", action="append", metavar="NAME", help="answer this one as well (repeatable)"
        )
        sub.add_argument(
            "--representation",
            action="append",
            choices=("stft_spectrograms", "mfcc", "waveforms"),
            help="make this one as well, which is made on demand (repeatable)",
        )
        sub.add_argument("--refresh", action="store_true", help="new dataset, models and reports")
        sub.add_argument("--batch-size", type=int, default=512, metavar="N")
    ui = add("ui", _ui, "Open Dagster, MLflow and the pages on loopback.")
    ui.add_argument("--library", help="folder of audio, or s3://BUCKET/PREFIX (MELGRAPH_LIBRARY)")
    ui.add_argument("--port", type=int, default=3000, help="of Dagster; pages and MLflow follow it")
    check = add("validate", _validate, "Do a dataset's lists and the library fit together?")
    check.add_argument("dataset", help="name of a dataset: its TOML's")
    check.add_argument("--library", help="the folder of audio (MELGRAPH_LIBRARY)")
    tag = add("tag", _tag, "Name the genres, instruments and moods of audio files.")
    tag.add_argument("files", nargs="+", metavar="FILE", help="audio files")
    tag.add_argument(
        "--tagger", default="musicnn-jamendo", metavar="NAME", help="musicnn-jamendo by default"
    )
    tag.add_argument("--top", type=int, default=5, metavar="N", help="tags of each category")
    tag.add_argument("--csv", action="store_true", help="every tag's probability, as CSV")
    for name, command, text in (
        ("audit", _audit, "Print and verify the chain from an artifact to the source recordings."),
        ("reproduce", _reproduce, "Make an artifact again from its record, and compare the bytes."),
    ):
        sub = add(name, command, text)
        sub.add_argument("artifact", help="a file or folder, or ASSET/PARTITION[/VERSION]")
    return parser


def _demo(options: argparse.Namespace) -> int:
    from melgraph.assets.settings import SAMPLE_LIBRARY

    if os.environ.get("MELGRAPH_LIBRARY"):
        print("melgraph demo uses the sample library; MELGRAPH_LIBRARY is passed over")
    options.library, options.label_level = str(SAMPLE_LIBRARY), None
    _load_settings(options)
    _experiments(options), _studies(options)  # refuse before the library is written
    from melgraph.assets.progress import progress_bar
    from melgraph.ml.sample_library import write_sample_library

    print(f"sample library (synthetic music, written by our own code): {SAMPLE_LIBRARY}")
    with progress_bar(1, "tracks", "writing music") as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        library = write_sample_library(SAMPLE_LIBRARY, progress=show)
    print(f"      {library.n_tracks} tracks, and {library.n_faulty} faulty files as libraries have")
    return _run(options)


def _run(options: argparse.Namespace) -> int:
    """Everything that can be refused is refused before the first byte is written."""
    _load_settings(options)
    from melgraph.assets.settings import current_home
    from melgraph.ml.audio import AUDIO_SUFFIXES
    from melgraph.storage.formats import check_formats

    home = current_home()
    library = home.open_library()
    library.check()
    if not library.list(AUDIO_SUFFIXES):
        raise StorageError(
            "the library holds no audio files",
            where=home.library,
            remedy="name one that does, with files such as "
            + " ".join(sorted(AUDIO_SUFFIXES)[:8]) + " ...: --library FOLDER",
        )  # fmt: skip
    check_formats(home)
    names, studies = _experiments(options), _studies(options)
    from melgraph.pipelines.runner import run_stages
    from melgraph.pipelines.summary import summarise

    print(f"library: {home.library}\nhome:    {home.root}", flush=True)
    if home.artifact_store is not None:
        print(f"store:   {home.artifact_store}", flush=True)
    report = run_stages(
        home,
        experiments=names,
        refresh=options.refresh,
        representations=options.representation or (),
        studies=studies,
        batch_size=options.batch_size,
    )
    print(summarise(home, report))
    return STEP_FAILED if report.failed else 0


def _experiments(options: argparse.Namespace) -> list[str]:
    """The experiments to train: those named, else the usual. Refuses options that make no sense."""
    from melgraph.assets.settings import current_home
    from melgraph.ml.specs import choose, load_specs

    if options.batch_size < 1:
        raise StorageError(
            f"a batch of {options.batch_size} files", where="--batch-size", remedy="at least 1"
        )
    experiments = load_specs(current_home().specs).experiments
    usual = sorted(name for name, spec in experiments.items() if spec.by_default)
    names = options.experiment or usual
    return choose(experiments, names, kind="experiment", where="--experiment")


def _studies(options: argparse.Namespace) -> list[str]:
    from melgraph.assets.settings import current_home
    from melgraph.ml.specs import choose, load_specs

    studies = load_specs(current_home().specs).studies
    return choose(studies, options.study or [], kind="study", where="--study")


def _ui(options: argparse.Namespace) -> int:
    _load_settings(options)
    from melgraph.pipelines.ui import serve

    return serve(options.port)


def _validate(options: argparse.Namespace) -> int:
    from melgraph.pipelines.validation import validate_dataset

    _load_settings(options)
    return validate_dataset(options.dataset)


def _tag(options: argparse.Namespace) -> int:
    from melgraph.pipelines.tagging import tag_files

    _load_settings(options)
    return tag_files(options.files, options.tagger, top=options.top, csv=options.csv)


def _audit(options: argparse.Namespace) -> int:
    from melgraph.pipelines.audit import audit

    _load_settings(options)
    return audit(options.artifact)


def _reproduce(options: argparse.Namespace) -> int:
    from melgraph.pipelines.audit import reproduce

    _load_settings(options)
    return reproduce(options.artifact)


def _load_settings(options: argparse.Namespace) -> None:
    """Options win over the environment; from here on the environment is all that is read."""
    for option, variable in (
        ("home", "MELGRAPH_HOME"),
        ("library", "MELGRAPH_LIBRARY"),
        ("store", "MELGRAPH_STORE"),
        ("label_level", "MELGRAPH_LABEL_LEVEL"),
    ):
        value = getattr(options, option, None)
        if value is not None:
            is_path = option in ("home", "library") and "://" not in value
            os.environ[variable] = str(Path(value).absolute()) if is_path else value


if __name__ == "__main__":
    sys.exit(main())
