"""`melgraph tag FILE...`: print the tags that a published tagger predicts for audio files."""

from __future__ import annotations

import csv
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from melgraph.pipelines.terminal import exact_output, printable

if TYPE_CHECKING:
    import numpy as np

SUMMARY = "Predict the genres, instruments and moods of audio files."
DESCRIPTION = """\
Predict the tags (genre, instrument, mood or theme) of audio files with a
published tagger, and print the most probable ones of each category. The files
need not be part of a library. A file that is shorter than what the tagger takes
is repeated until it fills that; the output says so. A file shorter than one
second, or than a tenth of what the tagger takes, is refused. The exit status is
1 if a file cannot be tagged."""
EXAMPLES = """\
examples:
  melgraph tag song.mp3
  melgraph tag ~/Music/*.flac --top 3
  melgraph tag ~/Music/*.flac --csv > tags.csv"""

DEFAULT_TAGGER = "musicnn-jamendo"
DEFAULT_TOP = 5
FILE_FAILED = 1


def add_arguments(parser: ArgumentParser) -> None:
    """The files, the tagger and the form of the answer."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="audio files")
    parser.add_argument(
        "--tagger",
        default=DEFAULT_TAGGER,
        metavar="NAME",
        help=f"which tagger predicts (default: {DEFAULT_TAGGER})",
    )
    parser.add_argument(
        "--top",
        type=int,
        default=DEFAULT_TOP,
        metavar="N",
        help=f"how many tags of each category to print (default: {DEFAULT_TOP})",
    )
    parser.add_argument(
        "--csv", action="store_true", help="print the probability of every tag as CSV instead"
    )


def run(options: Namespace) -> int:
    """Print the tags of each file. Returns 1 if a file could not be tagged, else 0.

    Raises:
        UserError: there is no such tagger, or its weights cannot be loaded.
    """
    from melgraph.assets.settings import current_home, weights_folder
    from melgraph.assets.ui import progress_bar
    from melgraph.ml.errors import UserError
    from melgraph.ml.inference.tagging import load_tagger, tagger_file
    from melgraph.ml.memory import keep_freed_memory
    from melgraph.ml.specs import choose, load_specs
    from melgraph.ml.weights.licences import licence_entry, licence_sentence
    from melgraph.storage.files import file_sha256

    if options.top < 1:
        raise UserError(
            f"cannot print {options.top} tags of each category",
            where="--top",
            remedy="give a number from 1 up",
        )
    home = current_home()
    taggers = load_specs(home.specs).taggers
    choose(taggers, [options.tagger], kind="tagger", where="--tagger")
    tagger = taggers[options.tagger]
    keep_freed_memory()
    model, meta = load_tagger(tagger, weights_folder(home))
    sha256 = file_sha256(tagger_file(tagger, weights_folder(home)))
    licence = licence_entry(
        options.tagger, sha256, tagger.licence.model_dump() if tagger.licence else None
    )
    printer: _Printer = (
        _CsvPrinter(meta["classes"])
        if options.csv
        else _TextPrinter(meta["classes"], options.top, tagger.title, licence_sentence(licence))
    )
    n_failed = 0
    with progress_bar(len(options.files), "files", "tagging") as bar:
        for name in options.files:
            answer = _predict(model, meta, Path(name))
            n_failed += answer.scores is None
            with bar.external_write_mode(file=sys.stdout):
                printer.add(name, answer)
            bar.update()
    return FILE_FAILED if n_failed else 0


@dataclass(frozen=True)
class _Answer:
    """The answer for one file.

    Attributes:
        scores: float `[tag]`, the probabilities; None if the file cannot be tagged.
        caution: that the file is short, if it is.
        problem: why the file cannot be tagged, if it cannot.
    """

    scores: np.ndarray | None = None
    caution: str | None = None
    problem: str | None = None


def _predict(model: Any, meta: Mapping[str, Any], path: Path) -> _Answer:
    from melgraph.assets.models.trained_model import device
    from melgraph.ml.audio import BadAudio
    from melgraph.ml.inference.short_clips import read_clip
    from melgraph.ml.inference.tagging import tag_waveforms

    try:
        clip = read_clip(path, meta["input"], model.shape.frames)
        return _Answer(tag_waveforms(model, [clip.array], device=device())[0], clip.caution)
    except BadAudio as error:
        return _Answer(problem=f"{error.code}: {error.reason}")
    except OSError as error:
        return _Answer(problem=f"unreadable: {error.strerror or error}")


class _Printer(Protocol):
    def add(self, name: str, answer: _Answer) -> None: ...


class _TextPrinter:
    """For people: a block per file, a line per category."""

    def __init__(self, tags: Sequence[str], top: int, title: str, licence: str) -> None:
        self._tags, self._top = tags, top
        print(f"{title}\n{licence}")

    def add(self, name: str, answer: _Answer) -> None:
        from melgraph.ml.inference.tagging import strongest

        print(f"\n{printable(name)}")
        if answer.scores is None:
            print(f"  not tagged: {printable(answer.problem or '')}")
            return
        if answer.caution:
            print(f"  caution: {answer.caution}")
        for category, tags in strongest(answer.scores, self._tags, most=self._top).items():
            print(f"  {category:12}" + "   ".join(f"{tag} {score:.2f}" for tag, score in tags))


class _CsvPrinter:
    """For programs: a row per file, a column per tag."""

    def __init__(self, tags: Sequence[str]) -> None:
        self._writer, self._n_tags = csv.writer(exact_output()), len(tags)
        self._writer.writerow(["path", *tags, "caution", "problem"])

    def add(self, name: str, answer: _Answer) -> None:
        scores = answer.scores
        values = [""] * self._n_tags if scores is None else [f"{v:.6f}" for v in scores]
        self._writer.writerow([name, *values, answer.caution or "", answer.problem or ""])
