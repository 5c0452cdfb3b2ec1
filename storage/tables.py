"""Tables: Parquet, through polars. The unit is a suffix of the column name (`duration_s`)."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from melgraph.storage.errors import ArtifactCorrupt


def write_table(table: pl.DataFrame, path: Path, *, rows_per_group: int | None = None) -> None:
    """Write a table. Equal rows give equal bytes.

    Args:
        table: the rows.
        path: the file.
        rows_per_group: how many rows are compressed together, and must be read together by
            `read_part`; None for as many as suit a table that is read whole.
    """
    table.write_parquet(path, compression="zstd", statistics=True, row_group_size=rows_per_group)


def read_table(path: Path, *, columns: list[str] | None = None) -> pl.DataFrame:
    """Read a table, or only some of its columns.

    Raises:
        ArtifactCorrupt: the file is missing or is not Parquet.
    """
    try:
        return pl.read_parquet(path, columns=columns, use_pyarrow=False, glob=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unreadable(path, error) from None


def read_part(
    path: Path, columns: Sequence[str | pl.Expr], where: pl.Expr | None = None
) -> pl.DataFrame:
    """Read some columns of the rows that match a condition. Other rows are not loaded into memory.

    Raises:
        ArtifactCorrupt: the file is missing or is not Parquet.
    """
    try:
        rows = pl.scan_parquet(path, glob=False)
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
