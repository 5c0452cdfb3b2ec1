"""Recordings outside of the library: how records name them, and what an audit says of them."""

from pathlib import Path

from melgraph.storage.artifacts import Work, file_sha256
from melgraph.storage.lineage import Source, trace
from melgraph.storage.outside import is_outside, outside_path, remember_place, remembered_place
from melgraph.storage.records import Recording, Spec


def test_a_record_names_the_file_and_not_its_folder():
    assert outside_path(Path("/secret/place/a b?.mp3")) == ".../a b?.mp3"
    assert is_outside(".../a.mp3")
    assert not is_outside("rock/a.mp3")
    odd = outside_path(Path("/x/\udcff.mp3"))  # bytes that are no text
    assert odd.encode()


def test_the_home_remembers_the_place(store, tmp_path):
    assert remembered_place(store.home, "ab" * 32) is None
    remember_place(store.home, "ab" * 32, tmp_path / "\udcff ü.mp3")
    assert remembered_place(store.home, "ab" * 32) == tmp_path / "\udcff ü.mp3"
    assert [path.name for path in (store.home.root / "outside").iterdir()] == ["ab" * 32]


def verified(store, path, *, keeps: bool) -> Source:
    """What the audit of a sound says of the recording that it was made from."""
    sha256 = file_sha256(path) if path.exists() else "cd" * 32
    recording = Recording("ef" * 16, sha256, outside_path(path))
    artifact, _ = store.produce(
        Spec("sounds", "one", 1, (), {"sha256": sha256}),
        lambda work: _write(work, recording),
    )
    (source,) = trace(store, artifact, keeps_sound=lambda _: keeps).sources
    return source


def _write(work: Work, recording: Recording) -> None:
    (work.folder / "a.flac").write_bytes(b"sound")
    work.recordings.append(recording)


def test_a_recording_that_is_there(store, tmp_path):
    path = tmp_path / "song.mp3"
    path.write_bytes(b"sound")
    remember_place(store.home, file_sha256(path), path)
    source = verified(store, path, keeps=True)
    assert (source.place, source.note, source.problem) == (str(path), None, None)


def test_a_recording_that_is_gone_is_no_problem_if_its_excerpt_is_kept(store, tmp_path):
    path = tmp_path / "song.mp3"
    remember_place(store.home, "cd" * 32, path)
    source = verified(store, path, keeps=True)
    assert source.note == "no longer there; its excerpt is kept"
    assert (source.since, source.problem) == (None, None)


def test_without_an_excerpt_it_is_lost(store, tmp_path):
    path = tmp_path / "song.mp3"
    remember_place(store.home, "cd" * 32, path)
    assert verified(store, path, keeps=False).since == "removed"


def test_another_home_does_not_know_the_place(store, tmp_path):
    source = verified(store, tmp_path / "song.mp3", keeps=True)
    assert (
        source.note
        == "outside of the library, at a place that is not recorded; its excerpt is kept"
    )
