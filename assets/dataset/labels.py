"""The annotations of a dataset's collection: labels, official split, artists and groups.

The SHA-256 of each list of the collection is in the configuration of the spec, and so determines
the version. The location of the lists is not, so that the same lists give the same version on every
machine. A snapshot contains its labels, row by row. To compute a snapshot again, `melgraph
reproduce` reads the lists at the location in the TOML file. It raises an error if they are not the
recorded ones.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from melgraph.assets.context import Context
from melgraph.assets.dataset.retagged import ParentSplits
from melgraph.assets.dataset.snapshot import LEARNED_AS
from melgraph.assets.dataset.splits import SplitAssignment
from melgraph.assets.library.live import library_files, live_tracks
from melgraph.assets.library.tracks import Tracks
from melgraph.ml.errors import UserError
from melgraph.ml.specs import load_specs
from melgraph.ml.specs.dataset import DatasetSpec
from melgraph.storage.artifacts import file_sha256
from melgraph.storage.home import Home

MOST_FINDINGS = 10  # stored in the facts; `melgraph validate` prints all


def dataset_config(context: Context, name: str) -> dict[str, Any]:
    """The configuration of a dataset: its specification, and the SHA-256 of each list."""
    from melgraph.ml.recordings.grouping import GROUPING_RULES
    from melgraph.ml.specs.dataset import OPTIONS

    home, dataset = context.home, context.specs.datasets[name]
    other_options = {option for option in OPTIONS if option != dataset.labels}
    config = dataset.dump_for_version(exclude={"metadata", *other_options})
    config["label_level"] = config["label_level"] or home.label_level
    config["metadata"] = {
        key: file_sha256(path) for key, path in _lists(home, dataset, name).items()
    }
    config["grouping_rules"] = GROUPING_RULES  # snapshots of other rules are no parents
    if dataset.multi_label:  # snapshots without this key were written before this was supported
        config[LEARNED_AS] = "tags"
    return config


def annotations(
    home: Home, name: str, config: Mapping[str, Any], table: pl.DataFrame, others: pl.DataFrame
) -> Any:
    """The `ml.collections.Annotations` of `table`: one row per track, and findings.

    Args:
        home: the home; a relative path of the lists is below it.
        name: the name of the dataset.
        config: the recorded `dataset_config`.
        table: the good tracks.
        others: the other files of the library: quarantined files, and further paths of the same
            bytes. Without them, the findings would report them as missing.

    Raises:
        UserError: a list is missing, is not the recorded one, or cannot be parsed.
    """
    from dataclasses import replace

    from melgraph.ml.collections import read

    files = _recorded_lists(home, name, config)
    tracks = [*tracks_of(table), *tracks_of(others)]
    annotated = read(tracks, files, _spec_of(config))
    return replace(annotated, rows=annotated.rows[: table.height])


def tracks_of(table: pl.DataFrame) -> list[Any]:
    """Rows of `tracks` in the form that the adaptors of collections take."""
    from melgraph.ml.collections import Track

    names = ("path", "track_id", "artist", "album", "title", "genres", "code")
    return [
        Track(path, track_id or "", artist, album, title, tuple(genres or ()), fault)
        for path, track_id, artist, album, title, genres, fault in table.select(names).iter_rows()
    ]


def candidates(
    batches: Sequence[Tracks], state: Mapping[str, Any]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The present files of the library, in two tables.

    Args:
        batches: committed `tracks`, oldest first.
        state: `library_state`, or the configuration of a spec that contains it.

    Returns:
        The good tracks, each once; and all other files, which are the quarantined ones and further
        paths of the same tracks.
    """
    good = live_tracks(batches, state)
    present = library_files(batches, state).filter(~pl.col("gone"))
    return good, present.join(good, on="path", how="anti")


def add_labels(table: pl.DataFrame, rows: Sequence[Any]) -> pl.DataFrame:
    """The table with the columns `labels`, `official_split`, `artist_id` and `album_id`.

    A title from the collection replaces a missing one.
    """
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


def exclusion_reasons(
    table: pl.DataFrame, rows: Sequence[Any], parent: ParentSplits
) -> list[str | None]:
    """Why a track is excluded before the split: it has no row, no label, or the row excludes it.

    A track that the parent snapshot left out, because it bridged two splits since it was retagged,
    stays left out: it may not come back on the other side.
    """
    return [
        "not in the lists of the collection"
        if row is None
        else row.reason or (parent.bridging.get(track_id) if row.labels else "no label")
        for track_id, row in zip(table["track_id"], rows, strict=True)
    ]


def collection_facts(
    config: Mapping[str, Any], annotated: Any, assignment: SplitAssignment
) -> dict[str, Any]:
    """How the lists of the collection and the files of the library match."""
    facts: dict[str, Any] = {"labels": config["labels"]}
    facts["several_labels"] = sum(bool(row and row.unused_labels) for row in annotated.rows)
    facts["findings"] = [str(finding) for finding in annotated.findings[:MOST_FINDINGS]]
    if annotated.n_rows is not None:
        matched = sum(row is not None for row in annotated.rows)
        facts.update(rows=annotated.n_rows, rows_without_a_file=annotated.n_rows_without_file)
        facts.update(files_with_a_row=matched, files_without_a_row=len(annotated.rows) - matched)
    if config["split"] == "official":
        facts.update(listed=dict(annotated.split_sizes))
        facts.update(straddling_groups=assignment.straddling, removed_for_that=assignment.removed)
    return facts


def why_unusable(
    table: pl.DataFrame, splits: Sequence[str | None], config: Mapping[str, Any]
) -> str | None:
    """Why no model can be trained on the tracks of a table; None if one can."""
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
    fields = {key: config[key] for key in DatasetSpec.model_fields if key in config}
    return DatasetSpec.model_validate({**fields, "metadata": None})


def _lists(home: Home, dataset: DatasetSpec, name: str) -> dict[str, Path]:
    from melgraph.ml.collections import find_metadata

    return find_metadata(dataset, home.root, where=f"dataset {name}")


def _recorded_lists(home: Home, name: str, config: Mapping[str, Any]) -> dict[str, Path]:
    """The paths of the lists, after a comparison with the recorded SHA-256."""
    if not config["metadata"]:
        return {}
    datasets = load_specs(home.specs).datasets  # the location is not recorded
    if name not in datasets:
        raise UserError(
            f"the dataset {name!r} has no TOML file, so its lists cannot be located",
            where=str(home.specs / "datasets"),
            remedy=f"restore {name}.toml",
        )
    files = _lists(home, datasets[name], name)
    now = {key: file_sha256(path) for key, path in files.items()}
    recorded = config["metadata"]
    names = sorted(now.keys() | recorded)
    changed = next((key for key in names if now.get(key) != recorded.get(key)), None)
    if changed is not None:
        raise UserError(
            f"the labels of this snapshot come from a {changed} with the SHA-256 "
            f"{recorded.get(changed)}, but the present file has {now.get(changed)}",
            where=str(files.get(changed, home.root)),
            remedy="restore the recorded file to compute this snapshot again, or make a new one",
        )
    return files
