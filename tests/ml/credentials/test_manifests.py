"""Signed manifests. What is signed here is verified by c2pa's own reader, with its own settings."""

import json
from io import BytesIO

import c2pa
import numpy as np
import pytest
import soundfile

from melgraph.ml.credentials import manifests
from melgraph.ml.credentials.certificates import SELF_MADE, self_made_credential
from melgraph.ml.credentials.manifests import (
    MIME_TYPES,
    PROVENANCE,
    Ingredient,
    Statement,
    read_manifest,
    sign,
)
from melgraph.ml.errors import UserError
from tests.ml.credentials.test_certificates import certificate_of, pem_of, read

TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"
SONG, GUIDE = Ingredient("rock/söng.wav", "ab" * 32), Ingredient("guide.flac", "cd" * 32, True)
FORMATS = sorted(MIME_TYPES)
OWN = self_made_credential()


def statement(ingredients=(SONG, GUIDE), *, is_composed: bool = False) -> Statement:
    term = "trainedAlgorithmicMedia" if is_composed else "compositeWithTrainedAlgorithmicMedia"
    record = {"record": "dreams/a/0", "recordings": [{"sha256": SONG.sha256, "start_s": 1.5}]}
    return Statement("A dream", "1.2", TERMS + term, "deep_dream", is_composed, ingredients, record)


def sound(file_format: str) -> bytes:
    noise, file = np.random.default_rng(0).normal(0, 0.1, (4410, 2)), BytesIO()
    soundfile.write(file, noise, 22050, format=file_format.upper())
    return file.getvalue()


def c2pa_report(signed: bytes, file_format: str, **settings) -> dict:
    """What c2pa's own reader says."""
    context = c2pa.Context.from_dict(settings)
    reader = c2pa.Reader(MIME_TYPES[file_format], BytesIO(signed), context=context)
    return json.loads(reader.json())


def flipped(data: bytes, position: int) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 1
    return bytes(changed)


@pytest.mark.parametrize("file_format", FORMATS)
def test_another_reader_verifies_the_copy_and_finds_one_flipped_byte(file_format):
    signed = sign(sound(file_format), file_format, statement(), OWN)
    report = c2pa_report(signed, file_format)
    assert report["validation_state"] == "Valid"
    assert [one["code"] for one in report["validation_status"]] == ["signingCredential.untrusted"]
    trusted = c2pa_report(signed, file_format, trust={"trust_anchors": OWN.root.decode()})
    assert trusted["validation_state"] == "Trusted"
    in_the_sound = len(sound(file_format)) // 2 + (0 if file_format == "wav" else 5000)
    altered = c2pa_report(flipped(signed, in_the_sound), file_format)
    assert altered["validation_state"] == "Invalid"
    codes = {one["code"] for one in altered["validation_status"]}
    assert "assertion.dataHash.mismatch" in codes


@pytest.mark.parametrize("file_format", FORMATS)
def test_the_samples_are_those_of_the_sound(file_format):
    before, after = sound(file_format), sign(sound(file_format), file_format, statement(), OWN)
    samples = [soundfile.read(BytesIO(data), dtype="int32")[0] for data in (before, after)]
    assert np.array_equal(*samples)


def test_an_edit_opens_its_source_and_has_its_guide_as_an_input():
    report = c2pa_report(sign(sound("flac"), "flac", statement(), OWN), "flac")
    manifest = report["manifests"][report["active_manifest"]]
    assert manifest["title"] == "A dream"
    (generator,) = manifest["claim_generator_info"]
    assert (generator["name"], generator["version"]) == ("melgraph", "1.2")
    ingredients = {one["title"]: one for one in manifest["ingredients"]}
    assert ingredients[SONG.title]["instance_id"] == f"sha256:{SONG.sha256}"
    assert ingredients[SONG.title]["relationship"] == "parentOf"
    assert ingredients[GUIDE.title]["relationship"] == "inputTo"
    assertions = {one["label"]: one["data"] for one in manifest["assertions"]}
    opened, edited = assertions["c2pa.actions.v2"]["actions"]
    assert (opened["action"], edited["action"]) == ("c2pa.opened", "c2pa.edited")
    assert edited["digitalSourceType"] == f"{TERMS}compositeWithTrainedAlgorithmicMedia"
    assert edited["description"] == "deep_dream"
    assert assertions["org.melgraph.provenance"] == statement().provenance


def test_a_composition_is_created():
    signed = sign(sound("wav"), "wav", statement((SONG,), is_composed=True), OWN)
    report = c2pa_report(signed, "wav")
    assert report["validation_state"] == "Valid"
    manifest = report["manifests"][report["active_manifest"]]
    (ingredient,) = manifest["ingredients"]
    assert ingredient["relationship"] == "inputTo"
    (actions,) = (one for one in manifest["assertions"] if one["label"] == "c2pa.actions.v2")
    (created,) = actions["data"]["actions"]
    assert created["action"] == "c2pa.created"
    assert created["digitalSourceType"] == f"{TERMS}trainedAlgorithmicMedia"


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_manifest_is_read_with_its_signer_and_its_statement(file_format):
    unsigned = sound(file_format)
    assert read_manifest(unsigned, file_format) is None
    signed = sign(unsigned, file_format, statement(), OWN)
    manifest = read_manifest(signed, file_format)
    assert manifest.problems == ()
    assert SELF_MADE in manifest.signer
    assert manifest.provenance == statement().provenance
    assert not manifest.is_anchored
    assert read_manifest(signed, file_format, roots=OWN.root).is_anchored
    assert not read_manifest(signed, file_format, roots=self_made_credential().root).is_anchored


def test_a_flipped_byte_in_the_sound_the_statement_the_signature_or_the_padding_is_found():
    signed = sign(sound("wav"), "wav", statement(), OWN)
    padding = signed.rindex(b"\x63pad")
    for position, problem in (
        (1000, "not those that were signed"),
        (signed.index(b"deep_dream"), "statement in the manifest"),
        (signed.index(b"dreams/a/0"), "statement in the manifest"),
        (len(signed) - 20, "manifest is not the one that was signed"),
        (padding + 200, "zeros"),
    ):
        manifest = read_manifest(flipped(signed, position), "wav")
        assert any(problem in one for one in manifest.problems), (position, manifest)


def test_damage_anywhere_in_a_manifest_raises_no_error():
    signed = sign(sound("flac"), "flac", statement(), OWN)
    for position in range(0, 4600, 23):  # the manifest is at the start of a FLAC file
        read_manifest(flipped(signed, position), "flac")


def test_a_certificate_that_may_not_sign_documents_is_refused():
    key, root = (c2pa_key() for _ in range(2))
    credential = read(certificate_of(key, root, "root"), pem_of(key))  # without any key usage
    with pytest.raises(UserError, match="cannot be signed") as caught:
        sign(sound("wav"), "wav", statement(), credential)
    assert "digital signature" in caught.value.remedy


def c2pa_key():
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize("file_format", FORMATS)
def test_bytes_behind_a_signed_copy_are_no_part_of_its_signature(file_format):
    """Audio follows the manifest, and may hold any bytes."""
    signed = sign(sound(file_format), file_format, statement(), OWN)
    for end in (b"\x63pad", b"\x63pad\x59", b"\x63pad\x59\x00\x05hello", b"c2pa.signature\0cbor"):
        manifest = read_manifest(signed + end, file_format)
        assert manifest is not None
        assert "zeros" not in " ".join(manifest.problems)


def test_a_statement_that_is_no_table_is_as_good_as_none():
    manifest = {
        "assertions": [{"label": PROVENANCE, "data": ["record"]}], "signature_info": None
    }  # fmt: skip
    report = {"manifests": {"a": manifest}, "active_manifest": "a", "validation_state": "Valid"}
    assert manifests._manifest(report, has_padding=True).provenance == {}
