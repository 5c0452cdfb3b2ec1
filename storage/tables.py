"""Tables: Parquet through polars. Units are column suffixes (`duration_s`)."""

from pathlib import Path

import polars as pl

from storage.errors import ArtifactCorrupt


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
        raise ArtifactCorrupt(
            f"the table cannot be read ({error})",
            where=path,
            remedy="run `melgraph audit` on its folder, remove it, and materialize the asset again",
        ) from None
