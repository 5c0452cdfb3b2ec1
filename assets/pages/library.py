"""The library as the pages show it: one list of all files, with every path once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.library.live import library_files
from melgraph.assets.library.tracks import Tracks
from melgraph.assets.pages.links import quote_path
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.records import Spec


@dataclass
class Library:
    """Every file of the catalogue, and how to name and play a track.

    Attributes:
        rows: one for each path, sorted by path: the row of `tracks`, with `status` widened to `ok`,
            `duplicate`, `quarantined` or `gone`, and `name`, `label`, `splits`.
        splits: names of the datasets, in the order of each row's `splits`.
        by_id: track id -> its first row with the status `ok`.
    """

    rows: list[dict[str, Any]]
    splits: list[str]
    by_id: dict[str, dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.by_id = {row["track_id"]: row for row in self.rows if row["status"] == "ok"}

    @property
    def tracks(self) -> list[dict[str, Any]]:
        """The rows of usable tracks, each track once."""
        return list(self.by_id.values())

    @property
    def hours(self) -> float:
        """Total length of all usable tracks, in hours."""
        return sum(row["duration_s"] or 0.0 for row in self.tracks) / 3600

    def with_status(self, *statuses: str) -> list[dict[str, Any]]:
        """The rows with one of these statuses."""
        return [row for row in self.rows if row["status"] in statuses]

    def title(self, track_id: str, path: str | None) -> str:
        """The name of a track to show: its title, or its file name without suffix."""
        row = self.by_id.get(track_id)
        return row["name"] if row else PurePosixPath(path or track_id).stem

    def artist(self, track_id: str) -> str:
        """Its artist; empty if unknown."""
        row = self.by_id.get(track_id)
        return (row["artist"] or "") if row else ""

    def source(self, track_id: str) -> str | None:
        """The quoted path of a track below the library; None if it is no longer there."""
        row = self.by_id.get(track_id)
        return quote_path(row["path"]) if row else None


class Names:
    """Numbers tracks in the order of their first use, so that a page lists each track once."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.tracks: list[list[str | None]] = []
        self._number: dict[str, int] = {}

    def add(self, track_id: str, path: str | None) -> int:
        """The number of a track. A new track gets a row in `tracks`."""
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
    """The library, read from the inputs `tracks` and `datasets` of a spec of `pages`."""
    files = library_files(Tracks.inputs_of(store, spec), spec.config)
    rows = list(files.iter_rows(named=True))
    _settle_status(rows)
    rows.sort(key=lambda row: row["path"])
    datasets = {
        snapshot.name: {row["track_id"]: row for row in snapshot.table().iter_rows(named=True)}
        for snapshot in Snapshot.inputs_of(store, spec)
    }
    for row in rows:
        of_track = [tracks.get(row["track_id"]) for tracks in datasets.values()]
        row["name"] = row["title"] or PurePosixPath(row["path"]).stem
        row["label"] = _first(item["label"] for item in of_track if item)
        row["splits"] = [_split_of(item) for item in of_track]
    return Library(rows, list(datasets))


def _settle_status(rows: Iterable[dict[str, Any]]) -> None:
    """Set the status of missing files to `gone`, and that of later duplicates to `duplicate`."""
    first_paths: dict[str, str] = {}
    for row in rows:
        if row["gone"]:
            row.update(status="gone", reason="no longer in the library")
        elif row["status"] == "ok":
            original = first_paths.setdefault(row["track_id"], row["path"])
            if original != row["path"]:
                row.update(status="duplicate", reason=f"the same sound as {original}")


def _split_of(item: Mapping[str, Any] | None) -> str:
    if item is None:
        return ""
    return item["split"] or f"left out: {item['left_out']}"


def _first(values: Iterable[str | None]) -> str | None:
    return next((value for value in values if value is not None), None)
