import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.storage.errors import ArtifactCorrupt, NewerFormat, StorageError
from melgraph.storage.records import (
    FORMAT,
    Record,
    Recording,
    Reference,
    Spec,
    canonical_json,
    parse_record,
    parse_reference,
    partition_name,
)

WHERE = Path("home/artifacts/record.json")
names = st.from_regex(r"[a-z0-9][a-z0-9._+-]{0,12}", fullmatch=True)
versions = st.text("0123456789abcdef", min_size=32, max_size=32)
texts = st.text(st.characters(codec="utf-8"), max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
configs = st.dictionaries(texts, json_values, max_size=4)
references = st.builds(Reference, names, names, versions)
specs = st.builds(
    Spec,
    asset=names,
    partition=names,
    stage=st.integers(0, 99),
    inputs=st.lists(references, max_size=3).map(tuple),
    config=configs,
    seed=st.none() | st.integers(0, 2**63),
)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
recordings = st.builds(
    Recording,
    track_id=st.none() | versions,
    sha256=st.none() | digests,
    path=texts,
    files=st.lists(texts, max_size=2).map(tuple),
)
records = st.builds(
    Record,
    spec=specs,
    files=st.dictionaries(texts, st.tuples(digests, st.integers(0, 2**60)), max_size=3),
    input_digests=st.dictionaries(texts, digests, max_size=2),
    recordings=st.lists(recordings, max_size=2).map(tuple),
    facts=configs,
    run=st.dictionaries(texts, st.none() | texts, max_size=2),
    environment=configs,
    started_at=texts,
    finished_at=texts,
)

RECORD = Record(
    spec=Spec(
        "mel_spectrograms",
        "batch-000001",
        2,
        (Reference("tracks", "batch-000001", "0123456789abcdef" * 2),),
        {"n_fft": 2048, "floor_db": -80.5, "name": "mél", "nested": {"a": [1, None, True]}},
        seed=7,
    ),
    files={"values/c/0/0": ("ab" * 32, 1024), "zarr.json": ("cd" * 32, 7)},
    input_digests={"tracks/batch-000001/" + "0123456789abcdef" * 2: "ef" * 32},
    recordings=(Recording("12" * 16, "34" * 32, "blues/a.mp3", ("values/c/0/0",)),),
    facts={"tracks": 3},
    run={"dagster_run_id": None},
    environment={"python": "3.11.1"},
    started_at="2024-01-01T00:00:00.000001+00:00",
    finished_at="2024-01-01T00:00:01.000001+00:00",
)


def reordered(value):
    """The same JSON value with every object's keys in the opposite order."""
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


@settings(max_examples=40)
@given(specs, st.randoms(use_true_random=False))
def test_the_version_depends_on_no_order(spec, random):
    inputs = list(spec.inputs)
    random.shuffle(inputs)
    other = replace(spec, inputs=tuple(inputs), config=reordered(dict(spec.config)))
    assert other.version == spec.version
    assert len(spec.version) == 32
    assert spec.reference == Reference(spec.asset, spec.partition, spec.version)


@settings(max_examples=40)
@given(specs, names, references, texts)
def test_every_field_changes_the_version(spec, name, reference, key):
    changed = [
        replace(spec, asset=spec.asset + name),
        replace(spec, partition=spec.partition + name),
        replace(spec, stage=spec.stage + 1),
        replace(spec, inputs=(*spec.inputs, reference)),
        replace(spec, config={**spec.config, key: [spec.config.get(key)]}),
        replace(spec, seed=0 if spec.seed is None else None),
    ]
    assert len({spec.version, *(other.version for other in changed)}) == 1 + len(changed)


def test_the_version_is_the_same_on_every_machine():
    # Written down once: a change of the hash would make everything ever made stale.
    assert RECORD.spec.version == "5401ea77a32bd08de994dc94457301e5"


def test_values_that_json_spells_differently_are_different():
    versions = {Spec("a", "b", 1, config={"x": x}).version for x in (1, 1.0, True, "1", None, [1])}
    assert len(versions) == 6


@settings(max_examples=50)
@given(records)
def test_a_record_survives_its_round_trip(record):
    data = record.to_bytes()
    read = parse_record(data, where=WHERE)
    assert read == record
    assert read.to_bytes() == data
    assert read.digest == record.digest
    assert read.spec.version == record.spec.version


def test_keys_that_are_numbers_survive_the_round_trip():
    # 2 < 10, but "10" < "2": such a record could once be written and never be read.
    record = replace(
        RECORD, spec=Spec("a", "b", 1, config={2: "x", 10: "y"}), facts={10: 1, 2: 2, None: 3}
    )
    read = parse_record(record.to_bytes(), where=WHERE)
    assert read.spec.version == record.spec.version
    assert read.facts == {"10": 1, "2": 2, "null": 3}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": float("-inf")}])
def test_what_json_cannot_spell_is_refused(value):
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(value)


def test_the_content_digest_is_changed_by_name_bytes_and_size():
    others = [
        {"b": ("0" * 64, 1)},
        {"a": ("1" * 64, 1)},
        {"a": ("0" * 64, 2)},
        {"a": ("0" * 64, 1), "b": ("0" * 64, 1)},
    ]
    digests = {replace(RECORD, files=files).digest for files in others}
    assert len(digests | {replace(RECORD, files={"a": ("0" * 64, 1)}).digest}) == 5


def assert_detected(data: bytes) -> None:
    with pytest.raises((ArtifactCorrupt, NewerFormat)) as caught:
        parse_record(data, where=WHERE)
    assert type(caught.value) in (ArtifactCorrupt, NewerFormat)
    assert str(WHERE) in str(caught.value)


def test_every_single_flipped_bit_is_detected():
    data = RECORD.to_bytes()
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            assert_detected(bytes(damaged))


@settings(max_examples=100)
@given(records, st.data())
def test_any_wrong_byte_of_any_record_is_detected(record, draw):
    data = bytearray(record.to_bytes())
    position = draw.draw(st.integers(0, len(data) - 1))
    data[position] ^= draw.draw(st.integers(1, 255))
    assert_detected(bytes(data))


@given(st.data())
def test_a_truncated_or_lengthened_record_is_detected(draw):
    data = RECORD.to_bytes()
    assert_detected(data[: draw.draw(st.integers(0, len(data) - 1))])
    assert_detected(data + draw.draw(st.binary(min_size=1, max_size=8)))


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"null", b"3", b'{"format": Infinity}', b'{"format": 1}',
     b'{"format": 1, "spec": []}', b'{"format": 1, "spec": {"inputs": ["a/b"]}}'],
)  # fmt: skip
def test_what_is_no_record_is_refused(data):
    assert_detected(data)


def test_a_record_that_was_edited_by_hand_is_detected():
    body = json.loads(RECORD.to_bytes())
    body["facts"]["tracks"] = 4
    text = json.dumps(body, sort_keys=True, indent=1, ensure_ascii=False)
    assert_detected(text.encode() + b"\n")


def test_a_newer_format_is_refused_with_the_remedy():
    body = json.loads(RECORD.to_bytes())
    body["format"] = FORMAT + 1
    with pytest.raises(NewerFormat, match=rf"format {FORMAT + 1}.*up to {FORMAT}") as caught:
        parse_record(json.dumps(body).encode(), where=WHERE)
    assert "upgrade melgraph" in caught.value.remedy


@pytest.mark.parametrize(
    "name", ["", "../x", "..", ".", "a/b", "A", "aB", "-a", ".a", "a b", "a\n", "ä", "a\0"]
)
def test_bad_names_are_refused(name):
    for asset, partition in [(name, "b"), ("a", name)]:
        with pytest.raises(StorageError, match="cannot name an artifact") as caught:
            Spec(asset, partition, 1)
        assert "lower-case" in caught.value.remedy


@given(references)
def test_references_are_spelled_and_read(reference):
    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize("text", ["", "a", "a/b", "a/b/c/d"])
def test_what_is_no_reference_is_refused(text):
    with pytest.raises(ValueError, match="values to unpack"):
        parse_reference(text)


def test_partitions_are_named_in_order_of_dimension():
    assert partition_name("batch-000001") == "batch-000001"
    assert partition_name({"tracks": "batch-000001", "encoder": "cnn"}) == "cnn+batch-000001"
