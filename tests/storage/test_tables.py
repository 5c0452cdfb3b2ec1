from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet
import pytest
from polars.testing import assert_frame_equal

from melgraph.storage.errors import ArtifactCorrupt
from melgraph.storage.tables import read_part, read_table, write_table

TABLE = pl.DataFrame(
    {
        "track_id": ["aa" * 16, "bb" * 16, None],
        "duration_s": [30.0, None, float("nan")],
        "channels": pl.Series([2, 1, 2], dtype=pl.Int8),
        "label": pl.Series(["blues", "röck", "blues"], dtype=pl.Categorical),
        "vector": pl.Series(np.eye(3, 4, dtype=np.float32), dtype=pl.Array(pl.Float32, 4)),
        "seen_at": [datetime(2024, 1, 1, tzinfo=UTC)] * 3,
    }
)


@pytest.mark.parametrize("table", [TABLE, TABLE.head(0)], ids=["rows", "no rows"])
def test_a_table_comes_back_with_its_types(tmp_path, table):
    write_table(table, tmp_path / "table.parquet")
    assert_frame_equal(read_table(tmp_path / "table.parquet"), table)


def test_the_same_rows_give_the_same_bytes(tmp_path):
    rng = np.random.default_rng(0)
    table = pl.DataFrame({"x": rng.normal(size=10_000), "n": rng.integers(0, 9, 10_000)})
    for name in "ab":
        write_table(table, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_part_of_a_table_in_groups(tmp_path):
    path = tmp_path / "table.parquet"
    vectors = pl.Series(np.arange(40_000, dtype=np.float32).reshape(10_000, 4))
    table = pl.DataFrame({"n": np.arange(10_000) // 50, "vector": vectors})
    write_table(table, path, rows_per_group=1000)
    assert pyarrow.parquet.ParquetFile(path).num_row_groups == 10
    assert_frame_equal(read_table(path), table)
    expected = table.filter(pl.col("n").is_in([3, 150]))
    assert_frame_equal(read_part(path, ["n", "vector"], pl.col("n").is_in([3, 150])), expected)


@pytest.mark.parametrize("name", ["a[1]", "a*", "a?b", "a{b,c}", "ä #%"])
def test_a_folder_may_have_any_name(tmp_path, name):
    path = tmp_path / name / "table.parquet"
    path.parent.mkdir()
    write_table(TABLE, path)
    assert_frame_equal(read_table(path), TABLE)
    assert read_part(path, ["channels"]).height == 3


def damaged(path: Path, how: str) -> None:
    data = path.read_bytes()
    match how:
        case "missing":
            path.unlink()
        case "a folder":
            path.unlink()
            path.mkdir()
        case "empty":
            path.write_bytes(b"")
        case "half":
            path.write_bytes(data[: len(data) // 2])
        case "no table":
            path.write_bytes(b"hello" * 100)
        case "no footer":
            path.write_bytes(data[:-20] + b"\xff" * 16 + data[-4:])


@pytest.mark.parametrize("how", ["missing", "a folder", "empty", "half", "no table", "no footer"])
def test_a_damaged_table_is_named(tmp_path, how):
    path = tmp_path / "table.parquet"
    write_table(TABLE, path)
    damaged(path, how)
    with pytest.raises(ArtifactCorrupt, match="the table cannot be read") as caught:
        read_table(path)
    assert caught.value.where == str(path)
    assert "melgraph audit" in caught.value.remedy
