"""Findings that all adaptors share."""

import pytest

from melgraph.ml.collections import ADAPTORS, Track, read
from melgraph.ml.collections.validate import describe, validate
from melgraph.ml.specs.dataset import DatasetSpec
from tests.ml.collections.layouts import tracks

FOLDER = DatasetSpec(title="x", labels="folder", label_level=1)


def test_every_kind_of_labels_has_an_adaptor():
    from typing import get_args

    assert set(ADAPTORS) == set(get_args(DatasetSpec.model_fields["labels"].annotation))


@pytest.mark.parametrize("labels", ["folder", "tag", "none", "gtzan"])
def test_a_row_for_every_file_in_order(labels):
    files = tracks("blues/blues.00001.wav", "one.mp3", "rock/rock.00001.wav")
    spec = FOLDER.model_copy(update={"labels": labels})
    annotations = read(files, {}, spec)
    assert len(annotations.rows) == len(files)
    assert [row is None for row in annotations.rows] == [False, labels == "gtzan", False]
    assert read([], {}, spec).rows == ()


def test_faults_classes_and_counts():
    paths = [f"rock/{n}.mp3" for n in range(5)] + [f"jazz/{n}.mp3" for n in range(2)] + ["x.mp3"]
    files = [*tracks(*paths), Track("rock/bad.mp3", fault="silent")]
    annotations, findings = validate(files, {}, FOLDER)
    messages = [str(finding) for finding in findings]
    assert messages == [
        "warning: 1 file(s) cannot be used: rock/bad.mp3 (silent)",
        "warning: 1 class(es) with fewer than 4 tracks will be left out: jazz",
    ]
    assert describe(files, annotations, FOLDER) == [
        "files    9 in the library, 1 of them unusable; 7 used",
        "classes  2: jazz 2, rock 5",
    ]


def test_one_class_is_an_error_and_errors_come_first():
    files = [*tracks("rock/1.mp3"), Track("rock/bad.mp3", fault="silent")]
    _, findings = validate(files, {}, FOLDER)
    assert [finding.severity for finding in findings] == ["error", "warning", "warning"]
    assert "two classes" in findings[0].what
    assert validate(files[:1], {}, FOLDER.model_copy(update={"labels": "none"}))[1] == []


def test_a_list_that_cannot_be_understood_is_a_finding(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("file,genre\n")
    spec = DatasetSpec(title="x", labels="table", metadata=str(path))
    _, findings = validate(tracks("a.mp3"), {"table.csv": path}, spec)
    assert findings[0].severity == "error"
    assert "path, track_id, stem" in findings[0].what
    assert str(path) in findings[0].what
