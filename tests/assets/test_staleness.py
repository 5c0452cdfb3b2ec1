"""Staleness from the records: exact where Dagster's graph is not."""

from dataclasses import replace

from melgraph.assets.materialize import describe
from melgraph.assets.stages import EMBEDDINGS, TRAINED_MODELS
from melgraph.assets.staleness import spec_differences, stale_artifacts, visible_inputs
from melgraph.storage.records import Reference, Spec

EXTENDING = """\
title = "Starts from the trained small CNN: for tests"
dataset = "genres"
model = { architecture = "small_cnn", weights = "small-cnn" }
training = { epochs = 1 }
"""


def reference(asset: str, partition: str, digit: str = "a") -> Reference:
    return Reference(asset, partition, digit * 32)


def test_differences_of_two_specs():
    inputs = (
        reference("datasets", "genres"),
        reference("tracks", "batch-1"),
        reference("duplicates", "all"),
    )
    old = Spec("datasets", "genres", 1, inputs, {"a": {"b": 1, "c": [1]}, "gone": "y"}, 0)
    new = replace(
        old,
        stage=2,
        seed=3,
        inputs=(
            reference("datasets", "genres", "b"),  # the parent of a snapshot is no reason
            reference("tracks", "batch-1", "b"),
            *(reference("tracks", f"batch-{n}") for n in (2, 3, 4, 5, 6)),
        ),
        config={"a": {"b": 2, "c": [1]}, "long": "z" * 100},
    )
    assert list(spec_differences(old, new)) == [
        "the stage integer of its code was 1 and is 2",
        "the seed was 0 and is 3",
        "it was made from another version of tracks batch-1",
        "it was not made from tracks batch-2, batch-3, batch-4 and 2 more, which is there now",
        "it was made from duplicates all, which it would not use now",
        "a.b was 1 and is 2",
        "gone was 'y' and is absent",
        f"long was absent and is '{'z' * 56}...",
    ]
    assert list(spec_differences(old, old)) == []


def test_changes_of_the_library_are_one_sentence_per_kind():
    """Not one per column of each file: a library of which all was retagged has thousands."""
    old = Spec("datasets", "x", 1, (), {"missing": ["back.flac"], "moved": {}}, 0)  # of old code
    paths = [f"rock/{n}.flac" for n in range(5)]
    config = {
        "missing": ["gone.flac", "old.flac"],
        "moved": {"new.flac": ["batch-000001", "old.flac"]},  # so old.flac was not deleted
        "retagged": {path: {"artist": "A", "sha256": "0"} for path in paths},
    }
    new = replace(old, config=config)
    assert list(spec_differences(old, new)) == [
        "2 file(s) were deleted or came back since: back.flac, gone.flac",
        "1 file(s) were moved since: new.flac",
        "5 file(s) have new file metadata since: rock/0.flac, rock/1.flac, rock/2.flac and 2 more",
    ]


def test_nothing_of_a_fresh_home_is_stale(made_home):
    assert stale_artifacts(made_home.context) == []


def test_a_model_that_starts_from_another_model(home_copy):
    """Dagster cannot draw an edge between two partitions of one asset that one of them uses."""
    home = home_copy()
    specs = home.root / "specs" / "experiments"
    (specs / "second.toml").write_text(EXTENDING)
    home.store.produce(TRAINED_MODELS.plan(home.context, "second"), lambda work: None)
    assert "second" not in {one.reference.partition for one in stale_artifacts(home.context)}
    first = specs / "small-cnn.toml"
    first.write_text(first.read_text() + "seed = 7\n")
    (reasons,) = (
        one.reasons
        for one in stale_artifacts(home.context)
        if one.reference.asset == TRAINED_MODELS.name and one.reference.partition == "second"
    )
    assert reasons == ("it was made from trained_models small-cnn, which is stale",)


def test_what_cannot_be_made_any_more_says_why(home_copy):
    home = home_copy()
    (home.root / "specs" / "studies" / "tiny.toml").unlink()
    study, pages = stale_artifacts(home.context)
    assert study.reference.asset == "study_reports"
    assert study.reasons == ("it could not be made now: unknown study 'tiny'",)
    assert pages.reasons == ("it was made from study_reports tiny, which is stale",)


def test_the_metadata_name_the_inputs_that_the_graph_does_not_draw(made_home):
    """The encoder of the tabular features is not in service by default."""
    artifact = made_home.store.need(EMBEDDINGS.name, "audio-features+batch-000001")
    metadata = describe(artifact, EMBEDDINGS, is_new=False).metadata
    rows = [row.strip("| ").split(" | ") for row in metadata["made from"].value.splitlines()]
    assert [(row[0], row[-1]) for row in rows[2:]] == [
        (r"audio\_features", "no"),
        ("encoders", "yes"),
    ]


def test_the_inputs_of_a_study_are_those_of_its_trials(made_home):
    report = made_home.store.need("study_reports", "tiny")
    assets = {reference.asset for reference in visible_inputs(made_home.store, report)}
    assert assets == {"datasets", "mel_spectrograms"}
