import unicodedata

from melgraph.ml.collections import Track, read
from melgraph.ml.specs.dataset import DatasetSpec

SPEC = DatasetSpec(title="x", labels="folder", label_level=1)
MUSIC = "M\u00fasica"
SIX = (
    MUSIC, unicodedata.normalize("NFD", MUSIC), MUSIC.lower(), f"{MUSIC.upper()} ", f" {MUSIC}",
    f"{MUSIC}\u00a0",
)  # fmt: skip


def labels_of(annotations):
    return [row.labels for row in annotations.rows]


def test_six_spellings_are_one_class():
    files = [Track(f"{folder}/{n}.wav") for n, folder in enumerate(SIX)]
    annotations = read([*files, Track("Hip Hop/1.wav"), Track("Hip  Hop /2.wav")], {}, SPEC)
    assert labels_of(annotations) == [("Música",)] * 6 + [("Hip Hop",)] * 2
    (finding,) = annotations.findings
    assert finding.severity == "warning"
    assert finding.what.startswith("2 label(s) are spelled in several ways, and are one class each")
    shown = ("'Hip  Hop '", "'MÚSICA '", "'Mu\\u0301sica'", "'M\\xfasica\\xa0'", "' Música'")
    assert all(spelling in finding.what for spelling in shown)


def test_the_most_frequent_spelling_is_used():
    files = [Track(f"{folder}/{n}.wav") for n, folder in enumerate(("ROCK", "rock", "rock"))]
    assert set(labels_of(read(files, {}, SPEC))) == {("rock",)}
    assert set(labels_of(read(files[:2], {}, SPEC))) == {("ROCK",)}


def test_labels_that_look_alike_are_named():
    files = [Track(f"{folder}/1.wav") for folder in ("hip hop", "hip-hop", "rock", "Rock & Roll")]
    annotations = read(files, {}, SPEC)
    assert labels_of(annotations) == [("hip hop",), ("hip-hop",), ("rock",), ("Rock & Roll",)]
    (finding,) = annotations.findings
    assert "look alike, but are different classes: 'hip hop' and 'hip-hop'" in finding.what


def test_one_spelling_needs_no_warning():
    annotations = read([Track("rock/1.wav"), Track("jazz/2.wav"), Track("3.wav")], {}, SPEC)
    assert labels_of(annotations) == [("rock",), ("jazz",), ()]
    assert annotations.findings == ()


def test_several_labels_of_one_track_are_joined_too(tmp_path):
    (tmp_path / "t.csv").write_text("path,labels\na.wav,Calm;calm ;Slow\n", encoding="utf-8")
    spec = DatasetSpec(title="x", labels="table", metadata="t.csv", multi_label=True)
    annotations = read([Track("a.wav")], {"table.csv": tmp_path / "t.csv"}, spec)
    assert labels_of(annotations) == [("Calm", "Slow")]
