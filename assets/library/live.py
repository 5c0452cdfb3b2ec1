"""The library as it is now: the tables of all track batches, with the later changes applied.

`tracks` describes a batch at the time it was ingested, and never changes. The catalogue knows which
files have moved, disappeared or been retagged since. A spec contains an excerpt of the catalogue
(`library_state`), so that an artifact can be computed again from its record alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from melgraph.assets.library.tracks import SCHEMA, Tracks
from melgraph.storage.catalogue import Catalogue

MISSING, MOVED, RETAGGED = STATE = ("missing", "moved", "retagged")


def library_state(catalogue: Catalogue) -> dict[str, Any]:
    """The changes of the library that are in the catalogue, but not in the tables of the batches.

    Returns:
        `missing`: the registered paths without a file, sorted. `moved`: present path -> the batch
        and the registered path of the row whose sound is now there. `retagged`: present path ->
        the present values of `bytes`, `sha256` and all file metadata.
    """
    return places(catalogue) | {RETAGGED: catalogue.retagged_files()}


def places(catalogue: Catalogue) -> dict[str, Any]:
    """`library_state` without the file metadata, for artifacts that read none."""
    return {MISSING: catalogue.missing_paths(), MOVED: catalogue.moved_paths()}


def state_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The excerpt in a spec's configuration. Old specs lack keys; the excerpt is then empty."""
    return {
        MISSING: config.get(MISSING, []),
        MOVED: config.get(MOVED, {}),
        RETAGGED: config.get(RETAGGED, {}),
    }


def library_files(batches: Sequence[Tracks], state: Mapping[str, Any]) -> pl.DataFrame:
    """Every file of the catalogue as the library is now. Each path occurs once.

    A path that was registered again because its file had changed has its newest row. A file that
    moved has its row under its new path. A file that was retagged has its new metadata.

    Args:
        batches: committed `tracks`, oldest first.
        state: `library_state` as it is now, or the configuration of a spec that contains it.

    Returns:
        The columns of `tracks`, `batch` (the batch whose artifacts contain the recording) and
        `gone` (whether the file is neither at its path nor anywhere else), sorted by batch and
        path.
    """
    excerpt = state_of(state)
    missing, moved = excerpt[MISSING], excerpt[MOVED]
    schema = {**SCHEMA, "batch": pl.String}
    tables = [tracks.table().with_columns(batch=pl.lit(tracks.name)) for tracks in batches]
    if not tables:
        return pl.DataFrame(schema={**schema, "gone": pl.Boolean})
    # A table of an earlier stage integer may lack a column.
    rows = pl.concat([pl.DataFrame(schema=schema), *tables], how="diagonal")
    moves = pl.DataFrame(
        [(path, batch, origin) for path, (batch, origin) in moved.items()],
        schema={"to": pl.String, "batch": pl.String, "path": pl.String},
        orient="row",
    )
    is_missing = pl.col("path").is_in(list(missing))
    newest = rows.unique("path", keep="last", maintain_order=True)
    in_place = newest.join(
        moves.select(path="to"), on="path", how="anti"
    )  # not taken by a moved file
    in_place = in_place.filter(~is_missing).with_columns(gone=False)
    relocated = rows.join(moves, on=["batch", "path"], how="inner").with_columns(
        path=pl.col("to"), gone=False
    )
    gone = newest.filter(is_missing).join(moves, on=["batch", "path"], how="anti")
    parts = (in_place, relocated, gone.with_columns(gone=True))
    columns = [*schema, "gone"]
    files = pl.concat([table.select(columns) for table in parts]).sort("batch", "path")
    return _with_new_metadata(files, excerpt[RETAGGED])


def _with_new_metadata(files: pl.DataFrame, retagged: Mapping[str, Any]) -> pl.DataFrame:
    """The files, with the present size, SHA-256 and metadata of those that were retagged."""
    names = sorted({name for values in retagged.values() for name in values} & set(SCHEMA))
    if not names:
        return files
    new = pl.DataFrame(
        [[path, *map(values.get, names)] for path, values in retagged.items()],
        schema={"path": pl.String, **{f"new_{name}": SCHEMA[name] for name in names}},
        orient="row",
    )
    joined = files.join(
        new.with_columns(is_new=pl.lit(True)), on="path", how="left", maintain_order="left"
    )
    is_new = pl.col("is_new") & ~pl.col("gone")
    return joined.select(
        pl.when(is_new).then(f"new_{name}").otherwise(name).alias(name) if name in names else name
        for name in files.columns
    )


def live_tracks(batches: Sequence[Tracks], state: Mapping[str, Any] | None = None) -> pl.DataFrame:
    """The good tracks of some batches as the library is now. Each track occurs once.

    If a file is gone or has changed, its earlier track is dropped, unless another file has the same
    sound. If a file has moved, its track stays and has the new path. If several files have the same
    sound, the track has the path and the metadata of the first one.

    Args:
        batches: committed `tracks`, oldest first.
        state: `library_state`, or the configuration of a spec that contains it; None for the
            batches as they were ingested.

    Returns:
        The columns of `tracks` and `batch`, sorted by batch and path.
    """
    files = library_files(batches, state or {})
    good = files.filter(pl.col("status") == "ok", ~pl.col("gone")).drop("gone")
    return good.unique("track_id", keep="first", maintain_order=True)
