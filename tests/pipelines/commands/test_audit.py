"""`melgraph audit`, on the artifacts of a real run."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from mutagen.flac import FLAC

from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.library.tracks import GOOD, Tracks
from melgraph.ml.audio.payload import payload_digest
from melgraph.pipelines.cli import main
from melgraph.storage.artifacts import file_sha256
from melgraph.storage.catalogue import LibraryFile
from melgraph.storage.home import Home
from melgraph.storage.records import RECORD_NAME
from tests.conftest import HEAVY_MODULES, PATIENCE_S
from tests.pipelines.commands.chains import chain_of, dream_of, flip


@pytest.fixture
def audit(capsys):
    """Audit something; returns the exit status and what was output."""

    def run(what: object, *options: str) -> tuple[int, str]:
        status = main(["audit", str(what), *options])
        return status, "".join(capsys.readouterr())

    return run


def test_a_sound_ends_at_its_recording(made_home, audit):
    artifact, sound = dream_of(made_home)
    status, output = audit(sound)
    assert status == 0
    assert "as recorded" in output
    assert "NOT" not in output
    metadata = FLAC(sound)
    (source,) = metadata["melgraph_source"]
    sha256 = file_sha256(made_home.library / source)
    assert "source recordings (1):" in output
    assert f"  {source}  sha256 {sha256}  ok" in output.splitlines()
    assert metadata["melgraph_record"] == [str(artifact.reference)]
    digest = payload_digest(made_home.library / source)
    assert digest is not None
    assert metadata["melgraph_track_id"] == [digest[:32]]
    for link in chain_of(made_home):
        assert f"{link.reference}  ok  {len(link.record.files)} file(s)" in output


def test_every_way_of_naming_an_artifact(made_home, audit, monkeypatch):
    artifact, sound = dream_of(made_home)
    monkeypatch.setenv("MELGRAPH_HOME", str(made_home.root))
    for name in (artifact.reference, "dreams/deep-dream", "dreams", artifact.folder,
                 artifact.folder / RECORD_NAME, sound):  # fmt: skip
        status, output = audit(name)
        assert status == 0
        assert output.startswith(str(artifact.reference))
    monkeypatch.chdir(artifact.folder)
    assert audit(sound.name)[0] == 0


def test_every_artifact_can_be_audited(made_home, audit):
    for record in sorted(made_home.home.artifacts.glob("*/*/*/record.json")):
        assert audit(record.parent)[0] == 0


def test_a_flipped_byte_in_any_artifact_of_the_chain_is_named(home_copy, audit):
    home = home_copy()
    sound = dream_of(home)[1]
    assert len(chain_of(home)) >= 5
    for link in chain_of(home):
        name = sorted(link.record.files)[-1]
        before = flip(link.folder / name)
        status, output = audit(sound)
        assert status == 1
        assert f"{link.reference}  NOT AS RECORDED" in output
        assert f"  {link.folder / name}: content differs from its recorded SHA-256" in output
        assert "1 problem(s)" in output
        (link.folder / name).write_bytes(before)
    assert audit(sound)[0] == 0


def test_a_flipped_byte_in_any_record_of_the_chain_is_named(home_copy, audit):
    home = home_copy()
    sound = dream_of(home)[1]
    for link in chain_of(home):
        path = link.folder / RECORD_NAME
        middle = len(path.read_bytes()) // 2
        before = flip(path, middle)
        status, output = audit(sound)
        assert status == 1
        assert "NOT AS RECORDED" in output
        assert str(path) in output
        path.unlink()
        status, output = audit(sound)
        is_start = sound.is_relative_to(link.folder)
        assert status == (2 if is_start else 1)  # without its record it does not exist
        assert f"{link.folder}" in output or is_start
        path.write_bytes(before)
    assert audit(sound)[0] == 0


def test_a_source_that_is_changed_or_gone_is_named(home_copy, audit):
    home = home_copy(library=True)
    artifact, sound = dream_of(home)
    (recording,) = artifact.record.recordings
    source = home.library / recording.path
    places = [home.library / path for path in home.catalogue.locations(recording.track_id)]
    assert source in places
    for copy in set(places) - {source}:  # the same recording elsewhere would do
        copy.unlink()
    assert audit(sound)[0] == 0
    before = flip(source, source.stat().st_size // 2)
    status, output = audit(sound)
    assert status == 1
    assert (
        f"  {source}: its content has changed: the SHA-256 differs from the recorded one" in output
    )
    source.unlink()
    status, output = audit(sound)
    assert status == 1
    assert f"  {source}: missing, and no scan has recorded a deletion" in output
    assert home.melgraph("reproduce", str(sound)).returncode == 1
    home.catalogue.note_missing(home.catalogue.locations(recording.track_id))
    status, output = audit(sound)
    assert status == 0
    assert f"{recording.path}  sha256 {recording.sha256}  removed since" in output
    assert "1 source recording(s) were removed or replaced since" in output
    assert audit(sound, "--strict")[0] == 1
    ran = home.melgraph("reproduce", str(sound))
    assert ran.returncode == 1
    assert f"{recording.path}: removed since" in ran.stdout
    assert "package versions" not in ran.stdout
    source.write_bytes(before)
    assert audit(sound)[0] == 0


def test_a_file_that_no_dataset_uses_does_not_count(home_copy, audit):
    home = home_copy(library=True)
    quarantined = Tracks.current(home.store, "batch-000001").part(["path"], ~GOOD)
    (home.library / quarantined["path"][0]).write_bytes(b"changed")
    assert audit("datasets/genres", "--home", str(home.root))[0] == 0
    assert audit("tracks/batch-000001", "--home", str(home.root))[0] == 1  # it has a row of it
    used = Snapshot.current(home.store, "genres").used()["path"]
    flip(home.library / used[-1])
    assert audit("datasets/genres", "--home", str(home.root))[0] == 1


def test_the_pointers_and_the_catalogue_are_checked(home_copy, audit):
    home = home_copy()
    _, sound = dream_of(home)
    pointer = home.root / "artifacts" / "datasets" / "genres" / "current"
    before = flip(pointer)
    status, output = audit(sound)
    assert status == 1
    assert f"  {pointer}: " in output
    assert audit("datasets/genres", "--home", str(home.root))[0] == 1
    pointer.write_bytes(before)
    assert audit(sound)[0] == 0
    assert "not checked: the databases of Dagster and MLflow" in audit(sound)[1]
    home.home.catalogue.unlink()
    status, output = audit(sound)
    assert status == 1
    assert "the catalogue is missing; `melgraph run` rebuilds it" in output
    assert not home.home.catalogue.exists()


def test_a_source_that_moved_is_found_by_the_catalogue(home_copy, audit):
    home = home_copy(library=True)
    artifact, sound = dream_of(home)
    (recording,) = artifact.record.recordings
    moved = home.library / "moved.flac"
    for path in home.catalogue.locations(recording.track_id):
        shutil.move(home.library / path, moved)
    assert audit(sound)[0] == 1
    batch = home.catalogue.register_batch([LibraryFile("moved.flac", moved.stat().st_size, 1)])
    home.catalogue.identify(batch, [replace(recording, path="moved.flac")])
    assert audit(sound)[0] == 0
    flip(moved, moved.stat().st_size // 2)
    assert audit(sound)[0] == 1


def test_a_copy_of_a_sound_is_found_by_its_metadata(made_home, audit, tmp_path, monkeypatch):
    artifact, sound = dream_of(made_home)
    copy = tmp_path / "a gift.flac"
    shutil.copy(sound, copy)
    status, output = audit(copy, "--home", str(made_home.root))
    assert status == 0
    assert output.startswith(f"{artifact.reference}  file {sound.name}")
    flip(copy)
    status, output = audit(copy, "--home", str(made_home.root))
    assert status == 1
    assert "NOT AS RECORDED" in output
    assert str(copy) in output
    metadata = FLAC(sound)  # a sound of ours whose record is not of this home
    metadata["melgraph_record"] = f"dreams/deep-dream/{'0' * 32}"
    stray = tmp_path / "stray.flac"
    shutil.copy(sound, stray)
    metadata.save(stray)
    assert audit(stray, "--home", str(made_home.root))[0] == 2


def test_what_is_unknown_is_a_users_mistake(made_home, audit, tmp_path):
    (tmp_path / "song.wav").write_bytes(b"RIFF")
    for what in ("dreams/nope", "nope", f"dreams/deep-dream/{'0' * 32}", tmp_path / "song.wav"):
        status, output = audit(what, "--home", str(made_home.root))
        assert status == 2
        assert "there is no artifact" in output
        assert "dreams/deep-dream" in output


@pytest.mark.parametrize(
    ("what", "needed"),
    [("model", set()), ("sound", {"numpy", "polars"}), ("copy", {"numpy", "polars"})],
)
def test_an_audit_starts_at_once(made_home, tmp_path, what, needed):
    """An audit imports nothing heavy. Counted in imports, because seconds depend on the machine.

    That of a sound lists the tracks of a training, which are in a table.
    """
    sound = dream_of(made_home)[1] if what != "model" else "trained_models/small-cnn"
    if what == "copy":
        sound = shutil.copy(sound, tmp_path / "copy.flac")
    program = (
        "import json, sys; from melgraph.pipelines.cli import main; "
        f"status = main(['audit', {str(sound)!r}, '--home', {str(made_home.root)!r}]); "
        "print(json.dumps([status, sorted(sys.modules)]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    status, modules = json.loads(ran.stdout.splitlines()[-1])
    assert status == 0
    assert set(HEAVY_MODULES) & set(modules) == needed


def test_an_audit_of_nothing(refuse, tmp_path, library):
    assert "no melgraph home here" in refuse("audit", "tracks")
    Home(tmp_path / "home", library).create()
    for command in ("audit", "reproduce"):
        message = refuse(command, "--home", "home", "dreams/deep-dream")
        assert "there is no artifact 'dreams/deep-dream'" in message


def test_an_audit_that_could_mean_several_homes(refuse, tmp_path, library):
    for name in ("one", "two"):  # which of them is meant is not guessed
        Home(tmp_path / ".melgraph" / "home" / name, library).create()
    assert "there are 2 homes: one, two" in refuse("audit", "tracks")
