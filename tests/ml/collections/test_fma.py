import pytest

from melgraph.ml.collections import find_metadata, read
from melgraph.ml.collections.fma import track_of
from melgraph.ml.collections.validate import validate
from melgraph.ml.errors import UserError
from melgraph.ml.specs.dataset import DatasetSpec
from tests.ml.collections.layouts import FMA_COLUMNS, fma_row, tracks, write_fma

ROWS = [
    fma_row(2, artist="1"),
    fma_row(5, split="validation", artist="2", top="Hip-Hop", genres="[21]"),
    fma_row(140, split="test", subset="medium", artist="3", genres="[12, 25]"),
    fma_row(155000, subset="large", artist="4", top="", genres="[21, 25]"),
]
FILES = ("000/000002.mp3", "000/000005.mp3", "000/000140.mp3", "155/155000.mp3")


@pytest.fixture
def fma(tmp_path):
    """`fma(rows, subset="large")` writes the metadata and reads it over files."""

    def write(rows=ROWS, files=FILES, **keys):
        write_fma(tmp_path / "data" / "fma_metadata", rows)
        spec = DatasetSpec.model_validate(
            {"title": "x", "labels": "fma", "metadata": "data", "split": "official", **keys}
        )
        return tracks(*files), find_metadata(spec, tmp_path, where="dataset x"), spec

    return write


def test_there_are_52_columns_as_in_the_real_file():
    assert len(FMA_COLUMNS) == len(set(FMA_COLUMNS)) == 52


@pytest.mark.parametrize(
    ("path", "track"),
    [
        ("fma_small/000/000002.mp3", "2"),
        ("155/155320.flac", "155320"),
        ("000/000002.crop.mp3", None),
        ("001/000002.mp3", None),  # the folder is the first three digits
        ("000002.mp3", None),
        ("000/02.mp3", None),
    ],
)
def test_names_of_tracks(path, track):
    assert track_of(path) == track


@pytest.mark.parametrize(
    ("subset", "used"), [("small", 2), ("medium", 3), ("large", 3), ("full", 3)]
)
def test_subsets_are_nested(fma, subset, used):
    annotations = read(*fma(fma={"subset": subset}))
    assert sum(row.reason is None for row in annotations.rows) == used
    assert annotations.n_rows == used
    last = (
        "no single top genre" if subset in ("large", "full") else f"not in the subset fma_{subset}"
    )
    assert annotations.rows[-1].reason == last


def test_a_row_has_label_split_artist_album_title(fma):
    row = read(*fma()).rows[1]
    assert (row.labels, row.split) == (("Hip-Hop",), "validation")
    assert (row.artist, row.album, row.title) == ("fma artist 2", "92", "Song, no. 5")


def test_several_genres_by_title(fma):
    annotations = read(*fma(multi_label=True, fma={"subset": "full"}))
    assert [row.labels for row in annotations.rows] == [
        ("Rock",),
        ("Hip-Hop",),
        ("Rock", "Punk"),
        ("Hip-Hop", "Punk"),
    ]


def test_files_and_rows_without_each_other(fma):
    annotations = read(*fma(files=("fma_small/000/000002.mp3", "notes/intro.mp3")))
    messages = [finding.what for finding in annotations.findings]
    assert messages == [
        "1 file(s) without a row: notes/intro.mp3",
        "1 of 2 row(s) without a file: 5",
    ]
    assert (annotations.n_rows, annotations.n_rows_without_file) == (2, 1)


def test_all_bad_rows_are_in_one_error(fma):
    rows = [*ROWS, fma_row(7, split="dev"), fma_row(8, genres="[99]")]
    with pytest.raises(UserError) as caught:
        read(*fma(rows, multi_label=True))
    assert "row 5: split 'dev'" in caught.value.what
    assert "row 6: genre 99 is not in genres.csv" in caught.value.what
    assert "mdeff/fma" in caught.value.remedy


def test_a_file_that_is_no_tracks_csv(fma, tmp_path):
    library, files, spec = fma()
    files["tracks.csv"].write_text("track_id,genre\n2,Rock\n")
    with pytest.raises(UserError, match="not an FMA header") as caught:
        read(library, files, spec)
    assert str(files["tracks.csv"]) in caught.value.where


def test_a_missing_column_is_named(fma):
    library, files, spec = fma()
    text = files["tracks.csv"].read_text()
    files["tracks.csv"].write_text(text.replace("genre_top", "genre_first"))
    with pytest.raises(UserError, match=r"no column \(track, genre_top\)"):
        read(library, files, spec)


def test_validation_knows_the_published_sizes(fma):
    _, findings = validate(*fma())
    assert "the lists have 1 recordings in train, the published ones have 6400" in str(findings)
    assert any("has no file in test" in finding.what for finding in findings)
