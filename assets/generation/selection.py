"""Which songs generated sounds are made from: the tracks and guides that a spec leads to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.generation.excerpts import Excerpt
from melgraph.assets.generation.sources import Source, read_excerpt
from melgraph.assets.library.tracks import FIRST_OF_ITS_TRACK, Tracks
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.records import Spec, parse_reference

HELD_OUT = ("test", "validation")
SOURCE_LABELS = "source_labels"  # key of the configuration: the labels that sources have
SONGS = "songs"  # key of the configuration of requested sounds: their sources and guides
_COLUMNS = ["track_id", "path", "title", "artist", "duration_s"]


@dataclass(frozen=True)
class Selection:
    """The sources and guides that a spec leads to, without their samples.

    Attributes:
        store: of the artifacts.
        spec: of the sounds.
    """

    store: ArtifactStore
    spec: Spec

    @cached_property
    def tracks(self) -> pl.DataFrame:
        """One row per source, in order.

        Raises:
            UserError: the recipe names a track that the library does not have, or no track of the
                dataset can be a source.
        """
        paths = self._setting("paths") or self._setting("path")
        if paths:
            named = [paths] if isinstance(paths, str) else paths
            return pl.concat([self._named(path, "path") for path in named], how="diagonal")
        held_out = self._held_out
        if labels := self._setting(SOURCE_LABELS):
            held_out = held_out.filter(pl.col("label").is_in(labels))
        if label := self._guide_label:
            held_out = held_out.filter(pl.col("label").is_null() | (pl.col("label") != label))
        first_of_each = held_out.unique("label", keep="first", maintain_order=True)
        rest = held_out.join(first_of_each, on="track_id", how="anti")
        tracks = pl.concat([first_of_each, rest]).head(self.spec.config["tracks"])
        if tracks.is_empty():
            raise UserError(
                "no track of the dataset is held out"
                + (f" and labelled {' or '.join(labels)}" if labels else "")
                + ", so there is no source",
                where=f"recipe {self.spec.partition}",
                remedy="name tracks with `paths`, or use a dataset with a test split",
            )
        return tracks

    def guide_of(self, number: int, track: Mapping[str, Any]) -> dict[str, Any] | None:
        """The guide of a source; None if the recipe names none.

        Args:
            number: of the source, from 0. Guides of a label are taken in turn.
            track: the source.

        Raises:
            UserError: the guide is not in the library, is the source itself, or no held-out track
                of another artist has the label, or another label.
        """
        if path := self._setting("guide"):
            guide = self._named(path, "guide").to_dicts()[0]
            if guide["track_id"] == track["track_id"]:
                raise UserError(
                    f"the guide {path!r} is the source itself",
                    where=f"recipe {self.spec.partition}: guide",
                    remedy="name another song as the guide",
                )
            return guide
        label = self._guide_label
        if label is None:
            by_default = self._setting("guide_of_another_label")
            return self._guide_of_another_label(number, track) if by_default else None
        of_label = self._held_out.filter(pl.col("label") == label)
        if (group := track.get("group")) is not None:
            of_label = of_label.filter(pl.col("group") != group)
        if of_label.is_empty():
            labels = self._held_out["label"].drop_nulls().unique().sort().to_list()
            raise UserError(
                f"no held-out track of another artist has the label {label!r}",
                where=f"recipe {self.spec.partition}: guide_label",
                remedy=f"use one of {', '.join(labels) or '(no label)'}; or name a guide by its "
                "path",
            )
        return of_label.row(number % of_label.height, named=True)

    @property
    def _guide_label(self) -> str | None:
        """The label whose tracks are guides; a recipe that names a guide has none."""
        return None if self._setting("guide") else self._setting("guide_label")

    def _guide_of_another_label(self, number: int, track: Mapping[str, Any]) -> dict[str, Any]:
        """A held-out track of the next label after that of a source, in alphabetical order."""
        label = track.get("label") or ""
        others = self._held_out.filter(
            pl.col("label").is_not_null(),
            pl.col("label") != label,
            pl.col("track_id") != track["track_id"],
        )
        if (group := track.get("group")) is not None:
            others = others.filter(pl.col("group").is_null() | (pl.col("group") != group))
        labels = others["label"].unique().sort().to_list()
        if not labels:
            raise UserError(
                "no held-out track of another artist has another label than the source "
                f"{track['path']!r}, so there is no guide",
                where=f"recipe {self.spec.partition}",
                remedy="name a guide by its path in the library with `guide`",
            )
        next_label = next((name for name in labels if name > label), labels[0])
        of_label = others.filter(pl.col("label") == next_label)
        return of_label.row(number % of_label.height, named=True)

    @cached_property
    def _snapshot(self) -> pl.DataFrame:
        return Snapshot.input_of(self.store, self.spec).table()

    @cached_property
    def _held_out(self) -> pl.DataFrame:
        return self._snapshot.filter(pl.col("split").is_in(HELD_OUT)).sort("track_id")

    def _named(self, path: str, key: str) -> pl.DataFrame:
        """The row of a track that the recipe names by its path."""
        row = self._snapshot.filter(pl.col("path") == path)
        if row.is_empty():  # not part of the dataset, but perhaps of the library
            batches = Tracks.inputs_of(self.store, self.spec)
            where = FIRST_OF_ITS_TRACK & (pl.col("path") == path)
            parts = [batch.part(_COLUMNS, where) for batch in batches]
            row = pl.concat([row.clear().select(pl.col("track_id")), *parts], how="diagonal")
        if row.is_empty():
            raise UserError(
                f"no track of the library has the path {path!r}",
                where=f"recipe {self.spec.partition}: {key}",
                remedy="use a path relative to the library, as in the column `path` of `tracks`",
            )
        return row.head(1)

    def _setting(self, key: str) -> Any:
        return self.spec.config.get(key)


def read_sources(store: ArtifactStore, spec: Spec) -> Iterator[tuple[Source, Source | None]]:
    """Each source of a spec with its guide, decoded one after the other.

    Those of requested sounds are read from the excerpts that were kept.

    Raises:
        ArtifactCorrupt: the audio file of a track is missing or has another sound.
        UserError: as `Selection`.
    """
    if SONGS in spec.config:
        yield from _requested_sources(store, spec)
        return
    selection, config = Selection(store, spec), spec.config
    tracks = selection.tracks.to_dicts()
    guides = [selection.guide_of(number, track) for number, track in enumerate(tracks)]
    for track, guide in zip(tracks, guides, strict=True):
        source = read_excerpt(store.home, track, config["start_s"], config["excerpt_s"])
        if guide is None:
            yield source, None
            continue
        start_s = config.get("guide_start_s", 0.0)
        yield source, read_excerpt(store.home, guide, start_s, config["excerpt_s"])


def _requested_sources(store: ArtifactStore, spec: Spec) -> Iterator[tuple[Source, Source | None]]:
    """The sources and guides of requested sounds, from the excerpts that were kept of them."""

    def read(song: Mapping[str, Any]) -> Source:
        excerpt = Excerpt.at(store, parse_reference(song["excerpt"]))
        return excerpt.source({key: song[key] for key in ("label", "group", "split")})

    for pair in spec.config[SONGS]:
        yield read(pair["source"]), read(pair["guide"]) if "guide" in pair else None


def count_sources(store: ArtifactStore, spec: Spec) -> int:
    """The number of pairs that `read_sources` gives."""
    if SONGS in spec.config:
        return len(spec.config[SONGS])
    return Selection(store, spec).tracks.height
