"""Which sound a user means, and the file metadata of its copy."""

from hashlib import sha256

import pytest
from mutagen.flac import FLAC

from melgraph.assets.generation.marks.exports import ExportedSound, choose_sound
from melgraph.assets.generation.sounds import Sounds
from melgraph.ml.errors import UserError
from melgraph.ml.generation.copies import FORMATS, read_tags
from melgraph.storage.errors import ArtifactCorrupt
from melgraph.storage.records import Spec

FIRST, SECOND = "01-t-1.dream.flac", "02-t-2.dream.flac"


def test_a_sound_is_named_by_its_file_or_its_number(store, dreams):
    assert choose_sound(store, dreams, SECOND, None).file == SECOND
    assert choose_sound(store, dreams, None, 1).file == FIRST


def test_a_number_beside_a_file_is_refused(store, dreams):
    with pytest.raises(UserError, match="a file is named already"):
        choose_sound(store, dreams, FIRST, 2)


@pytest.mark.parametrize("number", [None, 0, 3])
def test_the_sounds_are_listed_if_it_is_not_clear_which_is_meant(store, dreams, number):
    with pytest.raises(UserError, match=r"holds 2 sound\(s\)") as caught:
        choose_sound(store, dreams, None, number)
    assert f"1 {FIRST}, 2 {SECOND}" in caught.value.remedy


@pytest.mark.parametrize("file", ["01-t-1.original.flac", "01-t-1.guide.flac", "01-t-1.png"])
def test_an_excerpt_and_a_picture_are_no_generated_sounds(store, dreams, file):
    with pytest.raises(UserError, match="is no generated sound") as caught:
        choose_sound(store, dreams, file, None)
    assert FIRST in caught.value.remedy


def test_an_artifact_without_sounds_is_refused(store, dreams):
    spec = Spec("tracks", "batch-000001", 1)
    tracks, _ = store.produce(spec, lambda work: (work.folder / "x").write_text("x"))
    with pytest.raises(UserError, match="holds no generated sounds") as caught:
        choose_sound(store, tracks, None, None)
    assert "dreams/by-hand" in caught.value.remedy


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_copy_has_the_file_metadata_of_the_stored_sound(store, dreams, file_format):
    sound = choose_sound(store, dreams, FIRST, None)
    stored = read_tags(sound.data)
    assert read_tags(sound.copy(file_format, to_sign=False)) == stored
    assert stored["digital_source_type"].endswith("/compositeWithTrainedAlgorithmicMedia")
    assert stored["melgraph_file"] == FIRST
    signed = read_tags(sound.copy(file_format, to_sign=True))
    assert signed == {**stored, "melgraph_signed": "C2PA"}


def test_the_stored_sound_stays_as_it_is(store, dreams):
    sound = choose_sound(store, dreams, FIRST, None)
    assert sound.copy("flac", to_sign=False) == sound.data
    sound.copy("wav", to_sign=True)
    assert sha256(sound.data).hexdigest() == dreams.record.files[FIRST][0]
    assert store.verify(dreams) == []


def test_the_copy_of_a_sound_without_a_mark_gets_one(store, dreams):
    path = dreams.folder / FIRST
    metadata = FLAC(path)  # as an earlier melgraph wrote it
    del metadata["digital_source_type"], metadata["melgraph_file"]
    metadata.save(path)
    dreams.record.files[FIRST] = (sha256(path.read_bytes()).hexdigest(), path.stat().st_size)
    sound = ExportedSound(dreams, Sounds(store, dreams).rows[0], FIRST)
    tags = read_tags(sound.copy("flac", to_sign=False))
    assert tags["digital_source_type"].endswith("/compositeWithTrainedAlgorithmicMedia")
    assert tags["melgraph_file"] == FIRST


def test_the_recordings_are_the_source_and_the_guide(store, dreams):
    paths = {one.path for one in choose_sound(store, dreams, FIRST, None).recordings}
    assert paths == {"Été 1.wav", "guide.wav"}
    assert [one.path for one in choose_sound(store, dreams, SECOND, None).recordings] == [
        "Été 2.wav"
    ]


def test_a_stored_sound_that_is_damaged_or_gone_is_not_copied(store, dreams):
    path = dreams.folder / FIRST
    for spoil, message in (
        (lambda: path.write_bytes(b"x"), "differs from"),
        (path.unlink, "No such"),
    ):
        spoil()
        sound = ExportedSound(dreams, Sounds(store, dreams).rows[0], FIRST)
        with pytest.raises(ArtifactCorrupt, match=message) as caught:
            sound.copy("wav", to_sign=False)
        assert caught.value.where == str(path)
