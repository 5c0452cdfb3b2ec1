import os
import subprocess
import sys
from pathlib import Path

import pytest

from storage import artifacts
from storage.artifacts import CURRENT, ArtifactStore, Production, Work, file_sha256
from storage.errors import ArtifactCorrupt, ArtifactLocked, ArtifactMissing, StorageError
from storage.home import Home
from storage.records import RECORD_NAME, Recording, Reference, Spec

SPEC = Spec("tracks", "batch-000001", 1, config={"rate": 22050})
ROOT = Path(__file__).parents[2]


def write(work: Work) -> None:
    (work.folder / "deep").mkdir()
    (work.folder / "deep" / "values.bin").write_bytes(b"values" * 100)
    (work.folder / "table.bin").write_bytes(b"table")
    work.facts["rows"] = 3
    work.recordings.append(Recording("0" * 32, "0" * 64, "a.wav"))


def refuse(work: Work) -> None:
    raise AssertionError(f"{work.spec.reference} was made although it is there")


def files_below(folder: Path) -> set[str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix() for path in paths}


def snapshot(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files_below(folder)}


def assert_free(store: ArtifactStore, spec: Spec = SPEC) -> None:
    with Production(store, [spec]):
        pass


# ---- produce, find, current, need


def test_nothing_is_there_before_it_is_made(store):
    assert store.find(SPEC.reference) is None
    assert store.current("tracks", "batch-000001") is None
    assert store.partitions("tracks") == []
    with pytest.raises(ArtifactMissing, match="does not exist") as caught:
        store.get(SPEC.reference)
    assert str(store.folder(SPEC.reference)) in str(caught.value)
    with pytest.raises(ArtifactMissing, match="materialize tracks for 'batch-000001' first"):
        store.need("tracks", "batch-000001")
    assert not store.home.artifacts.exists()  # asking writes nothing


def test_an_artifact_is_made_found_and_verified(store):
    made, is_new = store.produce(SPEC, write)
    assert is_new
    assert files_below(made.folder) == {"deep/values.bin", "table.bin", RECORD_NAME}
    assert made.reference == SPEC.reference
    assert made.facts == {"rows": 3}
    assert made.record.recordings == (Recording("0" * 32, "0" * 64, "a.wav"),)
    assert made.record.files["table.bin"] == (file_sha256(made.folder / "table.bin"), 5)
    assert made.record.started_at < made.record.finished_at
    for found in (
        store.find(SPEC.reference),
        store.get(SPEC.reference),
        store.current("tracks", "batch-000001"),
        store.need("tracks", "batch-000001"),
    ):
        assert found == made
    assert store.partitions("tracks") == ["batch-000001"]
    assert store.verify(made) == []
    assert files_below(store.home.pending) == set()
    assert files_below(store.home.locks) == {"tracks/batch-000001.lock"}  # and no holder's note


def test_made_twice_is_written_once(store):
    first, _ = store.produce(SPEC, write)
    before = snapshot(store.home.artifacts)
    second, is_new = store.produce(SPEC, refuse)
    assert not is_new
    assert second == first
    assert snapshot(store.home.artifacts) == before


def test_going_back_to_an_older_version_makes_it_current_again(store):
    older, _ = store.produce(SPEC, write)
    newer, _ = store.produce(Spec("tracks", "batch-000001", 2), write)
    assert store.need("tracks", "batch-000001") == newer
    _, is_new = store.produce(SPEC, refuse)
    assert not is_new
    assert store.need("tracks", "batch-000001") == older
    assert store.get(newer.reference) == newer  # kept


def test_an_input_is_recorded_with_its_content_digest(store):
    parent, _ = store.produce(SPEC, write)
    child, _ = store.produce(Spec("features", "batch-000001", 1, (parent.reference,)), write)
    assert child.record.input_digests == {str(parent.reference): parent.record.digest}


def test_an_input_that_does_not_exist_commits_nothing(store):
    spec = Spec("features", "batch-000001", 1, (SPEC.reference,))
    with pytest.raises(ArtifactMissing, match="tracks/batch-000001"):
        store.produce(spec, write)
    assert store.find(spec.reference) is None
    assert files_below(store.home.artifacts) | files_below(store.home.pending) == set()


def test_a_file_called_as_the_record_is_refused(store):
    def write_record(work: Work) -> None:
        (work.folder / RECORD_NAME).write_text("mine")

    with pytest.raises(StorageError, match=RECORD_NAME):
        store.produce(SPEC, write_record)
    assert store.find(SPEC.reference) is None


@pytest.mark.parametrize("pointer", [b"", b"\xff\xfe", b"\0" * 32, b"../../x", b"0" * 32])
def test_a_damaged_pointer_is_put_right_by_producing_again(store, pointer):
    made, _ = store.produce(SPEC, write)
    (made.folder.parent / CURRENT).write_bytes(pointer)
    assert store.current("tracks", "batch-000001") is None
    store.produce(SPEC, refuse)
    assert store.need("tracks", "batch-000001") == made


def test_a_record_of_another_artifact_is_refused(store):
    made, _ = store.produce(SPEC, write)
    other = Reference("tracks", "batch-000002", SPEC.version)
    store.folder(other).parent.mkdir()
    made.folder.rename(store.folder(other))
    with pytest.raises(ArtifactCorrupt, match="the record is of tracks/batch-000001"):
        store.find(other)


# ---- nothing is visible before the commit


def test_nothing_is_visible_while_it_is_made(store):
    def look(work: Work) -> None:
        write(work)
        assert store.find(SPEC.reference) is None
        assert store.current("tracks", "batch-000001") is None
        assert store.partitions("tracks") == []
        assert files_below(store.home.artifacts) == set()
        assert work.folder.is_relative_to(store.home.pending)

    assert store.produce(SPEC, look)[1]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_leaves_nothing_and_frees_the_lock(store, error):
    def fail(work: Work) -> None:
        write(work)
        raise error("broken")

    with pytest.raises(error, match="broken"):
        store.produce(SPEC, fail)
    assert files_below(store.home.artifacts) | files_below(store.home.pending) == set()
    assert store.produce(SPEC, write)[1]


def test_what_a_dead_writer_left_is_replaced(store):
    pending = store.home.pending / "tracks" / "batch-000001"
    final = store.folder(SPEC.reference)
    for folder in (pending, final):
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "leftover.bin").write_bytes(b"half")
    (final / f".{RECORD_NAME}.1.aside").write_bytes(b'{"format')
    assert store.find(SPEC.reference) is None
    made, is_new = store.produce(SPEC, write)
    assert is_new
    assert files_below(made.folder) == {"deep/values.bin", "table.bin", RECORD_NAME}
    assert store.verify(made) == []
    assert files_below(store.home.pending) == set()


def test_a_full_disk_while_the_record_is_written_commits_nothing(store, monkeypatch):
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(artifacts, "write_aside", full)
        with pytest.raises(OSError, match="No space left"):
            store.produce(SPEC, write)
    assert store.find(SPEC.reference) is None
    made, is_new = store.produce(SPEC, write)
    assert is_new
    assert store.verify(made) == []


# ---- verify


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def test_verify_names_what_is_wrong(store):
    made, _ = store.produce(SPEC, write)
    values, table = made.folder / "deep" / "values.bin", made.folder / "table.bin"
    good = values.read_bytes()

    flip(values)
    assert store.verify(made) == [f"{values}: content differs from its recorded SHA-256"]
    values.write_bytes(good[:-1])
    assert store.verify(made) == [f"{values}: 599 bytes, recorded 600"]
    values.unlink()
    assert store.verify(made) == [f"{values}: missing"]
    values.write_bytes(good)
    (made.folder / "deep" / ".extra").touch()
    assert store.verify(made) == [f"{made.folder}/deep/.extra: not in the record"]
    (made.folder / "deep" / ".extra").unlink()
    table.rename(made.folder / "moved.bin")
    assert store.verify(made) == [
        f"{table}: missing",
        f"{made.folder}/moved.bin: not in the record",
    ]
    (made.folder / "moved.bin").rename(table)
    assert store.verify(made) == []


def test_verify_tells_of_a_file_that_cannot_be_read(store, monkeypatch):
    made, _ = store.produce(SPEC, write)

    def broken_disk(path: Path) -> str:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr(artifacts, "file_sha256", broken_disk)
    assert store.verify(made) == [
        f"{made.folder / name}: cannot be read (Input/output error)"
        for name in ("deep/values.bin", "table.bin")
    ]


# ---- several artifacts at once


def chain() -> list[Spec]:
    first = Spec("tracks", "batch-000001", 1)
    second = Spec("spectrograms", "batch-000001", 1, (first.reference,))
    return [first, second, Spec("features", "batch-000001", 1, (second.reference,))]


def produce_all(store: ArtifactStore, specs: list[Spec]) -> None:
    with Production(store, specs) as production:
        for work in production.missing.values():
            write(work)


def test_a_production_commits_in_order(store, monkeypatch):
    order = []
    commit = artifacts._commit
    monkeypatch.setattr(
        artifacts, "_commit", lambda s, work: order.append(work.spec.asset) or commit(s, work)
    )
    with Production(store, chain()) as production:
        assert list(production.missing) == ["tracks", "spectrograms", "features"]
        for work in reversed(production.missing.values()):  # written in any order
            write(work)
        assert files_below(store.home.artifacts) == set()
    assert order == ["tracks", "spectrograms", "features"]
    for spec in chain():  # each names the digest of the one before, so that one was there first
        artifact = production.artifacts[spec.asset]
        assert artifact == store.get(spec.reference)
        assert store.verify(artifact) == []
        assert set(artifact.record.input_digests) == {str(r) for r in spec.inputs}


def test_a_production_makes_only_what_is_missing(store):
    tracks, *_ = chain()
    made, _ = store.produce(tracks, write)
    with Production(store, chain()) as production:
        assert production.artifacts == {"tracks": made}
        assert list(production.missing) == ["spectrograms", "features"]
        for work in production.missing.values():
            write(work)
    assert set(production.artifacts) == {"tracks", "spectrograms", "features"}


def test_an_exception_in_a_production_commits_none_and_moves_no_pointer(store):
    older, _ = store.produce(SPEC, write)
    newer, _ = store.produce(Spec("tracks", "batch-000001", 9), write)
    other = Spec("features", "batch-000001", 1)

    def break_off() -> None:
        with Production(store, [SPEC, other]) as production:
            assert production.artifacts == {"tracks": older}
            write(production.missing["features"])
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        break_off()
    assert store.find(other.reference) is None
    assert store.need("tracks", "batch-000001") == newer
    assert files_below(store.home.pending) == set()
    assert_free(store, SPEC)
    assert_free(store, other)


def test_a_failing_commit_leaves_each_artifact_whole_or_absent(store, monkeypatch):
    commit = artifacts._commit

    def fail_second(s: ArtifactStore, work: Work):
        if work.spec.asset == "spectrograms":
            raise OSError(28, "No space left on device")
        return commit(s, work)

    with monkeypatch.context() as patch:
        patch.setattr(artifacts, "_commit", fail_second)
        with pytest.raises(OSError, match="No space"):
            produce_all(store, chain())
    tracks, spectrograms, features = chain()
    assert store.verify(store.get(tracks.reference)) == []
    assert store.find(spectrograms.reference) is None
    assert store.find(features.reference) is None
    with Production(store, chain()) as production:  # the locks are free, and it goes on from there
        assert list(production.missing) == ["spectrograms", "features"]


def test_a_locked_second_artifact_frees_the_first(store):
    first, second, _ = chain()
    with Production(store, [second]):
        with pytest.raises(ArtifactLocked, match="spectrograms"), Production(store, chain()):
            pass
        assert_free(store, first)
        assert files_below(store.home.pending) == set()


def test_a_production_of_two_partitions_of_one_asset_is_refused(store):
    with pytest.raises(ValueError, match="one partition"):
        Production(store, [SPEC, Spec("tracks", "batch-000002", 1)])


# ---- one writer


def test_a_second_writer_in_this_process_is_refused_and_told_the_holder(store):
    with Production(store, [SPEC]) as production:
        with pytest.raises(ArtifactLocked, match=f"process {os.getpid()} on ") as caught:
            store.produce(Spec("tracks", "batch-000001", 2), refuse)
        assert "the lock frees itself" in caught.value.remedy
        store.produce(Spec("tracks", "batch-000002", 1), write)  # another partition is free
        write(production.missing["tracks"])
    assert_free(store)


HOLD = """
import sys
from pathlib import Path
from storage.artifacts import ArtifactStore, Production
from storage.home import Home
from storage.records import Spec
with Production(ArtifactStore(Home(Path(sys.argv[1]), Path(sys.argv[2]))),
                [Spec("tracks", "batch-000001", 5)]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_writer_in_another_process_is_refused_until_the_first_is_killed(store):
    command = [sys.executable, "-c", HOLD, store.home.root, store.home.library]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ArtifactLocked, match=f"is being written by process {holder.pid} on "):
            store.produce(SPEC, refuse)
        holder.kill()
        holder.wait()
    assert (store.home.locks / "tracks" / "batch-000001.holder").is_file()  # it did not clean up
    made, is_new = store.produce(SPEC, write)
    assert is_new
    assert store.verify(made) == []


def test_the_lock_is_free_again_when_its_note_cannot_be_written(store, monkeypatch):
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="No space left") as caught:
            store.produce(SPEC, write)
    assert_free(store)
    assert caught.value.errno == 28  # the error is still held: the lock was not freed with it


def test_a_home_that_was_copied_reads_the_same(store, tmp_path):
    import shutil

    made, _ = store.produce(SPEC, write)
    shutil.copytree(store.home.root, tmp_path / "copy", symlinks=True)
    copy = ArtifactStore(Home(tmp_path / "copy", store.home.library).create())
    found = copy.need("tracks", "batch-000001")
    assert found.record == made.record
    assert copy.verify(found) == []
