"""The library as it is now: the tables of all track batches, with moved and missing files applied.

`tracks` says what a batch held when it was ingested, and stays as it is. What became of the files
since is in the catalogue. A spec holds an excerpt of it (`library_state`), so that what was made
can be made again from its record alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from melgraph.assets.library.ingest import TRACKS_SCHEMA, TRACKS_TABLE
from melgraph.storage.artifacts import Artifact
from melgraph.storage.catalogue import Catalogue
from melgraph.storage.tables import read_table

MISSING, MOVED = STATE = ("missing", "moved")


def library_state(catalogue: Catalogue) -> dict[str, Any]:
    """What the catalogue knows that the tables of the batches do not; as long as it is itself.

    Returns:
        `missing`: registered paths that hold nothing now, sorted; `moved`: path -> the batch, and
        the path in it, of the row whose bytes it holds.
    """
    return {MISSING: catalogue.missing_paths(), MOVED: catalogue.moved_paths()}


def state_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The excerpt that a spec's configuration holds; of one made before files could move, too."""
    return {MISSING: config.get(MISSING, []), MOVED: config.get(MOVED, {})}


def library_files(batches: Sequence[Artifact], state: Mapping[str, Any]) -> pl.DataFrame:
    """Every catalogued file as the library is now, each path once.

    A path that was registered again, because the file changed, has its newest row. A file that
    moved has its row under its new path.

    Args:
        batches: committed `tracks`, oldest first.
        state: `library_state`, of now or as a spec holds it.

    Returns:
        The columns of `tracks`, `batch` (the one whose stores hold the recording), and `gone`:
        there no more, and nowhere else. Ordered by batch and path.
    """
    missing, moved = state_of(state).values()
    schema = {**TRACKS_SCHEMA, "batch": pl.String}
    tables = [
        read_table(artifact.folder / TRACKS_TABLE).with_columns(
            batch=pl.lit(artifact.reference.partition)
        )
        for artifact in batches
    ]
    if not tables:
        return pl.DataFrame(schema={**schema, "gone": pl.Boolean})
    # A table that an earlier stage wrote may lack a column.
    rows = pl.concat([pl.DataFrame(schema=schema), *tables], how="diagonal")
    moves = pl.DataFrame(
        [(path, batch, origin) for path, (batch, origin) in moved.items()],
        schema={"to": pl.String, "batch": pl.String, "path": pl.String},
        orient="row",
    )
    is_missing = pl.col("path").is_in(list(missing))
    newest = rows.unique("path", keep="last", maintain_order=True)
    at_home = newest.join(moves.select(path="to"), on="path", how="anti")  # holds another's bytes
    at_home = at_home.filter(~is_missing).with_columns(gone=False)
    elsewhere = rows.join(moves, on=["batch", "path"], how="inner").with_columns(
        path=pl.col("to"), gone=False
    )
    gone = newest.filter(is_missing).join(moves, on=["batch", "path"], how="anti")
    found = (at_home, elsewhere, gone.with_columns(gone=True))
    columns = [*schema, "gone"]
    return pl.concat([table.select(columns) for table in found]).sort("batch", "path")


def live_tracks(
    batches: Sequence[Artifact], state: Mapping[str, Any] | None = None
) -> pl.DataFrame:
    """The good tracks of some batches as the library is now: each once.

    A file that is gone takes its track with it, unless another file holds the same bytes; a file
    that changed retires the track it held before; one that moved keeps it, under its new path.

    Args:
        batches: committed `tracks`, oldest first.
        state: what became of the files since: `library_state`, or the configuration of a spec that
            holds it; None for the batches as they were ingested.

    Returns:
        The columns of `tracks`, and `batch`, ordered by batch and path.
    """
    files = library_files(batches, state or {})
    good = files.filter(pl.col("status") == "ok", ~pl.col("gone")).drop("gone")
    return good.unique("track_id", keep="first", maintain_order=True)
