"""The staged runner: cost follows what is new, and what cannot be done says why."""

import io
import json
import re
import signal
import time
from functools import partial
from pathlib import Path

import dagster
import polars as pl
import pytest
import soundfile
from dagster._core.errors import DagsterExecutionInterruptedError

from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.embeddings import embeddings
from melgraph.assets.materialize import readable_references
from melgraph.assets.models import leaderboard
from melgraph.assets.models.tracking.tracker import Tracker
from melgraph.assets.recommendations import recommendations
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import ONE
from melgraph.assets.stages import EMBEDDINGS, ENCODERS, LEADERBOARD, RECOMMENDATIONS, STAGES
from melgraph.ml.errors import UserError
from melgraph.ml.sample_library import render_track
from melgraph.pipelines.cli import main
from melgraph.pipelines.deployment import build_definitions
from melgraph.pipelines.instance import open_instance
from melgraph.pipelines.plan import Planner, Step
from melgraph.pipelines.runner import DONE, FAILED, SKIPPED, THERE, Report, _execute, run_stages
from melgraph.pipelines.summary import summarise
from melgraph.storage.home import Home
from melgraph.storage.records import RECORD_NAME, Spec
from melgraph.storage.spectrogram_store import SpectrogramStore
from melgraph.storage.tables import read_table
from melgraph.storage.test_reads import list_test_reads
from tests.conftest import PATIENCE_S, MadeHome

RATE = 22050


@pytest.fixture
def home_copy(home_copy):
    """Of the encoders of the made home two are in service: the others would take time alone."""

    def copy(**options: bool) -> MadeHome:
        copied = home_copy(**options)
        toml = 'in_service = ["mel-statistics", "small-cnn"]\n'
        (copied.root / "specs" / "encoders.toml").write_text(toml)
        return copied

    return copy


def run(home: MadeHome, *, experiments: tuple[str, ...] = ("small-cnn",), **options) -> Report:
    return run_stages(home.home, experiments=list(experiments), out=io.StringIO(), **options)


def done(report: Report) -> list[str]:
    return sorted(outcome.title for outcome in report.outcomes if outcome.status == DONE)


def records(home: MadeHome) -> dict[str, int]:
    """`asset/partition/version` -> when its record was written."""
    found = home.home.artifacts.glob(f"*/*/*/{RECORD_NAME}")
    root = home.home.artifacts
    return {str(path.parent.relative_to(root)): path.stat().st_mtime_ns for path in found}


def files(home: MadeHome) -> dict[str, int]:
    root = home.home.artifacts
    return {str(path): path.lstat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def add(home: MadeHome, *names: str, number: int = 50) -> None:
    """New songs: bytes the library does not hold yet."""
    for track, name in enumerate(names, start=number):
        path = home.library / name
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = render_track("country", 0, track, seed=7, duration_s=3.0, sample_rate=RATE)
        soundfile.write(path, samples, RATE, subtype="PCM_16")


def recommended(home: MadeHome, encoder: str = "mel-statistics") -> pl.DataFrame:
    artifact = home.store.need(RECOMMENDATIONS.name, encoder)
    return read_table(artifact.folder / recommendations.TABLE)


def mentioned(home: MadeHome, encoder: str = "mel-statistics") -> set[str]:
    table = recommended(home, encoder)
    return {*table["track"], *table["recommended_path"]}


def test_the_first_run_makes_everything(made_home):
    said = made_home.output_file.read_text()
    (counts,) = re.findall(
        r"^(\d+) done, (\d+) already there, (\d+) skipped, (\d+) failed", said, re.M
    )
    assert int(counts[0]) >= 13
    assert counts[1:] == ("0", "0", "0")
    assert "sample library, synthetic" in said
    for place in re.findall(r"file://(\S+)", said):
        assert Path(place).is_file()


def test_a_second_run_does_nothing(home_copy):
    home = home_copy()
    assert done(run(home)) == ["measuring", "publishing"]  # fewer encoders are in service
    before = files(home)
    report = run(home)
    assert {outcome.status for outcome in report.outcomes} == {THERE}
    assert len(report.outcomes) >= 13
    assert files(home) == before


def test_three_new_files_cost_three_files(home_copy):
    home = home_copy(library=True)
    before, old_files = records(home), files(home)
    songs = ("country/New/1.wav", "country/New/2.flac", "un titre/été.wav")
    add(home, *songs)
    report = run(home)
    assert (report.failed, report.count(SKIPPED)) == (0, 0)
    assert done(report) == sorted(
        ["batch-000002", "mel-statistics batch-000002", "small-cnn batch-000002",
         "mel-statistics", "small-cnn", "deduplication", "measuring", "publishing"]
    )  # fmt: skip
    new_files = files(home)
    rewritten = [name for name, at in old_files.items() if new_files.get(name) != at]
    assert {Path(name).name for name in rewritten} == {"current"}
    after = records(home)
    made = sorted(name.rsplit("/", 1)[0] for name in after.keys() - before.keys())
    assert made == sorted(
        [f"{asset}/batch-000002" for asset in
           ("tracks", "mel_spectrograms", "audio_features", "audio_fingerprints")]
        + [f"{asset}/{encoder}+batch-000002" for asset in ("embeddings", "index_segments", "tags")
           for encoder in ("mel-statistics", "small-cnn")]
        + [f"{asset}/{encoder}" for asset in ("recommendation_indexes", "recommendations")
           for encoder in ("mel-statistics", "small-cnn")]
        + ["duplicates/all", "recommendation_report/all", "pages/all"]
    )  # fmt: skip
    for encoder in ("mel-statistics", "small-cnn"):
        table = recommended(home, encoder)
        assert set(songs) <= set(table["track"]) & set(table["recommended_path"])
    notes = [o.note for o in report.outcomes if o.status == THERE and o.title == "genres"]
    assert "--refresh makes a new one" in notes[0]


def test_a_changed_transform_recomputes_what_it_defines(home_copy):
    """Of the stores of a batch, that is; what was made from it follows."""
    home = home_copy()
    names = ("tracks", "audio_features", "mfcc", "mel_spectrograms", "audio_fingerprints")
    before = {name: home.store.need(name, "batch-000001").reference for name in names}
    (home.root / "specs" / "representations.toml").write_text("[mel_spectrograms]\nn_mels = 64\n")
    planned = list(Planner(home.context, []).ingest())
    assert [step.why_not for step in planned] == [None]
    definitions = build_definitions(home.context.specs, HomeResource(root=str(home.root)))
    step = Step("ingest", {"track_batch": "batch-000001"})
    with open_instance(home.home) as instance:
        assert _execute(definitions, instance, home.home, step) is None
    after = {name: home.store.need(name, "batch-000001") for name in names}
    same = {name for name in names if after[name].reference == before[name]}
    assert same == {"tracks", "audio_features", "mfcc"}
    store = SpectrogramStore(after["mel_spectrograms"].folder / "spectrograms.zarr")
    assert store.frequency is not None
    assert len(store.frequency) == 64
    # fingerprints are of the shipped transform: none are made, and that is said
    facts = after["audio_fingerprints"].facts
    assert facts["frames"] == 0
    assert "other settings" in facts["unfit"]
    for encoder in ("small-cnn", "mel-statistics"):  # still frozen on the old one
        spec = EMBEDDINGS.plan(home.context, f"{encoder}+batch-000001")
        with pytest.raises(UserError, match="n_mels was 128 and is now 64"):
            home.store.produce(spec, partial(EMBEDDINGS.write, home.store))


def test_a_file_that_is_gone_is_not_recommended(home_copy, monkeypatch):
    home = home_copy(library=True)
    snapshot = Snapshot.current(home.store, "genres")
    used = snapshot.part("train")
    gone = used["path"][0]
    assert gone in mentioned(home)
    (home.library / gone).unlink()
    report = run(home)
    assert report.failed == 0
    assert done(report) == [
        "deduplication", "measuring", "mel-statistics", "publishing", "small-cnn"
    ]  # fmt: skip
    for encoder in ("mel-statistics", "small-cnn"):
        assert gone not in mentioned(home, encoder)
    assert Snapshot.current(home.store, "genres").reference == snapshot.reference
    assert home.store.verify(snapshot.artifact) == []

    monkeypatch.setattr(Tracker, "log_training", lambda *_, **__: "a run")
    report = run(home, refresh=True)
    assert report.failed == 0
    assert report.count(SKIPPED) == 0
    fresh = Snapshot.current(home.store, "genres")
    table = fresh.table()
    assert gone not in set(table["path"])
    assert snapshot.reference in fresh.spec.inputs  # its parent
    sides = dict(used.select("track_id", "split").iter_rows())
    for track_id, split in table.select("track_id", "split").iter_rows():
        assert sides.get(track_id, split) == split  # who trained, trains
    model = home.store.need("trained_models", "small-cnn")
    assert fresh.reference in model.record.spec.inputs
    again = run(home, refresh=True)
    assert {outcome.status for outcome in again.outcomes} == {THERE}


def test_a_changed_file_takes_the_place_of_the_old_and_a_moved_one_keeps_its_own(home_copy):
    home = home_copy(library=True)
    before = recommended(home)
    ids = dict(before.select("track", "track_id").iter_rows())
    *_, moved, changed = ids
    add(home, changed)
    target = f"moved/song{Path(moved).suffix}"
    (home.library / target).parent.mkdir()
    (home.library / moved).rename(home.library / target)
    report = run(home, experiments=())
    assert report.failed == 0
    assert "batch-000002" in done(report)
    table = recommended(home)
    now = dict(table.select("track", "track_id").iter_rows())
    assert now[target] == ids[moved]
    assert moved not in mentioned(home)
    assert now[changed] != ids[changed]
    assert ids[changed] not in {*table["track_id"], *table["recommended_id"]}
    unchanged = ids.keys() - {changed, moved}
    assert now.keys() == unchanged | {changed, target}
    assert all(now[path] == ids[path] for path in unchanged)


def test_a_lost_catalogue_and_a_lost_register_are_rebuilt(home_copy):
    """Nothing is new, nothing is decoded again; also of a file that moved in the meantime."""
    home = home_copy(library=True)
    run(home)
    before = records(home)
    states, reads = home.catalogue.path_states(), list_test_reads(home.home)
    assert reads
    home.home.catalogue.unlink()
    (home.root / "test_reads.jsonl").unlink()
    old_path = min(path for path in states if path.startswith("blues/"))
    moved = (home.library / old_path).rename(home.library / "renamed.wav")
    out = io.StringIO()
    report = run_stages(home.home, experiments=["small-cnn"], out=out)
    assert "it was lost; rebuilt from the artifacts of 1 track batch(es)" in out.getvalue()
    assert "1 moved" in out.getvalue()
    assert report.failed == 0
    assert {name for name in set(records(home)) - set(before) if name.startswith("tracks")} == set()
    assert home.catalogue.batches() == ["batch-000001"]
    restored = home.catalogue.path_states()
    new_path = moved.relative_to(home.library).as_posix()
    assert restored.pop(new_path).origin == old_path
    assert {p: s.track_id for p, s in restored.items()} == {
        p: s.track_id for p, s in states.items()
    }
    assert {(r.dataset, r.tracks, r.reader, r.kind, r.run) for r in list_test_reads(home.home)} == {
        (r.dataset, r.tracks, r.reader, r.kind, r.run) for r in reads
    }


def test_a_leaderboard_without_any_registered_read(home_copy, monkeypatch):
    home = home_copy()
    monkeypatch.setattr(leaderboard, "list_test_reads", lambda home: [])
    artifact, _ = home.store.produce(
        LEADERBOARD.plan(home.context, ONE), partial(leaderboard.write_leaderboard, home.store)
    )
    assert read_table(artifact.folder / "leaderboard.parquet")["looks"].to_list() == [None]
    assert leaderboard.board_row(artifact.facts["rows"][0])["looks at this test split"] == (
        "not registered"
    )


def test_a_failed_step_stops_only_what_needs_it(home_copy, monkeypatch):
    home = home_copy(library=True)
    add(home, "a.wav")
    encode = embeddings.encode

    def fail(encoder, arrays):
        if encoder.name == "small-cnn":
            raise RuntimeError("out of memory")
        return encode(encoder, arrays)

    with monkeypatch.context() as patch:
        patch.setattr(embeddings, "encode", fail)
        report = run(home)
    (failed,) = [outcome for outcome in report.outcomes if outcome.status == FAILED]
    assert failed.title == "small-cnn batch-000002"
    assert "out of memory" in failed.note
    assert "Traceback" not in failed.note
    assert "a.wav" in mentioned(home)
    assert "a.wav" not in mentioned(home, "small-cnn")
    assert not list(home.home.pending.rglob("*.parquet"))
    report = run(home)  # goes on where it stopped
    assert done(report) == ["measuring", "publishing", "small-cnn", "small-cnn batch-000002"]
    assert "a.wav" in mentioned(home, "small-cnn")


def test_a_library_without_labels(made_home, tmp_path, capsys):
    """No training, and the reason why; all else works, and that is no failure."""
    root = tmp_path / "home"
    status = main(
        ["run", "--library", str(made_home.library), "--home", str(root), "--label-level", "none",
         "--experiment", "small-cnn"]
    )  # fmt: skip
    said = capsys.readouterr().out
    assert status == 0
    assert re.search(r"^  skipped: small-cnn: .*no labels \(label level: none\)", said, re.M)
    assert re.search(r", 0 failed in ", said)
    home = MadeHome(root, made_home.library, made_home.output_file)
    assert home.store.partitions("trained_models") == []
    assert home.store.partitions(ENCODERS.name) == ["mel-statistics"]
    assert home.store.partitions("cluster_reports") == ["mel-statistics"]
    assert home.store.need("pages", "all")
    assert recommended(home)["track"].n_unique() == 24
    marker = json.loads((root / "melgraph.json").read_text())
    assert marker["label_level"] is None  # and it is remembered


def test_reports_of_an_older_melgraph_are_left_out(home_copy):
    """Their facts have another shape: nothing that shows results stumbles over them."""
    home = home_copy()
    for asset, facts in (("cluster_reports", {"figures": [{"n": 3}]}), ("evaluations", {"n": 3})):
        old = Spec(asset, "retired", 1)
        home.store.produce(old, lambda work, facts=facts: work.facts.update(facts))
        assert home.store.current(asset, "retired") is not None
        shown = {r.partition for r in readable_references(home.store, STAGES[asset])}
        assert "retired" not in shown
        assert "small-cnn" in shown
    report = run(home)
    assert report.failed == 0
    said = summarise(home.home, report)
    assert "retired" not in said
    assert re.search(r"clusters of small-cnn, ", said)


@dagster.op
def interrupted_op():
    """What Dagster does to a step on Ctrl-C and on SIGTERM."""
    raise DagsterExecutionInterruptedError


@dagster.job
def interrupted_job():
    interrupted_op()


def test_an_interrupt_ends_the_run_and_not_only_the_step(tmp_path):
    definitions = dagster.Definitions(jobs=[interrupted_job])
    step = Step("interrupted_job", {})
    with pytest.raises(KeyboardInterrupt), dagster.DagsterInstance.ephemeral() as instance:
        _execute(definitions, instance, Home(tmp_path, "songs"), step)


@dagster.op
def draw():
    """As a library that catches every error and raises its own."""
    try:
        signal.raise_signal(signal.SIGINT)
        time.sleep(PATIENCE_S)
    except BaseException:
        raise ValueError("Invalid bounding box") from None


@dagster.job
def drawing_job():
    draw()


def test_an_interrupt_that_a_library_replaced_ends_the_run(tmp_path):
    definitions = dagster.Definitions(jobs=[drawing_job])
    with pytest.raises(KeyboardInterrupt), dagster.DagsterInstance.ephemeral() as instance:
        _execute(definitions, instance, Home(tmp_path, "songs"), Step("drawing_job", {}))
