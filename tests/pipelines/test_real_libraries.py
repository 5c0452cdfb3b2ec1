"""The whole pipeline on real recordings: every file accounted for, and readable by others."""

from pathlib import Path

import polars as pl
import pytest
import soundfile
import xarray
import zarr

from melgraph.assets.library.ingest import STORE
from melgraph.assets.library.tracks import Tracks
from melgraph.assets.stages import MEL_SPECTROGRAMS
from melgraph.storage.tables import read_table
from tests.conftest import EXPERIMENT, RECIPE, MadeHome


@pytest.fixture
def run(real_data, tmp_path):
    """Run `melgraph run` on a real folder with quick settings; returns the home it made."""

    def run_on(folder: str, *options: str) -> MadeHome:
        for name, text in (("experiments/small-cnn", EXPERIMENT), ("recipes/deep-dream", RECIPE)):
            path = tmp_path / "home" / "specs" / f"{name}.toml"
            path.parent.mkdir(parents=True)
            path.write_text(text)
        home = MadeHome(tmp_path / "home", real_data / folder, tmp_path / "output")
        ran = home.melgraph("run", "--library", str(home.library), *options)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "Traceback" not in ran.stdout + ran.stderr
        return home

    return run_on


def rows_of(home: MadeHome) -> pl.DataFrame:
    return pl.concat([tracks.table() for tracks in Tracks.all_current(home.store)])


def audio_files(folder: Path) -> set[str]:
    from melgraph.ml.audio import AUDIO_SUFFIXES

    files = (path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    return {path.relative_to(folder).as_posix() for path in files}


def test_gtzan_from_files_to_sounds(run):
    home = run("library/gtzan")
    rows = rows_of(home)
    assert set(rows["path"]) == audio_files(home.library)
    assert set(rows["status"]) == {"ok"}

    mel = home.store.need(MEL_SPECTROGRAMS.name, "batch-000001").folder / STORE
    group = zarr.open_group(mel, mode="r")
    dataset = xarray.open_zarr(mel, consolidated=False)
    assert dataset["values"].shape == group["values"].shape
    assert group["offsets"].shape == (rows.height + 1,)

    # A crop and the clip it was cut from are never on two sides.
    table = read_table(home.store.need("datasets", "genres").folder / "tracks.parquet")
    recordings = table.with_columns(clip=pl.col("path").str.extract(r"/(\w+\.\d+)\.")).filter(
        pl.col("split").is_not_null()
    )
    sides = recordings.group_by("clip").agg(pl.col("split").n_unique())
    assert sides["split"].max() == 1
    assert recordings["clip"].is_duplicated().any()

    (sound, *_) = home.store.need("dreams", "deep-dream").folder.glob("*.dream.flac")
    samples, rate = soundfile.read(sound)
    assert len(samples) == pytest.approx(1.5 * rate, abs=2)
    audit = home.melgraph("audit", str(sound))
    assert audit.returncode == 0, audit.stdout


def test_files_that_break_naive_readers(run, real_data):
    home = run("edge_cases", "--label-level", "none")
    rows = rows_of(home)
    assert set(rows["path"]) == audio_files(home.library)
    bad = rows.filter(pl.col("status") == "quarantined")
    assert 0 < bad.height < rows.height
    assert bad.filter(pl.col("code").is_null() | pl.col("reason").is_null()).height == 0
    assert rows.filter(pl.col("status") == "ok", pl.col("duration_s").is_null()).height == 0
    assert home.store.need("recommendations", "mel-statistics").facts["tracks"] > 0
