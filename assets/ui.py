"""Progress bars, and metadata for the Dagster UI: tables, pictures and links."""

import base64
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from melgraph.assets.settings import mlflow_url, pages_url
from melgraph.storage.artifacts import ArtifactStore, Work

_TERMINAL: ContextVar[TextIO | None] = ContextVar("terminal", default=None)
_MARKDOWN = re.compile(r"[\\`*_\[\]<>|~$]")


def progress_bar(total: int, unit: str, description: str = "") -> Any:
    """A tqdm bar on stderr, which is erased at the end. Use it as a context manager.

    It is only shown on a terminal. The Dagster UI already shows that a step is running, and bars
    would clutter a log file.
    """
    return tqdm(
        total=total, unit=f" {unit}", desc=description, leave=False, disable=None, mininterval=0.5,
        file=_TERMINAL.get(),
    )  # fmt: skip


@contextmanager
def progress_on_terminal() -> Iterator[None]:
    """Within this context, bars are written to the terminal that stderr is now, if it is one.

    Dagster writes the stderr of a step into a log file. A bar there is never seen.
    """
    if not sys.stderr.isatty():
        yield
        return
    descriptor = os.dup(sys.stderr.fileno())
    with os.fdopen(descriptor, "w", encoding=sys.stderr.encoding, errors="replace") as terminal:
        token = _TERMINAL.set(terminal)
        try:
            yield
        finally:
            _TERMINAL.reset(token)


def _metadata_value() -> Any:
    """Dagster's class, imported at first use: readers that show nothing there start sooner."""
    from dagster import MetadataValue

    return MetadataValue


def picture(path: Path) -> Any:
    """A PNG file as Dagster metadata. The UI removes `<img>` but renders `data:` images."""
    return png(path.read_bytes(), path.stem)


def png(data: bytes, name: str) -> Any:
    """PNG data as Dagster metadata."""
    return _metadata_value().md(
        f"![{name}](data:image/png;base64,{base64.b64encode(data).decode()})"
    )


def markdown_table(rows: Sequence[Mapping[str, object]]) -> Any:
    """A table as Dagster metadata. The keys of the first row are the header."""
    if not rows:
        return _metadata_value().md("(none)")
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    lines += ["| " + " | ".join(_cell(row[name]) for name in names) + " |" for row in rows]
    return _metadata_value().md("\n".join(lines))


def rounded(value: Any) -> Any:
    """A float rounded to four decimals, for display. The artifact holds the exact value."""
    return round(value, 4) if isinstance(value, float) else value


def mlflow_link(run: Mapping[str, str | None]) -> Any:
    """A link to an MLflow run; None if the MLflow experiment of the run was not recorded."""
    experiment = run.get("mlflow_experiment")
    if experiment is None:
        return None
    return _metadata_value().url(f"{mlflow_url()}/#/experiments/{experiment}/runs/{run['mlflow']}")


def page_link(page: str) -> Any:
    """A link to one of the pages that `melgraph ui` serves."""
    return _metadata_value().url(f"{pages_url()}/pages/{page}")


def _cell(value: object) -> str:
    """A value as a table cell: a dash for None, and Markdown characters in names are escaped."""
    if value is None:
        return "-"
    return _MARKDOWN.sub(r"\\\g<0>", " ".join(str(rounded(value)).split()))


def licence_sentences(licences: Iterable[Mapping[str, str]]) -> list[str]:
    """The licences of weights that a record names, a sentence each, for people."""
    from melgraph.ml.weights.licences import licence_sentence

    return [licence_sentence(entry) for entry in licences]


def licence_text(store: ArtifactStore, work: Work) -> str:
    """The licences that the record of a work will name, in one line; empty if there are none."""
    return "; ".join(licence_sentences(store.licences_of(work)))
