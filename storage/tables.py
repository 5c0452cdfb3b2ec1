"""Tables: Parquet through polars. Units are column suffixes (`duration_s`)."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from melgraph.storage.errors import ArtifactCorrupt


def write_table(table: pl.DataFrame, path: Path) -> None:
    """Write a table into an artifact's folder in the making; the same rows give the same bytes."""
    table.write_parquet(path, compression="zstd", statistics=True)


def read_table(path: Path, *, columns: list[str] | None = None) -> pl.DataFrame:
    """Read a table, or some of its columns.

    Raises:
        ArtifactCorrupt: the file is missing or is not Parquet.
    """
    try:
        return pl.read_parquet(path, columns=columns, use_pyarrow=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unreadable(path, error) from None


def read_part(path: Path, columns: Sequence[str], where: pl.Expr | None = None) -> pl.DataFrame:
    """Some columns, and the rows that fit a condition, without the rest ever being in memory.

    Raises:
        ArtifactCorrupt: the file is missing or is not Parquet.
    """
    try:
        rows = pl.scan_parquet(path)
        rows = rows if where is None else rows.filter(where)
        return rows.select(columns).collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> ArtifactCorrupt:
    return ArtifactCorrupt(
        f"the table cannot be read ({error})",
        where=path,
        remedy="run `melgraph audit` on its folder, remove it, and materialize the asset again",
    )
