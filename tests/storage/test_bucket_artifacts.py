import shutil
import threading

import numpy as np
import pytest

from melgraph.storage.artifacts import ArtifactStore, Work
from melgraph.storage.bucket import Bucket
from melgraph.storage.errors import ArtifactCorrupt, BucketTrouble, StorageError
from melgraph.storage.home import Home, open_home
from melgraph.storage.lineage import trace
from melgraph.storage.named_artifacts import find_artifact
from melgraph.storage.records import RECORD_NAME, Recording, Reference, Spec
from melgraph.storage.spectrogram_store import SpectrogramStore, SpectrogramWriter

SPEC = Spec("tracks", "batch-000001", 1)


def write(work: Work, content: bytes = b"bytes") -> None:
    (work.folder / "deep").mkdir()
    (work.folder / "deep" / "a.bin").write_bytes(content)
    (work.folder / "b.bin").write_bytes(b"b")


@pytest.fixture
def elsewhere(bucket_store, tmp_path) -> ArtifactStore:
    """The same bucket, from another machine."""
    home = Home(
        tmp_path / "elsewhere", bucket_store.home.library, 1, bucket_store.home.artifact_store
    )
    return ArtifactStore(home.create())


def test_the_layout(bucket_store, bucket):
    artifact, _ = bucket_store.produce(SPEC, write)
    base, digest = f"artifacts/{SPEC.reference}", artifact.record.digest[:32]
    assert bucket.snapshot() == {
        f"{base}/record.json": artifact.record.to_bytes(),
        f"{base}/{digest}/b.bin": b"b",
        f"{base}/{digest}/deep/a.bin": b"bytes",
        "current/tracks/batch-000001": SPEC.version.encode(),
    }
    assert artifact.location == f"{bucket.location}/{base}"


def test_another_machine_finds_and_fetches_it(bucket_store, elsewhere):
    artifact, _ = bucket_store.produce(SPEC, write)
    same_artifact = elsewhere.need("tracks", "batch-000001")
    assert same_artifact.record == artifact.record
    assert elsewhere.partitions("tracks") == ["batch-000001"]
    assert elsewhere.assets() == ["tracks"]
    assert not elsewhere.home.cache.exists()  # nothing is fetched before it is asked for
    assert (same_artifact.folder / "deep" / "a.bin").read_bytes() == b"bytes"
    assert same_artifact.folder.is_relative_to(elsewhere.home.root)
    _, is_new = elsewhere.produce(SPEC, lambda work: pytest.fail("it is there"))
    assert not is_new


def test_what_was_made_here_is_not_fetched_again(bucket_store, monkeypatch):
    artifact, _ = bucket_store.produce(SPEC, write)
    monkeypatch.setattr(Bucket, "download", lambda *_: pytest.fail("it was fetched"))
    assert (artifact.folder / "b.bin").read_bytes() == b"b"
    assert (bucket_store.get(SPEC.reference).folder / "b.bin").read_bytes() == b"b"


@pytest.mark.parametrize("content", [b"bytes", b"other"])
def test_of_two_machines_at_once_one_wins_with_all_of_its_files(
    bucket_store, elsewhere, bucket, content
):
    """The other commits while we write; its bytes may differ in the last bit."""

    def write_slowly(work: Work) -> None:
        write(work)
        assert elsewhere.produce(SPEC, lambda other: write(other, content))[1]

    artifact, is_ours = bucket_store.produce(SPEC, write_slowly)
    assert not is_ours
    assert artifact.record == elsewhere.get(SPEC.reference).record
    assert (artifact.folder / "deep" / "a.bin").read_bytes() == content
    for store in (bucket_store, elsewhere):
        assert store.verify(artifact) == []
    assert len(bucket.listing()) == 4  # of the other one nothing is left
    assert not list(bucket_store.home.pending.rglob("*.bin"))


def test_many_machines_at_once(bucket_store, bucket, tmp_path):
    barrier = threading.Barrier(4)
    outcomes = []

    def produce(number: int) -> None:
        home = Home(tmp_path / f"m{number}", bucket_store.home.library, 1, bucket.location)
        store = ArtifactStore(home.create())

        def write_together(work: Work) -> None:
            write(work, b"%d" % number * 1000)
            barrier.wait(20)

        outcomes.append(store.produce(SPEC, write_together)[1])

    threads = [threading.Thread(target=produce, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False, False, False, True]
    assert bucket_store.verify(bucket_store.need("tracks", "batch-000001")) == []


def test_damage_in_the_bucket_is_found_and_never_cached(bucket_store, elsewhere, bucket):
    artifact, _ = bucket_store.produce(SPEC, write)
    key = f"artifacts/{SPEC.reference}/{artifact.record.digest[:32]}/b.bin"
    assert (artifact.folder / "b.bin").read_bytes() == b"b"
    bucket.put(key, b"X")
    assert bucket_store.verify(artifact) == [  # whatever the cache holds
        f"{bucket.location}/{key}: content differs from its recorded SHA-256"
    ]
    for damage in (lambda: None, lambda: bucket.delete(key)):
        damage()
        with pytest.raises(
            ArtifactCorrupt, match="missing, or differs from the committed"
        ) as caught:
            _ = elsewhere.get(SPEC.reference).folder
        assert caught.value.where == f"{bucket.location}/{key}"
        assert not elsewhere.folder(SPEC.reference).exists()
    for name in bucket.listing():
        if name.startswith(f"artifacts/{SPEC.reference}/"):
            bucket.delete(name)  # as the remedy says
    assert elsewhere.find(SPEC.reference) is None
    again, is_new = elsewhere.produce(SPEC, write)
    assert is_new
    assert elsewhere.verify(again) == []


def test_an_artifact_made_again_with_other_bytes_is_fetched_anew(bucket_store, elsewhere, bucket):
    bucket_store.produce(SPEC, write)
    assert (elsewhere.get(SPEC.reference).folder / "deep/a.bin").read_bytes() == b"bytes"
    bucket.delete(f"artifacts/{SPEC.reference}/{RECORD_NAME}")
    bucket_store.produce(SPEC, lambda work: write(work, b"newer"))
    assert (elsewhere.get(SPEC.reference).folder / "deep/a.bin").read_bytes() == b"newer"


def test_an_upload_that_is_cut_short_is_not_committed(bucket_store, monkeypatch):
    upload = Bucket.upload

    def lose(self: Bucket, path, key: str) -> None:
        upload(self, path, key)
        if key.endswith("b.bin"):
            self.write(key, b"")

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "upload", lose)
        with pytest.raises(StorageError, match="the bucket holds 0 of 1 uploaded bytes"):
            bucket_store.produce(SPEC, write)
    assert bucket_store.find(SPEC.reference) is None
    assert bucket_store.produce(SPEC, write)[1]


def test_a_bucket_that_does_not_answer_loses_nothing(bucket_store, monkeypatch):
    def outage(*_: object) -> None:
        raise BucketTrouble("no answer", where="there", remedy="wait")

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "create", outage)
        with pytest.raises(BucketTrouble, match="no answer"):
            bucket_store.produce(SPEC, write)
    assert bucket_store.find(SPEC.reference) is None
    assert bucket_store.produce(SPEC, write)[1]


def test_the_chain_is_verified_in_the_bucket(bucket_store, bucket, tmp_path):
    library = bucket_store.home.open_library()
    (tmp_path / "library" / "a.wav").write_bytes(b"sound")
    sha256 = library.sha256("a.wav")

    def write_tracks(work: Work) -> None:
        write(work)
        work.recordings.append(Recording(sha256[:32], sha256, "a.wav"))

    tracks, _ = bucket_store.produce(SPEC, write_tracks)
    model, _ = bucket_store.produce(Spec("models", "cnn", 1, (tracks.reference,)), write)
    assert trace(bucket_store, model).problems == []
    shutil.rmtree(bucket_store.home.cache)  # it takes no part in it
    assert trace(bucket_store, model).problems == []
    bucket.put(f"artifacts/{tracks.reference}/{tracks.record.digest[:32]}/b.bin", b"B")
    (problem,) = trace(bucket_store, model).problems
    assert problem.startswith(f"{bucket.location}/artifacts/{tracks.reference}/")


def test_a_recording_in_a_bucket_is_verified_there(bucket, tmp_path):
    bucket.put("songs/a.wav", b"sound")
    home = Home(tmp_path / "home", f"{bucket.location}/songs").create()
    assert open_home(home.root) == home
    assert not (home.root / "library").exists()  # a link to a bucket there is none
    store = ArtifactStore(home)
    sha256 = home.open_library().sha256("a.wav")
    (tracks, _) = store.produce(
        SPEC, lambda work: work.recordings.append(Recording(sha256[:32], sha256, "a.wav"))
    )
    assert trace(store, tracks).problems == []
    bucket.put("songs/a.wav", b"Sound")
    where = f"{bucket.location}/songs/a.wav"
    assert trace(store, tracks).problems == [
        f"{where}: its content has changed: the SHA-256 differs from the recorded one"
    ]
    bucket.delete("songs/a.wav")
    assert trace(store, tracks).problems == [
        f"{where}: missing, and no scan has recorded a deletion"
    ]


def test_an_artifact_is_found_by_any_of_its_names(bucket_store, bucket):
    artifact, _ = bucket_store.produce(SPEC, write)
    base = f"{bucket.location}/artifacts/{SPEC.reference}"
    for text, file in [
        ("tracks", None),
        ("tracks/batch-000001", None),
        (str(SPEC.reference), None),
        (f"{SPEC.reference}/deep/a.bin", "deep/a.bin"),
        (base, None),
        (f"{base}/record.json", None),
        (f"{base}/{artifact.record.digest[:32]}/deep", None),
        (f"{base}/{artifact.record.digest[:32]}/b.bin", "b.bin"),
        (str(artifact.folder), None),
        (str(artifact.folder / "b.bin"), "b.bin"),
    ]:
        assert find_artifact(bucket_store, text) == (artifact, file), text
    with pytest.raises(StorageError, match="there is no artifact") as caught:
        find_artifact(bucket_store, f"{base}/nothing.bin")
    assert "tracks/batch-000001" in caught.value.remedy


def test_a_home_keeps_to_its_store(bucket_store, bucket):
    root, library = bucket_store.home.root, bucket_store.home.library
    assert open_home(root).artifact_store == bucket.location
    for other in (None, "s3://another"):
        with pytest.raises(StorageError, match=f"keeps its artifacts in {bucket.location}"):
            Home(root, library, artifact_store=other).create()


def test_zarr_opens_a_store_straight_from_the_bucket(bucket_store, bucket):
    import zarr
    from obstore.store import S3Store
    from zarr.storage import ObjectStore

    values = np.random.default_rng(0).normal(-40, 9, (1500, 4)).astype(np.float16)

    def write_spectrograms(work: Work) -> None:
        writer = SpectrogramWriter(
            work.folder / "spectrograms.zarr",
            frequency=np.asarray([20, 100, 1000, 8000], np.float32),
            attributes={"hop": 1},
        )
        writer.append("aa" * 16, values)
        writer.close()

    spec = Spec("mel_spectrograms", "batch-000001", 1)
    artifact, _ = bucket_store.produce(spec, write_spectrograms)
    folder = f"artifacts/{spec.reference}/{artifact.record.digest[:32]}/spectrograms.zarr"
    remote = S3Store(
        bucket.name, prefix=f"deep/prefix/{folder}", client_options={"allow_http": True}
    )
    group = zarr.open_group(ObjectStore(remote, read_only=True), mode="r")
    np.testing.assert_array_equal(group["values"][:], values)
    # And training maps the fetched shard files into memory.
    (mapped,) = SpectrogramStore(artifact.folder / "spectrograms.zarr").track_ids
    assert mapped == "aa" * 16


def test_asking_for_what_cannot_be_a_reference(bucket_store):
    assert bucket_store.find(Reference("nothing", "p", "0" * 32)) is None
    assert bucket_store.partitions("nothing") == []
    assert bucket_store.assets() == []
