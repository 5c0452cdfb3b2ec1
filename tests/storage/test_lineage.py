import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from melgraph.storage.artifacts import Artifact, ArtifactStore, Work, file_sha256
from melgraph.storage.catalogue import Catalogue, LibraryFile
from melgraph.storage.errors import ArtifactCorrupt, ArtifactMissing
from melgraph.storage.lineage import Source, trace
from melgraph.storage.named_artifacts import find_artifact
from melgraph.storage.outside import outside_path, remember_place
from melgraph.storage.records import RECORD_NAME, Recording, Spec

SOUNDS = {"blues/a.wav": b"a" * 50, "rock/b.wav": b"b" * 60, "rock/c.wav": b"c" * 70}


MISSING = "missing, and no scan has recorded a deletion"
CHANGED = "its content has changed: the SHA-256 differs from the recorded one"


def recording(store: ArtifactStore, path: str, *files: str) -> Recording:
    sha256 = file_sha256(Path(store.home.library) / path)
    return Recording(sha256[:32], sha256, path, files)


def produce(
    store: ArtifactStore, asset: str, partition: str, *inputs: Artifact, **options
) -> Artifact:
    """An artifact of two files, the second below a folder."""

    def write(work: Work) -> None:
        (work.folder / "deep").mkdir()
        (work.folder / "a.bin").write_bytes(asset.encode() + options.get("content", b""))
        (work.folder / "deep" / "b.bin").write_bytes(partition.encode() * 3)
        work.recordings.extend(options.get("recordings", []))

    spec = Spec(asset, partition, options.get("stage", 1), tuple(a.reference for a in inputs))
    return store.produce(spec, write)[0]


@pytest.fixture
def chain(store: ArtifactStore) -> dict[str, Artifact]:
    """Two batches of tracks -> their spectrograms -> a model of both, which also reads tracks."""
    for path, sound in SOUNDS.items():
        (Path(store.home.library) / path).parent.mkdir(exist_ok=True)
        (Path(store.home.library) / path).write_bytes(sound)
    a, b, c = (recording(store, path) for path in SOUNDS)
    lost = Recording(None, None, "lost.wav")  # could not be read when it was catalogued
    tracks_1 = produce(store, "tracks", "batch-000001", recordings=[a, b])
    tracks_2 = produce(store, "tracks", "batch-000002", recordings=[c, lost])
    mel_1 = produce(store, "mel", "batch-000001", tracks_1)
    mel_2 = produce(store, "mel", "batch-000002", tracks_2)
    model = produce(store, "model", "cnn", mel_1, mel_2, tracks_1)
    return {
        "tracks_1": tracks_1, "tracks_2": tracks_2, "mel_1": mel_1, "mel_2": mel_2, "model": model
    }  # fmt: skip


def test_the_chain_ends_at_the_recordings(store, chain):
    links = []
    full_chain = trace(store, chain["model"], on_link=links.append)
    assert full_chain.problems == []
    assert links == full_chain.links
    names = {artifact.reference: name for name, artifact in chain.items()}
    assert [(link.depth, names[link.reference], link.repeated) for link in full_chain.links] == [
        (0, "model", False),
        (1, "mel_1", False),
        (2, "tracks_1", False),
        (1, "mel_2", False),
        (2, "tracks_2", False),
        (1, "tracks_1", True),  # shared, and verified only once
    ]
    assert [s.recording.path for s in full_chain.sources] == [*sorted([*SOUNDS, "lost.wav"])]
    assert trace(store, chain["mel_1"]).sources == [
        Source(recording(store, "blues/a.wav"), "blues/a.wav"),
        Source(recording(store, "rock/b.wav"), "rock/b.wav"),
    ]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_wrong_byte_anywhere_is_named(store, chain, draw):
    files = sorted(
        [path for path in store.home.artifacts.rglob("*") if path.is_file()]
        + [Path(store.home.library) / path for path in SOUNDS]
    )
    path = draw.draw(st.sampled_from([path for path in files if path.name != "current"]))
    good = path.read_bytes()
    bad = bytearray(good)
    bad[draw.draw(st.integers(0, len(bad) - 1))] ^= draw.draw(st.integers(1, 255))
    try:
        path.write_bytes(bytes(bad))
        # The model's own record is read by whoever asks for it; here it is as it was.
        problems = trace(store, chain["model"]).problems
        if path == chain["model"].folder / RECORD_NAME:
            with pytest.raises(ArtifactCorrupt):
                find_artifact(store, str(path))
        else:
            assert problems
            assert all(str(path) in problem for problem in problems)
    finally:
        path.write_bytes(good)
    assert trace(store, chain["model"]).problems == []


def test_a_missing_input_is_named_once_and_the_rest_is_still_verified(store, chain):
    shutil.rmtree(chain["tracks_1"].folder)
    (chain["mel_2"].folder / "a.bin").write_bytes(b"x")
    full_chain = trace(store, chain["model"])
    assert full_chain.problems == [
        f"{chain['tracks_1'].folder}: the artifact or its record is missing",
        f"{chain['mel_2'].folder}/a.bin: 1 bytes, recorded 3",
    ]
    assert [s.recording.path for s in full_chain.sources] == ["lost.wav", "rock/c.wav"]


def test_an_input_made_again_with_other_bytes_is_noticed(store, chain):
    old = chain["mel_1"]
    shutil.rmtree(old.folder)
    new = produce(store, "mel", "batch-000001", chain["tracks_1"], content=b"another machine")
    assert new.reference == old.reference
    assert store.verify(new) == []
    assert trace(store, new).problems == []  # it is as recorded in itself ...
    assert trace(store, chain["model"]).problems == [  # ... but the model was made from others
        f"{old.folder}: differs from the input of the artifact above"
    ]


def test_a_recording_that_moved_is_found_where_it_is(store, chain):
    library = Path(store.home.library)
    catalogue = Catalogue(store.home.catalogue)
    (library / "new").mkdir()
    (library / "rock" / "b.wav").rename(library / "new" / "place.wav")
    assert trace(store, chain["mel_1"]).problems == [f"{library}/rock/b.wav: {MISSING}"]
    batch = catalogue.register_batch([LibraryFile("new/place.wav", 60, 1)])
    moved = recording(store, "new/place.wav")
    catalogue.identify(batch, [moved])
    full_chain = trace(store, chain["mel_1"], locate=catalogue.locations)
    assert full_chain.problems == []
    places = [source.place for source in full_chain.sources if source.has_moved]
    assert places == ["new/place.wav"]
    # The other place holds other bytes by now: the recording is still missing, not changed.
    (library / "new" / "place.wav").write_bytes(b"other")
    assert trace(store, chain["mel_1"], locate=catalogue.locations).problems == [
        f"{library}/rock/b.wav: {MISSING}"
    ]


def test_a_recording_that_changed_or_is_gone_is_named(store, chain):
    library = Path(store.home.library)
    (library / "blues" / "a.wav").write_bytes(b"A" * 50)
    (library / "rock" / "b.wav").unlink()
    assert trace(store, chain["model"]).problems == [
        f"{library}/blues/a.wav: {CHANGED}",
        f"{library}/rock/b.wav: {MISSING}",
    ]


def test_what_the_catalogue_knows_is_no_problem(store, chain):
    """Removed, replaced: each has its word. A recording that should be there is a problem."""
    library = Path(store.home.library)
    catalogue = Catalogue(store.home.catalogue)
    for number, tracks in enumerate(("tracks_1", "tracks_2"), start=1):
        recordings = [r for r in chain[tracks].record.recordings if r.track_id]
        files = [LibraryFile(r.path, (library / r.path).stat().st_size, 1) for r in recordings]
        assert catalogue.register_batch(files) == f"batch-{number:06d}"
        catalogue.identify(f"batch-{number:06d}", recordings)

    def since() -> dict[str, str | None]:
        full_chain = trace(
            store, chain["model"], explain=lambda r: catalogue.fate(r.path, r.track_id or "")
        )
        assert [s for s in full_chain.sources if s.since] == full_chain.lost
        return {s.recording.path: s.since or s.problem for s in full_chain.sources if not s.place}

    (library / "blues" / "a.wav").unlink()
    (library / "rock" / "b.wav").write_bytes(b"another take")
    (library / "rock" / "c.wav").write_bytes(b"damaged")
    assert set(since().values()) - {None} == {
        f"{library}/blues/a.wav: {MISSING}",
        f"{library}/rock/b.wav: {CHANGED}",
        f"{library}/rock/c.wav: {CHANGED}",
    }
    catalogue.note_missing(["blues/a.wav"])
    catalogue.register_batch([LibraryFile("rock/b.wav", 12, 2)])
    assert since() == {
        "lost.wav": None,
        "blues/a.wav": "removed",
        "rock/b.wav": "replaced",
        "rock/c.wav": f"{library}/rock/c.wav: {CHANGED}",
    }


def test_only_recordings_that_were_used_count(store, chain):
    """A dataset selects tracks; an artifact that reads it uses only these of whole batches."""
    library = Path(store.home.library)
    a, b, c = (recording(store, path).track_id for path in SOUNDS)
    dataset = produce(store, "datasets", "genres", chain["tracks_1"], chain["tracks_2"])
    model = produce(store, "model", "of-dataset", dataset, chain["mel_1"])
    vectors = produce(store, "embeddings", "batch-000001", model, chain["mel_1"])
    for path in SOUNDS:
        (library / path).unlink()

    def used(artifact: Artifact) -> set[str] | None:
        return {"datasets": {a}, "tracks": {a, c}}.get(artifact.reference.asset)

    def missing(artifact: Artifact) -> list[str]:
        return [s.recording.path for s in trace(store, artifact, used=used).sources if s.problem]

    assert missing(dataset) == missing(model) == ["blues/a.wav"]
    assert missing(chain["model"]) == ["blues/a.wav", "rock/c.wav"]  # b was not good
    assert missing(vectors) == ["blues/a.wav"]
    assert len(trace(store, chain["model"]).problems) == 3
    assert b not in {s.recording.track_id for s in trace(store, model, used=used).sources}


def test_a_damaged_pointer_is_a_problem(store, chain):
    pointer = store.root / "mel" / "batch-000001" / "current"
    version = pointer.read_bytes()
    for content, what in [
        (bytes([version[0] ^ 64]) + version[1:], "is damaged"),
        (b"0" * 32, "which does not exist"),
        (None, "is missing"),
    ]:
        pointer.unlink()
        if content is not None:
            pointer.write_bytes(content)
        (problem,) = trace(store, chain["model"]).problems
        assert problem.startswith(f"{pointer}: ")
        assert what in problem
        pointer.write_bytes(version)
    assert trace(store, chain["model"]).problems == []


def test_two_recordings_that_were_at_one_path_are_both_sources(store, chain):
    path = Path(store.home.library) / "blues" / "a.wav"
    path.write_bytes(b"another take")
    newer = produce(store, "tracks", "batch-000003", recordings=[recording(store, "blues/a.wav")])
    both = produce(store, "model", "both", newer, chain["tracks_1"])
    full_chain = trace(store, both)
    assert [s.recording.path for s in full_chain.sources] == [
        "blues/a.wav",
        "blues/a.wav",
        "rock/b.wav",
    ]
    assert full_chain.problems == [f"{path}: {CHANGED}"]


def test_only_the_recordings_of_the_file_asked_about_are_its_sources(store, chain):
    a, b = (recording(store, p, f) for p, f in [("blues/a.wav", "a.bin"), ("rock/b.wav", "b.bin")])
    dream = produce(store, "dreams", "recipe", chain["model"], recordings=[a, b])
    assert [s.recording for s in trace(store, dream, file="a.bin").sources] == [a]
    assert [s.recording for s in trace(store, dream).sources] == [a, b]
    assert [s.recording for s in trace(store, dream, file="report.html").sources] == [a, b]


# ---- what a user means


def test_an_artifact_is_found_by_every_name_it_has(store, chain, monkeypatch):
    mel, model = chain["mel_1"], chain["model"]
    for text in (
        str(mel.reference),
        "mel/batch-000001",
        "mel/batch-000001/",
        str(mel.folder),
        str(mel.folder.parent),  # the partition: its current version
        str(mel.folder / "deep"),
        str(mel.folder / RECORD_NAME),
    ):
        assert find_artifact(store, text) == (mel, None)
    assert find_artifact(store, str(mel.folder / "deep" / "b.bin")) == (mel, "deep/b.bin")
    assert find_artifact(store, f"{mel.reference}/a.bin") == (mel, "a.bin")
    assert find_artifact(store, "model") == (model, None)  # it has one partition
    assert find_artifact(store, str(model.folder.parent.parent)) == (model, None)
    monkeypatch.chdir(mel.folder)
    assert find_artifact(store, "deep/b.bin") == (mel, "deep/b.bin")
    assert find_artifact(store, "../../batch-000001") == (mel, None)
    assert find_artifact(store, "../../../model") == (model, None)
    assert find_artifact(store, "mel/batch-000001") == (mel, None)  # no path from here


def test_the_version_named_is_found_and_not_the_current_one(store, chain):
    old = chain["mel_1"]
    new = produce(store, "mel", "batch-000001", chain["tracks_1"], stage=2)
    assert find_artifact(store, "mel/batch-000001") == (new, None)
    assert find_artifact(store, str(old.reference)) == (old, None)
    assert find_artifact(store, str(old.folder / "a.bin")) == (old, "a.bin")


@pytest.mark.parametrize(
    "text",
    ["nothing", "mel", "mel/batch-000009", "mel/batch-000001/" + "0" * 32, "a/b/c/d", "/",
     "mel/batch-000001/current"],
)  # fmt: skip
def test_an_unknown_name_is_answered_with_the_known_names(store, chain, text):
    with pytest.raises(ArtifactMissing, match="there is no artifact") as caught:
        find_artifact(store, text)
    assert repr(text) in caught.value.what
    for name in ("mel/batch-000001", "mel/batch-000002", "model/cnn", "tracks/batch-000001"):
        assert name in caught.value.remedy


def test_an_empty_home_knows_nothing(store):
    with pytest.raises(ArtifactMissing) as caught:
        find_artifact(store, "tracks")
    assert "(none yet)" in caught.value.remedy


def test_work_that_is_not_committed_is_no_artifact(store):
    folder = store.home.pending / "tracks" / "batch-000001"
    folder.mkdir(parents=True)
    (folder / "a.bin").write_bytes(b"x")
    with pytest.raises(ArtifactMissing):
        find_artifact(store, str(folder / "a.bin"))


def test_a_damaged_record_is_said_to_be_damaged(store, chain):
    path = chain["mel_1"].folder / RECORD_NAME
    path.write_bytes(path.read_bytes().replace(b'"stage": 1', b'"stage": 2'))
    for text in (str(path), str(chain["mel_1"].reference), "mel/batch-000001"):
        with pytest.raises(ArtifactCorrupt):
            find_artifact(store, text)


def test_a_file_of_an_artifact_called_record_json_is_a_file_of_it(store, chain):
    def write(work: Work) -> None:
        (work.folder / "mlflow").mkdir()
        (work.folder / "mlflow" / RECORD_NAME).write_text("{}")

    artifact, _ = store.produce(Spec("checkpoint", "x", 1), write)
    assert "mlflow/record.json" in artifact.record.files
    match = find_artifact(store, str(artifact.folder / "mlflow" / RECORD_NAME))
    assert match == (artifact, "mlflow/record.json")


def test_a_copy_elsewhere_is_verified_by_its_own_bytes(store, chain, tmp_path):
    copy: Path = tmp_path / "backup" / "mel"
    shutil.copytree(chain["mel_1"].folder, copy)
    artifact, file = find_artifact(store, str(copy / "a.bin"))
    assert (artifact.folder, file) == (copy, "a.bin")
    assert trace(store, artifact).problems == []
    (copy / "a.bin").write_bytes(b"bad")
    assert trace(store, artifact).problems == [
        f"{copy}/a.bin: content differs from its recorded SHA-256"
    ]


def test_an_artifact_put_in_anothers_place_is_refused(store, chain):
    place = chain["mel_2"].folder
    shutil.rmtree(place)
    shutil.copytree(chain["mel_1"].folder, place)
    with pytest.raises(ArtifactCorrupt, match="belongs to mel/batch-000001"):
        find_artifact(store, str(place / "a.bin"))
    assert any(str(place) in problem for problem in trace(store, chain["model"]).problems)


def test_a_recording_that_was_retagged_is_as_recorded(store, chain):
    """Its sound is found by its track id, at its path or where it has moved to."""
    library = Path(store.home.library)
    asked: list[str] = []

    def identify(path: Path) -> str | None:
        asked.append(path.name)
        return ids.get(path.read_bytes())

    ids = {
        f"{name}, other metadata".encode(): recording(store, name).track_id
        for name in ("blues/a.wav", "rock/b.wav")
    }
    assert trace(store, chain["model"], identify=identify).problems == []
    assert asked == []  # only files with other bytes are asked
    (library / "blues/a.wav").write_bytes(b"blues/a.wav, other metadata")
    (library / "rock/b.wav").unlink()
    (library / "there.wav").write_bytes(b"rock/b.wav, other metadata")

    def locate(track_id: str) -> list[str]:
        return ["there.wav"] if track_id == recordings["rock/b.wav"].track_id else []

    sources = trace(store, chain["model"]).sources
    recordings = {source.recording.path: source.recording for source in sources}
    full_chain = trace(store, chain["model"], locate=locate, identify=identify)
    retagged = {s.recording.path: s.place for s in full_chain.sources if s.retagged}
    assert retagged == {"blues/a.wav": "blues/a.wav", "rock/b.wav": "there.wav"}
    assert full_chain.problems == []
    assert full_chain.lost == []
    (library / "blues/a.wav").write_bytes(b"another sound")
    assert trace(store, chain["model"], locate=locate, identify=identify).problems == [
        f"{library}/blues/a.wav: {CHANGED}"
    ]


def test_an_excerpt_excuses_only_what_enters_through_it(store, chain):
    """A batch needs the whole recording, whatever part of it another artifact has kept."""
    path = "blues/a.wav"
    excerpt = produce(store, "excerpts", "a", recordings=[recording(store, path, "a.bin")])
    sound = produce(
        store, "sounds", "a", excerpt, chain["model"],
        recordings=[recording(store, path, "a.bin")],
    )  # fmt: skip
    page = produce(store, "pages", "all", sound, chain["model"])
    (Path(store.home.library) / path).write_bytes(b"other")

    def of(start: Artifact) -> Source:
        found = trace(store, start, keeps_sound=lambda a: a.reference.asset == "excerpts")
        return next(source for source in found.sources if source.recording.path == path)

    assert of(page).problem == f"{store.home.open_library().where(path)}: {CHANGED}"
    assert of(sound).note == "not there as recorded; its excerpt is kept"


def test_a_pipe_where_a_recording_was_is_not_read(store, tmp_path):
    song = tmp_path / "song.wav"
    song.write_bytes(b"sound")
    sha256 = file_sha256(song)
    outside = Recording(sha256[:32], sha256, outside_path(song), ("a.bin",))
    sound = produce(store, "sounds", "a", recordings=[outside])
    remember_place(store.home, sha256, song)
    song.unlink()
    os.mkfifo(song)
    (source,) = trace(store, sound).sources
    assert source.since == "replaced"
