import pytest

from melgraph.ml.collections import find_metadata, read
from melgraph.ml.collections.mtg_jamendo import MTG_JAMENDO, read_list, recording_of
from melgraph.ml.errors import UserError
from melgraph.ml.specs.dataset import DatasetSpec
from tests.ml.collections.layouts import tracks, write_jamendo

LISTS = {
    "train": ["215 14 genre---metal", "2634 379 genre---folk mood/theme---calm"],
    "validation": ["948 87 genre---rock instrument---piano"],
    "test": ["1376256 490499 genre---metal genre---rock genre---folk"],
}


@pytest.fixture
def jamendo(tmp_path):
    def write(*files, where="data/splits/split-0", lists=LISTS):
        write_jamendo(tmp_path / "checkout" / where, **lists)
        spec = DatasetSpec(
            title="x", labels="mtg_jamendo", metadata="checkout", multi_label=True, split="official"
        )
        return tracks(*files), find_metadata(spec, tmp_path, where="dataset x"), spec

    return write


@pytest.mark.parametrize(
    ("path", "recording"),
    [
        ("15/215.mp3", "15/215"),
        ("raw_30s/audio-low/56/1376256.low.mp3", "56/1376256"),
        ("215.mp3", None),
        ("15/track.mp3", None),
    ],
)
def test_names_of_recordings(path, recording):
    assert recording_of(path) == recording


@pytest.mark.parametrize("where", ["", "data/splits/split-0"])
def test_tags_split_and_artist(jamendo, where):
    annotations = read(*jamendo("15/215.mp3", "34/2634.low.mp3", "56/1376256.mp3", where=where))
    assert [(row.labels, row.split, row.artist) for row in annotations.rows] == [
        (("genre---metal",), "train", "artist_000014"),
        (("genre---folk", "mood/theme---calm"), "train", "artist_000379"),
        (("genre---metal", "genre---rock", "genre---folk"), "test", "artist_490499"),
    ]
    assert (annotations.n_rows, annotations.n_rows_without_file) == (4, 1)
    assert annotations.split_sizes == {"train": 2, "validation": 1, "test": 1}


def test_a_recording_in_two_lists(jamendo):
    lists = LISTS | {"test": ["215 14 genre---metal"]}
    with pytest.raises(UserError, match=r"15/215 is in autotagging_top50tags-train\.tsv line 2"):
        read(*jamendo("15/215.mp3", lists=lists))


def test_all_bad_lines_are_in_one_error(jamendo):
    library, files, spec = jamendo("15/215.mp3")
    path = files["autotagging_top50tags-test.tsv"]
    path.write_text(path.read_text() + "track_1\tartist_1\nx\ty\tz\t15/7.mp3\t1.0\tno-category\n")
    with pytest.raises(UserError) as caught:
        read(library, files, spec)
    assert "line 3: 'track_1 artist_1'" in caught.value.what
    assert "line 4: " in caught.value.what
    path.write_text("track,artist\n")
    with pytest.raises(UserError, match="line 1: the header must be TRACK_ID"):
        read(library, files, spec)


def test_lists_that_are_not_there(jamendo, tmp_path):
    _, files, spec = jamendo("15/215.mp3")
    files["autotagging_top50tags-train.tsv"].unlink()
    with pytest.raises(UserError, match=r"missing: autotagging_top50tags-train\.tsv") as caught:
        find_metadata(spec, tmp_path, where="dataset x")
    assert "MTG/mtg-jamendo-dataset" in caught.value.remedy


def test_the_real_test_list(real_data):
    folder = real_data / "metadata" / "mtg_jamendo"
    rows = read_list(folder / "autotagging_top50tags-test.tsv", "test")
    spec = DatasetSpec(title="x", labels="mtg_jamendo")
    assert len(rows) == MTG_JAMENDO.split_sizes(spec)["test"] == 11356
    assert len({row.key for row in rows}) == len(rows)
    top50 = (folder / "top50.txt").read_text().split()
    assert {label for row in rows for label in row.labels} == set(top50)
    assert len(top50) == 50
