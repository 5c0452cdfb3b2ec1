"""The library as the pages show it: all track batches as one list, every path once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from melgraph.assets.dataset.datasets import DATASETS, TABLE
from melgraph.assets.library.ingest import TRACKS
from melgraph.assets.library.live import library_files
from melgraph.assets.materialize import inputs_of
from melgraph.assets.pages.links import quote_path
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.records import Spec
from melgraph.storage.tables import read_table


@dataclass
class Library:
    """Every file that was catalogued, and how to name and play a track.

    Attributes:
        rows: one per path, by path: the row of `tracks`, with `status` widened to `ok`,
            `duplicate`, `quarantined` or `gone`, and `name`, `label`, `splits`.
        splits: names of the datasets, in the order of each row's `splits`.
        by_id: track id -> the first row that can be played.
    """

    rows: list[dict[str, Any]]
    splits: list[str]
    by_id: dict[str, dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.by_id = {row["track_id"]: row for row in self.rows if row["status"] == "ok"}

    @property
    def tracks(self) -> list[dict[str, Any]]:
        """Good recordings, each once."""
        return list(self.by_id.values())

    @property
    def hours(self) -> float:
        """Length of all good recordings."""
        return sum(row["duration_s"] or 0.0 for row in self.tracks) / 3600

    def with_status(self, *statuses: str) -> list[dict[str, Any]]:
        """Rows of these statuses."""
        return [row for row in self.rows if row["status"] in statuses]

    def title(self, track_id: str, path: str | None) -> str:
        """What to call a track: its title, else its file's name."""
        row = self.by_id.get(track_id)
        return row["name"] if row else PurePosixPath(path or track_id).stem

    def artist(self, track_id: str) -> str:
        """Its artist, or nothing."""
        row = self.by_id.get(track_id)
        return (row["artist"] or "") if row else ""

    def source(self, track_id: str) -> str | None:
        """Where to play a track from, quoted, below the library; None where it is gone."""
        row = self.by_id.get(track_id)
        return quote_path(row["path"]) if row else None


class Names:
    """Numbers tracks as they are first met: each is embedded once."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.tracks: list[list[str | None]] = []
        self._number: dict[str, int] = {}

    def add(self, track_id: str, path: str | None) -> int:
        """The number of a track, whose row joins `tracks` when it is new."""
        if track_id not in self._number:
            self._number[track_id] = len(self.tracks)
            row = self.library.by_id.get(track_id)
            self.tracks.append(
                [
                    track_id,
                    self.library.title(track_id, path),
                    self.library.artist(track_id),
                    row["path"] if row else path,
                    (row["label"] if row else None) or "",
                    self.library.source(track_id),
                ]
            )
        return self._number[track_id]


def read_library(store: ArtifactStore, spec: Spec) -> Library:
    """The library, from the `tracks` and `datasets` that a spec of pages names."""
    files = library_files(inputs_of(store, spec, TRACKS), spec.config)
    rows = list(files.iter_rows(named=True))
    _settle_status(rows)
    rows.sort(key=lambda row: row["path"])
    snapshots = {
        snapshot.reference.partition: read_table(snapshot.folder / TABLE)
        for snapshot in inputs_of(store, spec, DATASETS)
    }
    known = {
        name: {row["track_id"]: row for row in table.iter_rows(named=True)}
        for name, table in snapshots.items()
    }
    for row in rows:
        found = [tracks.get(row["track_id"]) for tracks in known.values()]
        row["name"] = row["title"] or PurePosixPath(row["path"]).stem
        row["label"] = _first(item["label"] for item in found if item)
        row["splits"] = [_split_of(item) for item in found]
    return Library(rows, list(known))


def _settle_status(rows: Iterable[dict[str, Any]]) -> None:
    """Tell files that are gone, and duplicates of one that came earlier, from good ones."""
    first: dict[str, str] = {}
    for row in rows:
        if row["gone"]:
            row.update(status="gone", reason="no longer in the library")
        elif row["status"] == "ok":
            same = first.setdefault(row["track_id"], row["path"])
            if same != row["path"]:
                row.update(status="duplicate", reason=f"the same bytes as {same}")


def _split_of(item: Mapping[str, Any] | None) -> str:
    if item is None:
        return ""
    return item["split"] or f"left out: {item['left_out']}"


def _first(values: Iterable[str | None]) -> str | None:
    return next((value for value in values if value is not None), None)
