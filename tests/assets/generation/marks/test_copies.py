"""A copy outside of the home: which sound it is, and what is wrong with it."""

import pytest
from mutagen.flac import FLAC

from melgraph.assets.generation.marks.copies import Comparison, SoundCopy
from melgraph.assets.generation.marks.exports import choose_sound
from melgraph.assets.generation.marks.signing import home_credential, statement_of
from melgraph.ml.credentials.certificates import self_made_credential
from melgraph.ml.credentials.manifests import sign
from melgraph.ml.generation.copies import FORMATS, LOSSLESS

FIRST = "01-t-1.dream.flac"


@pytest.fixture
def export(store, dreams, tmp_path):
    """Writes a copy of the first sound, signed by a credential if one is given."""

    def write(file_format, credential=None, change=lambda data: data):
        sound = choose_sound(store, dreams, FIRST, None)
        data = sound.copy(file_format, to_sign=credential is not None)
        if credential is not None:
            data = sign(data, file_format, statement_of(sound), credential)
        path = tmp_path / f"copy.{file_format}"
        path.write_bytes(change(data))
        return SoundCopy(path, store.home)

    return write


def flip_middle(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[len(data) // 2] ^= 1
    return bytes(changed)


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_copy_names_its_record_and_holds(dreams, store, export, file_format):
    for credential in (None, home_credential(store.home)):
        copy = export(file_format, credential)
        assert copy.reference == str(dreams.reference)
        assert copy.file_in(dreams) == FIRST
        comparison = Comparison(copy, dreams, FIRST)
        assert comparison.problems == []
        kind, mark, signature = comparison.lines()
        expected = "its samples are those" if file_format in LOSSLESS else "lossy"
        assert expected in kind
        assert "compositeWithTrainedAlgorithmicMedia" in mark
        assert ("holds; signed by" in signature) == (credential is not None)
    assert "this home has made" in signature


@pytest.mark.parametrize("file_format", FORMATS)
def test_one_flipped_byte_of_a_signed_copy_is_a_problem(dreams, store, export, file_format):
    copy = export(file_format, home_credential(store.home), flip_middle)
    comparison = Comparison(copy, dreams, FIRST)
    problem = comparison.problems[-1]
    assert str(copy.path) in problem
    assert "not those that were signed" in problem
    assert "DOES NOT HOLD" in list(comparison.lines())[-1]


def test_another_home_is_another_signer(dreams, export):
    comparison = Comparison(export("wav", self_made_credential()), dreams, FIRST)
    assert comparison.problems == []
    assert "self-made and proves no identity" in list(comparison.lines())[-1]


def test_a_copy_of_another_sound_is_a_problem(dreams, export):
    (problem,) = Comparison(export("wav", change=flip_middle), dreams, FIRST).problems
    assert "its samples are not those of the recorded sound" in problem


def test_changed_provenance_is_a_problem(dreams, export):
    copy = export("flac")
    metadata = FLAC(copy.path)
    metadata["melgraph_source"] = "another.wav"
    metadata["title"] = "My title"  # anyone may change this one
    metadata.save()
    (problem,) = Comparison(copy, dreams, FIRST).problems
    assert "melgraph_source='another.wav', recorded 'Été 1.wav'" in problem


def test_a_manifest_that_is_gone_is_missed(dreams, store, export):
    def remove(data: bytes) -> bytes:
        before, _, after = data.rpartition(b"C2PA")  # the name of its chunk
        return before + b"junk" + after

    copy = export("wav", home_credential(store.home), remove)
    assert copy.manifest is None
    (problem,) = Comparison(copy, dreams, FIRST).problems
    assert "it was signed, but its manifest is gone" in problem


def test_a_copy_without_the_name_of_its_file_is_found_by_its_samples(dreams, export):
    copy = export("flac")
    metadata = FLAC(copy.path)
    del metadata["melgraph_file"]
    metadata.save()
    assert SoundCopy(copy.path, copy.home).file_in(dreams) == FIRST


def test_the_manifest_names_the_record_if_the_file_metadata_do_not(dreams, store, export):
    signed = export("wav", home_credential(store.home))
    signed.path.write_bytes(signed.data.replace(b"melgraph_record", b"melgraph_nobody"))
    copy = SoundCopy(signed.path, store.home)
    assert copy.reference == str(dreams.reference)
    assert any(
        "not those that were signed" in one for one in Comparison(copy, dreams, FIRST).problems
    )


def test_a_file_that_is_no_sound_names_nothing(store, tmp_path):
    (tmp_path / "x.bin").write_bytes(b"RIFF")
    copy = SoundCopy(tmp_path / "x.bin", store.home)
    assert (copy.reference, copy.manifest, copy.file_format) == (None, None, None)
