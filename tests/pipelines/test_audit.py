"""`melgraph audit` and `melgraph reproduce`, on what a real run has made."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mutagen.flac import FLAC

from melgraph.pipelines.cli import main
from melgraph.storage.artifacts import Artifact, file_sha256
from melgraph.storage.catalogue import LibraryFile
from melgraph.storage.records import RECORD_NAME
from tests.conftest import MadeHome

HEAVY = ("torch", "dagster", "polars", "mlflow", "zarr", "numpy", "pydantic", "pandas", "sklearn")


def dream_of(home: MadeHome) -> tuple[Artifact, Path]:
    artifact = home.store.need("dreams", "deep-dream")
    (sound,) = artifact.facts["sounds"]
    return artifact, artifact.folder / sound["files"]["dream"]


def chain_of(home: MadeHome) -> list[Artifact]:
    """The dream and all that it was made from."""
    found, waiting = {}, [dream_of(home)[0]]
    while waiting:
        artifact = waiting.pop()
        found[artifact.reference] = artifact
        waiting += [home.store.get(reference) for reference in artifact.record.spec.inputs]
    return list(found.values())


def flip(path: Path, at: int = -1) -> bytes:
    """Change one byte of a file. Returns what it held."""
    data = path.read_bytes()
    changed = bytearray(data)
    changed[at] ^= 1
    path.write_bytes(changed)
    return data


@pytest.fixture
def audit(capsys):
    """Audit something; returns the exit status and what was said."""

    def run(what: object, *options: str) -> tuple[int, str]:
        status = main(["audit", str(what), *options])
        return status, "".join(capsys.readouterr())

    return run


def test_a_sound_ends_at_its_recording(made_home, audit):
    artifact, sound = dream_of(made_home)
    status, said = audit(sound)
    assert status == 0
    assert "as recorded" in said
    assert "NOT" not in said
    tags = FLAC(sound)
    (source,) = tags["melgraph_source"]
    sha256 = file_sha256(made_home.library / source)
    assert "source recordings (1):" in said
    assert f"  {source}  sha256 {sha256}  ok" in said.splitlines()
    assert tags["melgraph_record"] == [str(artifact.reference)]
    assert tags["melgraph_track_id"] == [sha256[:32]]
    for link in chain_of(made_home):
        assert f"{link.reference}  ok  {len(link.record.files)} file(s)" in said


def test_every_way_of_naming_an_artifact(made_home, audit, monkeypatch):
    artifact, sound = dream_of(made_home)
    monkeypatch.setenv("MELGRAPH_HOME", str(made_home.root))
    for name in (artifact.reference, "dreams/deep-dream", "dreams", artifact.folder,
                 artifact.folder / RECORD_NAME, sound):  # fmt: skip
        status, said = audit(name)
        assert status == 0
        assert said.startswith(str(artifact.reference))
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
        status, said = audit(sound)
        assert status == 1
        assert f"{link.reference}  NOT AS RECORDED" in said
        assert f"  {link.folder / name}: content differs from its recorded SHA-256" in said
        assert "1 problem(s)" in said
        (link.folder / name).write_bytes(before)
    assert audit(sound)[0] == 0


def test_a_flipped_byte_in_any_record_of_the_chain_is_named(home_copy, audit):
    home = home_copy()
    sound = dream_of(home)[1]
    for link in chain_of(home):
        path = link.folder / RECORD_NAME
        middle = len(path.read_bytes()) // 2
        before = flip(path, middle)
        status, said = audit(sound)
        assert status == 1
        assert "NOT AS RECORDED" in said
        assert str(path) in said
        path.unlink()
        status, said = audit(sound)
        is_start = sound.is_relative_to(link.folder)
        assert status == (2 if is_start else 1)  # without its record it does not exist
        assert f"{link.folder}" in said or is_start
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
    before = flip(source)
    status, said = audit(sound)
    assert status == 1
    assert f"  {source}: changed since: its SHA-256 is not the recorded one" in said
    source.unlink()
    status, said = audit(sound)
    assert status == 1
    assert f"  {source}: missing" in said
    source.write_bytes(before)
    assert audit(sound)[0] == 0


def test_a_source_that_moved_is_found_by_the_catalogue(home_copy, audit):
    home = home_copy(library=True)
    artifact, sound = dream_of(home)
    (recording,) = artifact.record.recordings
    moved = home.library / "moved.flac"
    for path in home.catalogue.locations(recording.track_id):
        shutil.move(home.library / path, moved)
    assert audit(sound)[0] == 1
    batch = home.catalogue.register_batch([LibraryFile("moved.flac", moved.stat().st_size, 1)])
    home.catalogue.identify(batch, {"moved.flac": recording.track_id})
    assert audit(sound)[0] == 0
    flip(moved)
    assert audit(sound)[0] == 1


def test_a_sound_that_left_the_home_is_found_by_its_tags(made_home, audit, tmp_path, monkeypatch):
    artifact, sound = dream_of(made_home)
    copy = tmp_path / "a gift.flac"
    shutil.copy(sound, copy)
    status, said = audit(copy, "--home", str(made_home.root))
    assert status == 0
    assert said.startswith(f"{artifact.reference}  file {sound.name}")
    flip(copy)
    status, said = audit(copy, "--home", str(made_home.root))
    assert status == 1
    assert "NOT AS RECORDED" in said
    assert str(copy) in said
    tags = FLAC(sound)  # a sound of ours whose record is not of this home
    tags["melgraph_record"] = f"dreams/deep-dream/{'0' * 32}"
    stray = tmp_path / "stray.flac"
    shutil.copy(sound, stray)
    tags.save(stray)
    assert audit(stray, "--home", str(made_home.root))[0] == 2


def test_what_is_unknown_is_a_users_mistake(made_home, audit, tmp_path):
    (tmp_path / "song.wav").write_bytes(b"RIFF")
    for what in ("dreams/nope", "nope", f"dreams/deep-dream/{'0' * 32}", tmp_path / "song.wav"):
        status, said = audit(what, "--home", str(made_home.root))
        assert status == 2
        assert "no artifact answers to" in said
        assert "dreams/deep-dream" in said


@pytest.mark.parametrize("inside", [True, False])
def test_an_audit_starts_at_once(made_home, tmp_path, inside):
    """Counted in imports, not in seconds: none that is heavy, from the command to the answer."""
    sound = dream_of(made_home)[1]
    if not inside:
        sound = shutil.copy(sound, tmp_path / "copy.flac")
    program = (
        "import json, sys; from melgraph.pipelines.cli import main; "
        f"status = main(['audit', {str(sound)!r}, '--home', {str(made_home.root)!r}]); "
        "print(json.dumps([status, sorted(sys.modules)]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    status, modules = json.loads(ran.stdout.splitlines()[-1])
    assert status == 0
    assert sorted(set(HEAVY) & set(modules)) == []


def test_reproduce(made_home, capsys, monkeypatch):
    artifact, sound = dream_of(made_home)
    assert main(["reproduce", str(sound)]) == 0
    assert f"the same bytes: {len(artifact.record.files)} file(s)" in capsys.readouterr().out

    from melgraph.assets.kinds import KINDS

    write = KINDS["dreams"]

    def write_otherwise(store, work):
        write(store, work)
        flip(work.folder / sound.name)

    monkeypatch.setitem(KINDS, "dreams", write_otherwise)
    assert main(["reproduce", str(sound)]) == 1
    said = capsys.readouterr().out
    assert f"1 of {len(artifact.record.files)} file(s) differ:\n  {sound.name}\n" in said
    assert "recorded on: " in said
    assert audit_problems(made_home) == []  # it was made aside


def test_what_lacks_an_input_cannot_be_reproduced(home_copy, capsys):
    home = home_copy()
    shutil.rmtree(home.home.artifacts / "trained_models")
    assert main(["reproduce", str(dream_of(home)[1])]) == 2
    assert "remedy: materialize trained_models for small-cnn" in capsys.readouterr().err


def audit_problems(home: MadeHome) -> list[str]:
    return [problem for link in chain_of(home) for problem in home.store.verify(link)]
