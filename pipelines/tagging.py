"""`melgraph tag FILE...`: what a published tagger hears in audio files."""

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from melgraph.assets.progress import progress_bar
from melgraph.assets.settings import current_home, weights_folder
from melgraph.ml.errors import UserError

BAR = 20  # characters of a probability of 1


def tag_files(files: Sequence[str], tagger: str, *, top: int, csv: bool) -> int:
    """Print the tags of each file. Returns 1 where a file could not be tagged, else 0.

    Args:
        files: paths of audio files.
        tagger: name of a tagger spec.
        top: tags of each category that are shown.
        csv: every probability instead, as a table.

    Raises:
        UserError: no such tagger, or its weights are not to be had.
    """
    from melgraph.ml.inference.tagging import load_tagger
    from melgraph.ml.specs import choose, load_specs

    if top < 1:
        raise UserError(f"{top} tags of each category", where="--top", remedy="at least 1")
    home = current_home()
    taggers = load_specs(home.specs).taggers
    choose(taggers, [tagger], kind="tagger", where="--tagger")
    model, meta = load_tagger(taggers[tagger], weights_folder(home))
    report = _Table(meta["classes"]) if csv else _Lines(meta["classes"], top, taggers[tagger].title)
    refused = 0
    with progress_bar(len(files), "files", "tagging") as bar:
        for name in files:
            scores, problem = _scores(model, meta, Path(name))
            refused += scores is None
            with bar.external_write_mode(file=sys.stdout):
                report.add(name, scores, problem)
            bar.update()
    return 1 if refused else 0


def _scores(model: Any, meta: Mapping[str, Any], path: Path) -> tuple[Any, str | None]:
    """Probabilities of one file; or None, and why not."""
    from melgraph.assets.models.trained_models import device
    from melgraph.ml.audio import BadAudio
    from melgraph.ml.inference.model_input import input_of_file
    from melgraph.ml.inference.tagging import tag_waveforms

    try:
        samples = input_of_file(path, meta["input"])
        if not len(samples):
            return None, "too-short: no samples"
        return tag_waveforms(model, [samples], device=device())[0], None
    except BadAudio as error:
        return None, f"{error.code}: {error.reason}"
    except OSError as error:
        return None, f"unreadable: {error.strerror or error}"


class _Lines:
    """For people: a block per file, a line per category."""

    def __init__(self, tags: list[str], top: int, title: str) -> None:
        self._tags, self._top = tags, top
        print(title)

    def add(self, name: str, scores: Any, problem: str | None) -> None:
        from melgraph.ml.inference.tagging import strongest

        print(f"\n{name}")
        if scores is None:
            print(f"  not tagged: {problem}")
            return
        for category, found in strongest(scores, self._tags, most=self._top).items():
            print(f"  {category:12}" + "   ".join(f"{tag} {score:.2f}" for tag, score in found))


class _Table:
    """For programs: a row per file, a column per tag."""

    def __init__(self, tags: list[str]) -> None:
        self._writer, self._n = csv.writer(sys.stdout), len(tags)
        self._writer.writerow(["path", *tags, "problem"])

    def add(self, name: str, scores: Any, problem: str | None) -> None:
        values = [""] * self._n if scores is None else [f"{v:.6f}" for v in scores]
        self._writer.writerow([name, *values, problem or ""])
