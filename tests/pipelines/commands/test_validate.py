"""`melgraph validate`: before the first run, after it, and what it refuses."""

import json

import pytest

from melgraph.pipelines.cli import main

TOML = 'title = "Mine"\nlabels = "table"\nmetadata = "metadata/mine.csv"\n'


@pytest.fixture
def validate(tmp_path, capsys):
    """`validate(**spec)`: status and output, for a library of names that was never ingested."""
    for path in ("rock/a.mp3", "rock/b.mp3", "jazz/c.mp3", "jazz/d.mp3", "jazz/.hidden.mp3"):
        (tmp_path / "songs" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "songs" / path).touch()

    def run(name="mine", **keys):
        if keys:
            lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
            toml = tmp_path / "home" / "specs" / "datasets" / "mine.toml"
            toml.parent.mkdir(parents=True, exist_ok=True)
            toml.write_text("\n".join(['title = "Mine"', *lines]))
        options = ["--home", str(tmp_path / "home"), "--library", str(tmp_path / "songs")]
        status = main(["validate", name, *options])
        captured = capsys.readouterr()
        assert not (tmp_path / "home" / "melgraph.json").exists()  # nothing is written
        return status, captured.out + captured.err

    return run


def test_only_names_before_the_first_run(validate):
    status, output = validate(labels="folder", min_tracks_per_class=2)
    assert status == 0
    assert "files    4 in the library, 0 of them unusable; 4 used" in output
    assert "classes  2: jazz 2, rock 2" in output
    assert "not been ingested" in output
    assert output.endswith("no problems\n")


def test_errors_are_printed_and_the_status_is_1(validate, tmp_path):
    folder = tmp_path / "home" / "metadata"
    folder.mkdir(parents=True)
    (folder / "mine.csv").write_text("path,label\nrock/a.mp3,loud\nrock/gone.mp3,loud\n")
    status, output = validate(labels="table", metadata="metadata/mine.csv")
    assert status == 1
    assert "error: a classifier needs two classes or more; the files have: loud" in output
    assert "warning: 3 file(s) without a row: jazz/c.mp3, jazz/d.mp3, rock/b.mp3" in output
    assert "warning: 1 of 2 row(s) without a file: rock/gone.mp3" in output
    assert "1 error(s), 3 warning(s)" in output


def test_each_fault_of_a_table_has_its_line(validate, tmp_path):
    folder = tmp_path / "home" / "metadata"
    folder.mkdir(parents=True)
    (folder / "mine.csv").write_text("a,b\n1,2\n")
    status, output = validate(labels="table", metadata="metadata/mine.csv")
    assert status == 1
    assert output.count("\n  - needs exactly one of the columns") == 2
    assert "\\n" not in output


def test_an_unknown_dataset_and_missing_lists_are_a_users_mistake(validate, tmp_path):
    status, output = validate("nowhere")
    assert status == 2
    assert "unknown dataset 'nowhere'" in output
    status, output = validate(labels="fma", metadata="metadata")
    assert status == 2
    assert "tracks.csv" in output
    assert "fma_metadata.zip of the repository mdeff/fma" in output
    assert str(tmp_path / "home" / "metadata") in output


def test_a_home_with_its_own_toml_and_faulty_files(home_copy):
    """In a process of its own: the spec is read from the home, the lists relative to it."""
    home = home_copy()
    (home.root / "specs" / "datasets").mkdir(parents=True, exist_ok=True)
    (home.root / "specs" / "datasets" / "mine.toml").write_text(TOML)
    (home.root / "metadata").mkdir()
    rows = home.store.need("tracks", "batch-000001").folder / "tracks.parquet"
    import polars as pl

    table = pl.read_parquet(rows)
    lines = [f"{path},{path.split('/')[0]}" for path in table["path"]]
    (home.root / "metadata" / "mine.csv").write_text("path,label\n" + "\n".join(lines) + "\n")
    ran = home.melgraph("validate", "mine")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    faulty = table.filter(pl.col("status") == "quarantined")
    assert f"warning: {faulty.height} file(s) cannot be used" in ran.stdout
    assert "row(s) without a file" not in ran.stdout
    assert "not been ingested" not in ran.stdout
