"""What a dataset's collection says about the library: labels, official split, artists.

The lists of a collection decide its datasets: their SHA-256 are in the spec's config, and so in the
version; their place is not, so that the same lists give the same version on every machine. A
snapshot holds the labels it was made with, row by row. To make it again, `melgraph reproduce` reads
the lists where the TOML says they are, and refuses others than those recorded.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from melgraph.assets.dataset.splits import Sides
from melgraph.assets.library.live import library_files, live_tracks
from melgraph.assets.partitions import SPECS
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import Artifact, file_sha256
from melgraph.storage.home import Home

LEARNED_AS = "learned_as"  # in the config of snapshots with several labels a track
MOST_FINDINGS = 10  # told in the facts; `melgraph validate` tells all
_NOBODY = {"", "unknown", "unknown artist", "various", "various artists", "va", "n/a", "none"}


def question(home: Home, name: str) -> dict[str, Any]:
    """The config of a dataset: its TOML resolved, and the digests of its collection's lists."""
    from melgraph.ml.specs.dataset import OPTIONS

    chosen = SPECS.datasets[name]
    others = {option for option in OPTIONS if option != chosen.labels}
    config = chosen.model_dump(exclude={"metadata", *others})
    config["label_level"] = config["label_level"] or home.label_level
    config["metadata"] = {key: file_sha256(path) for key, path in _lists(home, name).items()}
    if chosen.multi_label:  # snapshots without it say of themselves that nothing can learn them
        config[LEARNED_AS] = "tags"
    return config


def annotations(
    home: Home, name: str, config: Mapping[str, Any], table: pl.DataFrame, others: pl.DataFrame
) -> Any:
    """An `ml.collections` row for each row of `table`, and what is not as it should be.

    Args:
        home: relative metadata lies below it.
        name: of the dataset.
        config: of `question`, as recorded.
        table: the good tracks.
        others: quarantined files and further paths: they are in the library, and are not missed.

    Raises:
        UserError: a list is not there, not the recorded one, or cannot be understood.
    """
    from dataclasses import replace

    from melgraph.ml.collections import read

    files = _recorded_lists(home, name, config)
    tracks = [*tracks_of(table), *tracks_of(others)]
    found = read(tracks, files, _spec_of(config))
    return replace(found, rows=found.rows[: table.height])


def tracks_of(table: pl.DataFrame) -> list[Any]:
    """Rows of `tracks` as the adaptors take them."""
    from melgraph.ml.collections import Track

    names = ("path", "track_id", "artist", "album", "title", "genre", "code")
    return [
        Track(path, track_id or "", artist, album, title, genre, fault)
        for path, track_id, artist, album, title, genre, fault in table.select(names).iter_rows()
    ]


def candidates(
    batches: Sequence[Artifact], state: Mapping[str, Any]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The good tracks of some batches as the library is now, each once; and its other files: the
    quarantined, and further paths of the same recordings.
    """
    good = live_tracks(batches, state)
    there = library_files(batches, state).filter(~pl.col("gone"))
    return good, there.join(good, on="path", how="anti")


def with_labels(table: pl.DataFrame, rows: Sequence[Any]) -> pl.DataFrame:
    """The columns that come of the collection: `labels`, `official_split`, `artist_id`, ..."""
    text = {
        "official_split": [row.split if row else None for row in rows],
        "artist_id": [row.artist if row else None for row in rows],
        "album_id": [row.album if row else None for row in rows],
    }
    titles = pl.Series([row.title if row else None for row in rows], dtype=pl.String)
    labels = [list(row.labels) if row else [] for row in rows]
    return table.with_columns(
        pl.coalesce("title", titles).alias("title"),
        pl.Series("labels", labels, dtype=pl.List(pl.String)),
        *(pl.Series(name, values, dtype=pl.String) for name, values in text.items()),
    )


def artist_key(name: str | None) -> str | None:
    """One spelling of an artist; None for those that are nobody."""
    spelled = " ".join((name or "").casefold().split())
    return None if spelled in _NOBODY else spelled


def no_part(rows: Sequence[Any]) -> list[str | None]:
    """Why a track takes no part from the start: the collection says so, or says nothing."""
    return [
        "not in the lists of the collection"
        if row is None
        else row.reason or (None if row.labels else "no label")
        for row in rows
    ]


def collection_facts(config: Mapping[str, Any], found: Any, sides: Sides) -> dict[str, Any]:
    """What the collection's lists and the library have of each other."""
    facts: dict[str, Any] = {"labels": config["labels"]}
    facts["findings"] = [str(finding) for finding in found.findings[:MOST_FINDINGS]]
    if found.listed is not None:
        matched = sum(row is not None for row in found.rows)
        facts.update(rows=found.listed, rows_without_a_file=found.absent)
        facts.update(files_with_a_row=matched, files_without_a_row=len(found.rows) - matched)
    if config["split"] == "official":
        facts.update(listed=dict(found.split_sizes))
        facts.update(straddling_groups=sides.straddling, removed_for_that=sides.removed)
    return facts


def why_unusable(
    table: pl.DataFrame, splits: Sequence[str | None], config: Mapping[str, Any]
) -> str | None:
    """Why no experiment can learn from the labels of a table; None where one can."""
    if any(splits):
        return None
    if (table["labels"].list.len() > 0).any():
        return "every labelled track is left out"
    if config["labels"] == "tag":
        return "no track has a genre tag"
    if config["labels"] not in ("none", "folder"):
        return f"no track has a label of {config['labels']}"
    if config["labels"] == "none" or config["label_level"] is None:
        return "the library has no labels (label level: none)"
    return f"no track lies {config['label_level']} folder level(s) below the library"


def _spec_of(config: Mapping[str, Any]) -> Any:
    from melgraph.ml.specs.dataset import DatasetSpec

    known = {key: config[key] for key in DatasetSpec.model_fields if key in config}
    return DatasetSpec.model_validate({**known, "metadata": None})


def _lists(home: Home, name: str) -> dict[str, Path]:
    from melgraph.ml.collections import find_metadata

    return find_metadata(SPECS.datasets[name], home.root, where=f"dataset {name}")


def _recorded_lists(home: Home, name: str, config: Mapping[str, Any]) -> dict[str, Path]:
    """The lists, if they are still those the config was made of."""
    if not config["metadata"]:
        return {}
    if name not in SPECS.datasets:
        raise UserError(
            f"the dataset {name!r} has no TOML any more, so its lists cannot be found",
            where=str(home.specs / "datasets"),
            remedy=f"put {name}.toml back",
        )
    files = _lists(home, name)
    now = {key: file_sha256(path) for key, path in files.items()}
    changed = sorted(key for key in now.keys() | config["metadata"] if
                     now.get(key) != config["metadata"].get(key))  # fmt: skip
    if changed:
        key = changed[0]
        raise UserError(
            f"the labels of this snapshot were made from a {key} of SHA-256 "
            f"{config['metadata'].get(key)}, the one there now has {now.get(key)}",
            where=str(files.get(key, home.root)),
            remedy="put the recorded file back to make this snapshot again; or make a new one",
        )
    return files
