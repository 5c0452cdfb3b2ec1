"""The sensors, tick by tick."""

import hashlib
import os
import shutil
import time
from functools import partial
from pathlib import Path

import pytest
from dagster import (
    DagsterEvent,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    MultiPartitionKey,
    RunRequest,
    SensorResult,
    SkipReason,
    build_run_status_sensor_context,
    build_sensor_context,
)

from melgraph.assets.partitions import Partitions, track_batches
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import ONE, Stage
from melgraph.assets.stages import DUPLICATES, EMBEDDINGS, ENCODERS, PAGES, RECOMMENDATIONS
from melgraph.pipelines import sensors
from melgraph.pipelines.deployment import build_definitions
from melgraph.pipelines.intake import cut_batches, one_scanner, scan_library
from melgraph.storage.catalogue import Catalogue
from melgraph.storage.home import Home
from melgraph.storage.records import Recording
from tests.conftest import MadeHome

LONG_AGO = 1_600_000_000


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    (tmp_path / "songs").mkdir()
    monkeypatch.setenv("MELGRAPH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MELGRAPH_LIBRARY", str(tmp_path / "songs"))
    return Home(tmp_path / "home", tmp_path / "songs")


@pytest.fixture
def instance():
    with DagsterInstance.ephemeral() as instance:
        yield instance


def put(home: Home, *names: str, at: float = LONG_AGO) -> None:
    for name in names:
        (Path(home.library) / name).write_bytes(name.encode())
        os.utime(Path(home.library) / name, (at, at))


def put_in_service(made: MadeHome, *encoders: str) -> None:
    (made.root / "specs" / "encoders.toml").write_text(f"in_service = {list(encoders)}\n")


def tick(instance: DagsterInstance) -> SensorResult | SkipReason:
    """An evaluation after one that saw what is new: a file is taken at the second look."""
    if isinstance(answer := tick_once(instance), SensorResult):
        return answer
    return tick_once(instance)


def tick_once(instance: DagsterInstance) -> SensorResult | SkipReason:
    """One evaluation; what it asks of the instance is done, as the daemon does it."""
    with build_sensor_context(instance=instance, resources={"home": HomeResource()}) as context:
        answer = sensors.new_tracks(context)
    if isinstance(answer, SensorResult):
        for request in answer.dynamic_partitions_requests or []:
            instance.add_dynamic_partitions(
                request.partitions_def_name, list(request.partition_keys)
            )
    return answer


def requested(answer: SensorResult | SkipReason) -> list[str | None]:
    assert isinstance(answer, SensorResult), answer
    return [request.partition_key for request in answer.run_requests or []]


def test_new_files_are_requested_once(home, instance):
    put(home, "a.mp3", "b.mp3")
    answer = tick(instance)
    assert requested(answer) == ["batch-000001"]
    (request,) = answer.run_requests
    assert request.run_key == "ingest batch-000001"
    (added,) = answer.dynamic_partitions_requests
    assert added.partitions_def_name == track_batches.name
    assert list(added.partition_keys) == ["batch-000001"]
    files = Catalogue(home.catalogue).batch_files("batch-000001")
    assert [file.path for file in files] == ["a.mp3", "b.mp3"]

    again = tick(instance)
    assert isinstance(again, SkipReason)
    assert again.skip_message == "no file to ingest: 2 audio files listed, 0 new"

    put(home, "c.mp3")
    assert requested(tick(instance)) == ["batch-000002"]


def test_a_file_is_taken_when_two_ticks_saw_it_alike(home, instance):
    put(home, "a.mp3")
    answer = tick_once(instance)
    assert isinstance(answer, SkipReason)
    assert answer.skip_message == (
        "no file to ingest: 1 audio files listed, 0 new, 1 still being written"
    )
    assert requested(tick_once(instance)) == ["batch-000001"]


def test_what_became_of_known_files_is_noted_and_starts_nothing(home, instance):
    put(home, "a.mp3", "deleted.mp3")
    assert requested(tick(instance)) == ["batch-000001"]
    catalogue = Catalogue(home.catalogue)
    catalogue.identify(
        "batch-000001",
        [
            Recording(sha256[:32], sha256, name)
            for name in ("a.mp3", "deleted.mp3")
            for sha256 in [hashlib.sha256(name.encode()).hexdigest()]
        ],
    )
    (Path(home.library) / "a.mp3").rename(Path(home.library) / "c.mp3")
    (Path(home.library) / "deleted.mp3").unlink()
    first, second = tick_once(instance), tick_once(instance)
    assert isinstance(first, SkipReason)
    assert isinstance(second, SkipReason)
    assert first.skip_message == (
        "no file to ingest; the catalogue was updated: "
        "1 audio files listed, 0 new, 1 gone, 1 still being written"
    )
    assert second.skip_message == (
        "no file to ingest; the catalogue was updated: 1 audio files listed, 0 new, 1 moved"
    )
    assert catalogue.moved_paths() == {"c.mp3": ["batch-000001", "a.mp3"]}
    assert catalogue.missing_paths() == ["a.mp3", "deleted.mp3"]


def test_a_deletion_that_comes_alone_is_followed(home_copy, instance, monkeypatch):
    """Duplicates, then recommendations, then pages: each when the one before it has ended."""
    copied = home_copy(library=True)
    put_in_service(copied, "mel-statistics")
    monkeypatch.setenv("MELGRAPH_HOME", str(copied.root))
    instance.add_dynamic_partitions(str(track_batches.name), copied.catalogue.batches())
    cursor = None

    def next_tick() -> list[tuple[str | None, str | None]]:
        nonlocal cursor
        with build_sensor_context(
            instance=instance, cursor=cursor, resources={"home": HomeResource()}
        ) as context:
            answer = sensors.new_tracks(context)
            cursor = context.cursor
        if isinstance(answer, SkipReason):
            return []
        return [(request.job_name, request.partition_key) for request in answer.run_requests or []]

    def materialize(stage: Stage, partition: str = ONE) -> None:
        context = copied.context
        context.store.produce(stage.plan(context, partition), partial(stage.write, context.store))

    for stage in (DUPLICATES, PAGES):  # the copy has other encoders in service, so pages differ
        materialize(stage)
    assert [next_tick() for _ in range(2)] == [[], []]
    (copied.library / deleted(copied)).unlink()
    assert next_tick() == [("deduplication", None)]
    run = instance.create_run_for_job(
        build_definitions(copied.context.specs).resolve_job_def("deduplication"),
        status=DagsterRunStatus.STARTED,
    )
    assert next_tick() == []  # it is under way
    materialize(DUPLICATES)
    instance.report_run_canceled(run)
    assert next_tick() == [("recommending", "mel-statistics")]
    materialize(RECOMMENDATIONS, "mel-statistics")
    assert next_tick() == [("publishing", None)]
    assert [next_tick() for _ in range(2)] == [[], []]


def test_a_broken_toml_file_is_no_failure_of_the_tick(home, instance):
    home.create()
    (home.specs / "experiments").mkdir(parents=True)
    (home.specs / "experiments" / "mine.toml").write_text("titel = 1")
    answer = tick_once(instance)
    assert isinstance(answer, SkipReason)
    assert "no file to ingest; results were not updated: " in answer.skip_message
    assert "mine.toml" in answer.skip_message


def deleted(copied: MadeHome) -> str:
    """A good track of the home, to be deleted."""
    states = copied.catalogue.path_states()
    return min(path for path in states if path.startswith("blues/"))


def test_an_unsettled_file_is_left_for_later(home, instance):
    put(home, "a.mp3", at=time.time())
    answer = tick(instance)
    assert isinstance(answer, SkipReason)
    assert "1 still being written" in answer.skip_message
    put(home, "a.mp3")
    assert requested(tick(instance)) == ["batch-000001"]


def test_a_crash_before_the_request_is_made_good(home, instance, monkeypatch):
    put(home, "a.mp3")

    def crash(self, keys):
        raise RuntimeError("the daemon was killed")

    with monkeypatch.context() as patch:
        patch.setattr(type(track_batches), "build_add_request", crash)
        with pytest.raises(RuntimeError, match="killed"):
            tick(instance)
    assert Catalogue(home.catalogue).batches() == ["batch-000001"]  # registered, not requested
    assert requested(tick(instance)) == ["batch-000001"]
    assert isinstance(tick(instance), SkipReason)


def test_many_files_are_spread_over_ticks(home, instance, monkeypatch):
    monkeypatch.setattr(sensors, "BATCHES_PER_TICK", 2)
    monkeypatch.setattr(
        sensors, "cut_batches",
        lambda catalogue, scan, most, cut=sensors.cut_batches: cut(
            catalogue, scan, batch_size=1, most=most
        ),
    )  # fmt: skip
    put(home, *(f"{n}.mp3" for n in range(5)))
    assert isinstance(tick_once(instance), SkipReason)
    assert [len(requested(tick(instance))) for _ in range(3)] == [2, 2, 1]
    assert isinstance(tick(instance), SkipReason)


def test_what_melgraph_run_has_ingested_is_not_requested(home, instance):
    put(home, "a.mp3")
    catalogue = Catalogue(home.create().catalogue)
    keys = cut_batches(catalogue, scan_library(home, catalogue, look_again_s=0.0))
    instance.add_dynamic_partitions(str(track_batches.name), keys)
    assert isinstance(tick(instance), SkipReason)


def test_two_never_cut_the_same_files(home, instance):
    put(home, "a.mp3")
    with one_scanner(home.create()):  # as `melgraph run` does it
        answer = tick(instance)
    assert isinstance(answer, SkipReason)
    assert "is being written by process" in answer.skip_message
    assert Catalogue(home.catalogue).batches() == []
    assert requested(tick(instance)) == ["batch-000001"]


def test_a_library_that_is_gone_is_told(home, instance):
    put(home, "a.mp3")
    tick(instance)
    shutil.rmtree(home.library)
    answer = tick(instance)
    assert isinstance(answer, SkipReason)
    assert "the library does not exist" in answer.skip_message
    assert str(home.library) in answer.skip_message
    assert "remedy: " in answer.skip_message


def after(
    sensor, instance: DagsterInstance, job: str, tags: dict[str, str], loaded=None, **resources
) -> list:
    """What a run-status sensor answers to the success of a run."""
    run = DagsterRun(job_name=job, run_id="7" * 32, tags=tags)
    context = build_run_status_sensor_context(
        sensor_name=sensor.name,
        dagster_event=DagsterEvent(event_type_value="PIPELINE_SUCCESS", job_name=job),
        dagster_instance=instance,
        dagster_run=run,
        resources=resources,
        repository_def=loaded,
    )
    return list(sensor(context) or [])


def test_a_batch_is_embedded_by_every_encoder_in_service(home_copy, instance, monkeypatch):
    copied = home_copy()
    monkeypatch.setenv("MELGRAPH_HOME", str(copied.root))
    put_in_service(copied, "mel-statistics", "small-cnn")
    tags = {"dagster/partition": "batch-000001"}
    answers = after(sensors.batch_ingested, instance, "ingest", tags, home=HomeResource())
    instance.add_dynamic_partitions(str(track_batches.name), ["batch-000001"])
    keys = [answer.partition_key for answer in answers]
    assert keys == ["mel-statistics|batch-000001", "small-cnn|batch-000001"]
    partitions = Partitions(copied.context.specs).bind(EMBEDDINGS.asset()).partitions_def
    assert partitions is not None
    assert set(keys) == set(partitions.get_partition_keys(dynamic_partitions_store=instance))
    assert len({answer.run_key for answer in answers}) == 2


def test_without_an_encoder_nothing_is_embedded(home, instance):
    home.create()
    tags = {"dagster/partition": "batch-000001"}
    (answer,) = after(sensors.batch_ingested, instance, "ingest", tags, home=HomeResource())
    assert isinstance(answer, SkipReason)
    assert "no encoder is in service" in answer.skip_message


def test_a_batch_is_searched_for_duplicates(instance):
    tags = {"dagster/partition": "batch-000001"}
    (answer,) = after(sensors.batch_to_compare, instance, "ingest", tags)
    assert isinstance(answer, RunRequest)
    assert answer.partition_key is None  # all that is new by then, in one run


def write_fusion(copied: MadeHome) -> list[str]:
    """Add the fusion `joined`. Returns its parts."""
    parts = ["audio-features", "mel-statistics"]
    path = copied.root / "specs" / "encoders" / "joined.toml"
    path.write_text(f'title = "x"\nkind = "fusion"\nparts = {parts}\n')
    return parts


def tags_of_embedding(encoder: str, batch: str) -> dict[str, str]:
    key = MultiPartitionKey({"encoder": encoder, "track_batch": batch})
    return {f"dagster/partition/{name}": value for name, value in key.keys_by_dimension.items()}


def test_an_embedded_batch_joins_its_encoders_index(home_copy, instance, monkeypatch):
    monkeypatch.setenv("MELGRAPH_HOME", str(home_copy().root))
    tags = tags_of_embedding("small-cnn", "batch-000002")
    (answer,) = after(sensors.batch_embedded, instance, "embedding", tags, home=HomeResource())
    assert isinstance(answer, RunRequest)
    assert (answer.job_name, answer.partition_key) == ("recommending", "small-cnn")


def test_a_broken_toml_file_does_not_keep_the_index_from_following(home, instance):
    home.create()
    (home.specs / "experiments").mkdir(parents=True)
    (home.specs / "experiments" / "mine.toml").write_text("titel = 1")
    tags = tags_of_embedding("small-cnn", "batch-000002")
    (answer,) = after(sensors.batch_embedded, instance, "embedding", tags, home=HomeResource())
    assert answer.partition_key == "small-cnn"


def test_a_batch_is_embedded_with_a_fusion_after_its_parts(home_copy, instance, monkeypatch):
    """Whatever part is the last, also if several finish at once, and never twice."""
    copied, batch = home_copy(), "batch-000001"
    parts = write_fusion(copied)
    put_in_service(copied, "joined", "small-cnn")
    monkeypatch.setenv("MELGRAPH_HOME", str(copied.root))
    context = copied.context
    store = context.store

    def materialize(stage: Stage, partition: str) -> None:
        store.produce(stage.plan(context, partition), partial(stage.write, store))

    def embedded(encoder: str) -> list[tuple[str | None, str | None]]:
        """The requests after an embedding: partition and key of each but the recommendations."""
        tags = tags_of_embedding(encoder, batch)
        first, *others = after(
            sensors.batch_embedded, instance, "embedding", tags, home=HomeResource()
        )
        assert (first.job_name, first.partition_key) == ("recommending", encoder)
        assert all(request.job_name == "embedding" for request in others)
        return [(request.partition_key, request.run_key) for request in others]

    materialize(ENCODERS, "joined")
    ingested = after(
        sensors.batch_ingested,
        instance,
        "ingest",
        {"dagster/partition": batch},
        home=HomeResource(),
    )
    assert [request.partition_key for request in ingested] == [
        f"{name}|{batch}" for name in (*parts, "small-cnn")
    ]
    represented = after(
        sensors.batch_represented, instance, "representing", {"dagster/partition": batch},
        home=HomeResource(),
    )  # fmt: skip
    assert isinstance(represented[0], SkipReason)
    pointer = copied.root / "artifacts" / "embeddings" / f"audio-features+{batch}" / "current"
    version = pointer.read_text()
    pointer.unlink()
    assert embedded("mel-statistics") == []  # audio-features has not embedded the batch yet
    pointer.write_text(version)
    (request,) = embedded("audio-features")
    assert request[0] == f"joined|{batch}"
    assert embedded("mel-statistics") == [request]  # both were the last: one key, so one run
    assert embedded("small-cnn") == []  # it is no part
    materialize(EMBEDDINGS, f"joined+{batch}")
    assert embedded("mel-statistics") == []
    assert embedded("joined") == []


def test_a_fusion_that_is_frozen_to_an_older_part_is_not_requested(
    home_copy, instance, monkeypatch
):
    copied, batch = home_copy(), "batch-000001"
    write_fusion(copied)
    put_in_service(copied, "joined")
    monkeypatch.setenv("MELGRAPH_HOME", str(copied.root))
    context = copied.context
    store = context.store
    store.produce(ENCODERS.plan(context, "joined"), partial(ENCODERS.write, store))
    other = copied.root / "specs" / "encoders" / "mel-statistics.toml"
    other.write_text('title = "Another title"\nkind = "mel_statistics"\n')
    newer = copied.context
    for stage, name in ((ENCODERS, "mel-statistics"), (EMBEDDINGS, f"mel-statistics+{batch}")):
        store.produce(stage.plan(newer, name), partial(stage.write, store))
    tags = tags_of_embedding("mel-statistics", batch)
    (answer,) = after(sensors.batch_embedded, instance, "embedding", tags, home=HomeResource())
    assert answer.job_name == "recommending"


@pytest.mark.parametrize("job", ["training", "clustering", "recommending", "dreaming"])
def test_the_pages_follow_what_they_show(instance, job):
    (answer,) = after(sensors.something_to_show, instance, job, {})
    assert isinstance(answer, RunRequest)
    assert answer.partition_key is None
    (answer,) = after(sensors.something_to_show, instance, job, {"dagster/backfill": "abc"})
    assert isinstance(answer, SkipReason)


@pytest.mark.parametrize("job", ["publishing", "encoding"])
def test_the_pages_do_not_follow_themselves(instance, job):
    (answer,) = after(sensors.something_to_show, instance, job, {})
    assert isinstance(answer, SkipReason)


def test_what_an_encoder_reads_beyond_the_usual_is_made_first(home_copy, instance, monkeypatch):
    """A tagger hears waveforms: made for a new batch by a run of its own, then embedded."""
    copied = home_copy()
    put_in_service(copied, "mel-statistics", "tiny-tagger")
    monkeypatch.setenv("MELGRAPH_HOME", str(copied.root))
    tags = {"dagster/partition": "batch-000001"}
    embed, represent = after(sensors.batch_ingested, instance, "ingest", tags, home=HomeResource())
    assert (embed.job_name, embed.partition_key) == ("embedding", "mel-statistics|batch-000001")
    assert (represent.job_name, represent.partition_key) == ("representing", "batch-000001")
    assert [key.to_user_string() for key in represent.asset_selection] == ["waveforms"]
    (idle,) = after(sensors.batch_represented, instance, "representing", tags, home=HomeResource())
    assert "no encoder waited for a representation" in idle.skip_message
    made = copied.root / "artifacts" / "embeddings" / "tiny-tagger+batch-000001" / "current"
    made.unlink()
    (late,) = after(sensors.batch_represented, instance, "representing", tags, home=HomeResource())
    assert (late.job_name, late.partition_key) == ("embedding", "tiny-tagger|batch-000001")


def test_an_encoder_that_is_not_loaded_yet_does_not_stop_the_others(
    home_copy, instance, monkeypatch
):
    copied = home_copy()
    monkeypatch.setenv("MELGRAPH_HOME", str(copied.root))
    put_in_service(copied, "mel-statistics")
    loaded = build_definitions(copied.context.specs).get_repository_def()
    put_in_service(copied, "mel-statistics", "small-cnn")  # while Dagster runs
    tags = {"dagster/partition": "batch-000001"}
    answers = after(
        sensors.batch_ingested, instance, "ingest", tags, loaded=loaded, home=HomeResource()
    )
    assert [answer.partition_key for answer in answers] == ["mel-statistics|batch-000001"]
