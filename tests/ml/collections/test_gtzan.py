import hashlib
from collections import Counter
from dataclasses import replace

import pytest

from melgraph.ml.collections import find_metadata, read
from melgraph.ml.collections.gtzan import GENRES, LEFT_OUT, SHA256, SPLIT_SIZES, clip_of
from melgraph.ml.collections.validate import describe, validate
from melgraph.ml.errors import UserError
from melgraph.ml.specs.dataset import DatasetSpec
from tests.ml.collections.layouts import tracks, write_gtzan

BARE = DatasetSpec(title="x", labels="gtzan")


@pytest.fixture
def official(tmp_path):
    """`official(train=[...])` writes lists; the spec that names them, and the files."""

    def write(**lists):
        folder = write_gtzan(tmp_path / "lists", **lists)
        spec = DatasetSpec(title="x", labels="gtzan", metadata=str(folder), split="official")
        return spec, find_metadata(spec, tmp_path, where="dataset x")

    return write


@pytest.mark.parametrize(
    ("path", "clip"),
    [
        ("genres/blues/blues.00012.wav", "blues.00012"),
        ("genres_original/hiphop/hiphop.00099.flac", "hiphop.00099"),
        ("blues.00012.au", "blues.00012"),
        ("jazz/jazz.00003.crop.flac", "jazz.00003"),
        ("blues/blues.000071.crop.flac", None),
        ("blues/blues.0001.wav", None),
        ("polka/polka.00012.wav", None),
        ("blues.00012/cover.wav", None),
        ("deltablues.00012.wav", None),
    ],
)
def test_names_of_clips(path, clip):
    assert clip_of(path) == clip


def test_genre_by_name_without_lists():
    annotations = read(tracks("genres/jazz/jazz.00054.wav", "genres/jazz/live.wav"), {}, BARE)
    assert [row and (row.labels, row.split, row.reason) for row in annotations.rows] == [
        (("jazz",), None, None),
        None,
    ]
    assert annotations.n_rows is None
    assert "1 file(s) without a row: genres/jazz/live.wav" in annotations.findings[0].what


def test_lists_give_the_split_and_leave_the_rest_out(official):
    spec, files = official(train=["blues.00029"], valid=["blues.00000"], test=["jazz.00012"])
    library = tracks(
        "blues/blues.00029.wav", "blues/blues.00000.au", "jazz/jazz.00012.crop.flac",
        "jazz/jazz.00013.wav",
    )  # fmt: skip
    annotations = read(library, files, spec)
    assert [(row.labels[0], row.split, row.reason) for row in annotations.rows] == [
        ("blues", "train", None),
        ("blues", "validation", None),
        ("jazz", "test", None),
        ("jazz", None, LEFT_OUT),
    ]
    assert (annotations.n_rows, annotations.n_rows_without_file) == (3, 0)


def test_every_bad_line_is_listed_with_its_number(official):
    spec, files = official(train=["blues.00029", "blues.00029", "polka.00001"])
    with pytest.raises(UserError) as caught:
        read(tracks("blues/blues.00029.wav"), files, spec)
    assert "2 problem(s) in train_filtered.txt" in caught.value.what
    assert "line 2: blues.00029 is in train_filtered.txt line 1 already" in caught.value.what
    assert "line 3: 'polka/polka.00001.wav'" in caught.value.what
    assert "jongpillee/music_dataset_split" in caught.value.remedy


def test_a_clip_of_two_lists(official):
    spec, files = official(train=["blues.00029"], test=["blues.00029"])
    with pytest.raises(UserError, match=r"in train_filtered\.txt line 1 already"):
        read([], files, spec)


def test_lists_that_are_not_there_name_the_project_and_the_place(official, tmp_path):
    spec, _ = official()
    (tmp_path / "lists" / "valid_filtered.txt").unlink()
    with pytest.raises(UserError) as caught:
        find_metadata(spec, tmp_path, where="dataset x")
    assert "missing: valid_filtered.txt" in caught.value.what
    assert str(tmp_path / "lists") in caught.value.where
    assert "jongpillee/music_dataset_split" in caught.value.remedy


def test_validation_tells_faults_sizes_and_misplaced_files(official):
    spec, files = official(train=["blues.00029"], valid=["rock.00000"], test=["jazz.00012"])
    library = tracks("rock/blues.00029.wav", "rock/rock.00000.wav", "jazz/jazz.00012.wav")
    annotations, findings = validate(library, files, spec)
    messages = "\n".join(map(str, findings))
    assert "warning: train_filtered.txt is not the published list" in messages
    assert "the lists have 1 recordings in train, the published ones have 443" in messages
    assert "1 file(s) in a folder of another genre" in messages
    assert annotations.rows[0].labels == ("blues",)
    assert not [finding for finding in findings if finding.severity == "error"]


def test_the_real_lists(real_data):
    folder = real_data / "metadata" / "gtzan"
    for name, sha256 in SHA256.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256
    spec = DatasetSpec(title="x", labels="gtzan", metadata=str(folder), split="official")
    files = find_metadata(spec, folder, where="x")
    whole = tracks(*(f"{g}/{g}.{n:05d}.wav" for g in GENRES for n in range(100)))
    annotations, findings = validate(whole, files, spec)
    assert findings == []
    assert annotations.split_sizes == SPLIT_SIZES == {"train": 443, "validation": 197, "test": 290}
    assert Counter(row.split for row in annotations.rows) == {None: 70, **SPLIT_SIZES}
    assert {row.reason for row in annotations.rows if row.split is None} == {LEFT_OUT}

    common = [replace(t, fault="undecodable" if "jazz.00054" in t.path else None) for t in whole]
    annotations, (finding,) = validate(common, files, spec)
    assert str(finding) == ("warning: 1 file(s) cannot be used: jazz/jazz.00054.wav (undecodable)")
    assert "splits   train 442 of 443, validation 197 of 197, test 290 of 290 listed" in describe(
        common, annotations, spec
    )
