import os
import subprocess
import sys
from pathlib import Path

import pytest

from melgraph.storage import artifacts, files, local_artifacts
from melgraph.storage.artifacts import ArtifactStore, Production, Work, file_sha256
from melgraph.storage.errors import ArtifactCorrupt, ArtifactLocked, ArtifactMissing, StorageError
from melgraph.storage.home import open_home
from melgraph.storage.records import RECORD_NAME, Recording, Reference, Spec
from tests.storage.conftest import InBucket, InFolders

SPEC = Spec("tracks", "batch-000001", 1, config={"rate": 22050})
ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["folders", "bucket"])
def store(request, home) -> ArtifactStore:
    """One conformance suite for both backends."""
    is_local = request.param == "folders"
    return ArtifactStore(home) if is_local else request.getfixturevalue("bucket_store")


@pytest.fixture
def raw_files(request, store) -> InFolders | InBucket:
    """What the store keeps, behind its back."""
    is_local = store.bucket is None
    return InFolders(store) if is_local else InBucket(request.getfixturevalue("bucket"))


@pytest.fixture
def only_in_folders(store) -> None:
    if store.bucket is not None:
        pytest.skip("about the disk")


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


def assert_free(store: ArtifactStore, spec: Spec = SPEC) -> None:
    with Production(store, [spec]):
        pass


# ---- produce, find, current, need


def test_nothing_is_there_before_it_is_made(store, raw_files):
    assert store.find(SPEC.reference) is None
    assert store.current("tracks", "batch-000001") is None
    assert store.partitions("tracks") == []
    with pytest.raises(ArtifactMissing, match="does not exist") as caught:
        store.get(SPEC.reference)
    assert store.backend.where(SPEC.reference) in str(caught.value)
    with pytest.raises(ArtifactMissing, match="materialize tracks for 'batch-000001' first"):
        store.need("tracks", "batch-000001")
    assert raw_files.snapshot() == {}
    assert not store.root.exists()  # asking writes nothing


def test_an_artifact_is_made_found_and_verified(store):
    artifact, is_new = store.produce(SPEC, write)
    assert is_new
    assert files_below(artifact.folder) == {"deep/values.bin", "table.bin", RECORD_NAME}
    assert artifact.reference == SPEC.reference
    assert artifact.facts == {"rows": 3}
    assert artifact.record.recordings == (Recording("0" * 32, "0" * 64, "a.wav"),)
    assert artifact.record.files["table.bin"] == (file_sha256(artifact.folder / "table.bin"), 5)
    assert artifact.record.started_at < artifact.record.finished_at
    for reopened in (
        store.find(SPEC.reference),
        store.get(SPEC.reference),
        store.current("tracks", "batch-000001"),
        store.need("tracks", "batch-000001"),
    ):
        assert reopened == artifact
    assert store.partitions("tracks") == ["batch-000001"]
    assert store.verify(artifact) == []
    assert files_below(store.home.pending) == set()
    assert files_below(store.home.locks) == {"tracks/batch-000001.lock"}  # and no holder's note


def test_made_twice_is_written_once(store, raw_files):
    first, _ = store.produce(SPEC, write)
    before = raw_files.snapshot()
    second, is_new = store.produce(SPEC, refuse)
    assert not is_new
    assert second == first
    assert raw_files.snapshot() == before


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


def test_an_input_that_does_not_exist_commits_nothing(store, raw_files):
    spec = Spec("features", "batch-000001", 1, (SPEC.reference,))
    with pytest.raises(ArtifactMissing, match="tracks/batch-000001"):
        store.produce(spec, write)
    assert store.find(spec.reference) is None
    assert set(raw_files.snapshot()) | files_below(store.home.pending) == set()


def test_a_file_called_as_the_record_is_refused(store):
    def write_record(work: Work) -> None:
        (work.folder / RECORD_NAME).write_text("mine")

    with pytest.raises(StorageError, match=RECORD_NAME):
        store.produce(SPEC, write_record)
    assert store.find(SPEC.reference) is None


@pytest.mark.parametrize("pointer", [b"", b"\xff\xfe", b"\0" * 32, b"../../x", b"0" * 32])
def test_a_damaged_pointer_is_put_right_by_producing_again(store, raw_files, pointer):
    artifact, _ = store.produce(SPEC, write)
    raw_files.set_pointer(artifact, pointer)
    assert store.current("tracks", "batch-000001") is None
    store.produce(SPEC, refuse)
    assert store.need("tracks", "batch-000001") == artifact


def test_a_record_of_another_artifact_is_refused(store, raw_files):
    artifact, _ = store.produce(SPEC, write)
    other = Reference("tracks", "batch-000002", SPEC.version)
    raw_files.move(artifact, other)
    with pytest.raises(ArtifactCorrupt, match="belongs to tracks/batch-000001"):
        store.find(other)


# ---- nothing is visible before the commit


def test_nothing_is_visible_while_it_is_made(store, raw_files):
    def look(work: Work) -> None:
        write(work)
        assert store.find(SPEC.reference) is None
        assert store.current("tracks", "batch-000001") is None
        assert store.partitions("tracks") == []
        assert raw_files.snapshot() == {}
        assert work.folder.is_relative_to(store.home.pending)

    assert store.produce(SPEC, look)[1]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_leaves_nothing_and_frees_the_lock(store, raw_files, error):
    def fail(work: Work) -> None:
        write(work)
        raise error("broken")

    with pytest.raises(error, match="broken"):
        store.produce(SPEC, fail)
    assert set(raw_files.snapshot()) | files_below(store.home.pending) == set()
    assert store.produce(SPEC, write)[1]


def test_what_a_dead_writer_left_is_replaced(store, raw_files):
    pending = store.home.pending / "tracks" / "batch-000001"
    (pending / "deep").mkdir(parents=True)
    (pending / "deep" / "leftover.bin").write_bytes(b"half")
    raw_files.leave_half(SPEC.reference)
    assert store.find(SPEC.reference) is None
    artifact, is_new = store.produce(SPEC, write)
    assert is_new
    assert files_below(artifact.folder) == {"deep/values.bin", "table.bin", RECORD_NAME}
    assert store.verify(artifact) == []
    assert files_below(store.home.pending) == set()
    assert not [name for name in raw_files.snapshot() if "leftover" in name or "aside" in name]


@pytest.mark.usefixtures("only_in_folders")
def test_a_full_disk_while_the_record_is_written_commits_nothing(store, monkeypatch):
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(local_artifacts, "write_aside", full)
        with pytest.raises(OSError, match="No space left"):
            store.produce(SPEC, write)
    assert store.find(SPEC.reference) is None
    artifact, is_new = store.produce(SPEC, write)
    assert is_new
    assert store.verify(artifact) == []


# ---- verify


def test_verify_names_what_is_wrong(store, raw_files):
    artifact, _ = store.produce(SPEC, write)
    values, table = (
        raw_files.place(artifact, "deep/values.bin"),
        raw_files.place(artifact, "table.bin"),
    )
    good = b"values" * 100

    raw_files.write(artifact, "deep/values.bin", b"valueS" + good[6:])
    assert store.verify(artifact) == [f"{values}: content differs from its recorded SHA-256"]
    raw_files.write(artifact, "deep/values.bin", good[:-1])
    assert store.verify(artifact) == [f"{values}: 599 bytes, recorded 600"]
    raw_files.remove(artifact, "deep/values.bin")
    assert store.verify(artifact) == [f"{values}: missing"]
    raw_files.write(artifact, "deep/values.bin", good)
    raw_files.write(artifact, "deep/.extra", b"")
    assert store.verify(artifact) == [
        f"{raw_files.place(artifact, 'deep/.extra')}: not in the record"
    ]
    raw_files.remove(artifact, "deep/.extra")
    raw_files.remove(artifact, "table.bin")
    raw_files.write(artifact, "moved.bin", b"table")
    assert store.verify(artifact) == [
        f"{table}: missing",
        f"{raw_files.place(artifact, 'moved.bin')}: not in the record",
    ]
    raw_files.remove(artifact, "moved.bin")
    raw_files.write(artifact, "table.bin", b"table")
    assert store.verify(artifact) == []


def test_one_small_file_is_read_alone(store):
    artifact, _ = store.produce(SPEC, write)
    assert store.read(artifact, "table.bin") == b"table"
    with pytest.raises(FileNotFoundError):
        store.read(artifact, "nothing.bin")


@pytest.mark.usefixtures("only_in_folders")
def test_verify_tells_of_a_file_that_cannot_be_read(store, monkeypatch):
    artifact, _ = store.produce(SPEC, write)

    def broken_disk(path: Path) -> str:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr(files, "file_sha256", broken_disk)
    assert store.verify(artifact) == [
        f"{artifact.folder / name}: cannot be read (Input/output error)"
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


def test_a_production_commits_in_order(store, raw_files, monkeypatch):
    order = []
    commit = artifacts._commit
    monkeypatch.setattr(
        artifacts, "_commit", lambda s, work: order.append(work.spec.asset) or commit(s, work)
    )
    with Production(store, chain()) as production:
        assert list(production.missing) == ["tracks", "spectrograms", "features"]
        for work in reversed(production.missing.values()):  # written in any order
            write(work)
        assert raw_files.snapshot() == {}
    assert order == ["tracks", "spectrograms", "features"]
    for spec in chain():  # each names the digest of the one before, so that one was there first
        artifact = production.artifacts[spec.asset]
        assert artifact == store.get(spec.reference)
        assert store.verify(artifact) == []
        assert set(artifact.record.input_digests) == {str(r) for r in spec.inputs}


def test_a_production_makes_only_what_is_missing(store):
    tracks, *_ = chain()
    artifact, _ = store.produce(tracks, write)
    with Production(store, chain()) as production:
        assert production.artifacts == {"tracks": artifact}
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


def test_a_second_writer_in_this_process_is_refused_with_the_name_of_the_first(store):
    with Production(store, [SPEC]) as production:
        with pytest.raises(ArtifactLocked, match=f"process {os.getpid()} on ") as caught:
            store.produce(Spec("tracks", "batch-000001", 2), refuse)
        assert "then released by itself" in caught.value.remedy
        store.produce(Spec("tracks", "batch-000002", 1), write)  # another partition is free
        write(production.missing["tracks"])
    assert_free(store)


HOLD = """
import sys
from pathlib import Path
from melgraph.storage.artifacts import ArtifactStore, Production
from melgraph.storage.home import open_home
from melgraph.storage.records import Spec
with Production(ArtifactStore(open_home(Path(sys.argv[1]))), [Spec("tracks", "batch-000001", 5)]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_writer_in_another_process_is_refused_until_the_first_is_killed(store):
    command = [sys.executable, "-c", HOLD, store.home.root]
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
    artifact, is_new = store.produce(SPEC, write)
    assert is_new
    assert store.verify(artifact) == []


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

    artifact, _ = store.produce(SPEC, write)
    shutil.copytree(store.home.root, tmp_path / "copy", symlinks=True)
    copy = ArtifactStore(open_home(tmp_path / "copy"))
    copied_artifact = copy.need("tracks", "batch-000001")
    assert copied_artifact.record == artifact.record
    assert copy.verify(copied_artifact) == []
