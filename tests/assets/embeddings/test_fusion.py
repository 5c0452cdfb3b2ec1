"""A fusion in a home: an encoder like any other, made from the vectors of its parts."""

import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from melgraph.assets.context import Context
from melgraph.assets.embeddings.batch_embeddings import BatchEmbeddings
from melgraph.assets.embeddings.cost import cost_sentence
from melgraph.assets.embeddings.embeddings import serving_coverage
from melgraph.assets.embeddings.encoder import Encoder
from melgraph.assets.embeddings.encoders import encoder_representations
from melgraph.assets.embeddings.fusion import fused_vectors
from melgraph.assets.materialize import describe
from melgraph.assets.remaking import remake
from melgraph.assets.resources import HomeResource
from melgraph.assets.stages import CLUSTER_REPORTS, EMBEDDINGS, ENCODERS, RECOMMENDATIONS, TAGS
from melgraph.assets.staleness import stale_artifacts
from melgraph.ml.embeddings.scaling import scale
from melgraph.ml.errors import UserError
from melgraph.ml.similarity.neighbours import normalise
from melgraph.pipelines.deployment import build_definitions
from melgraph.pipelines.instance import open_instance
from melgraph.pipelines.runner import DONE, Report, run_stages
from melgraph.pipelines.runs.announcements import announce
from melgraph.storage.artifacts import Work
from melgraph.storage.errors import ArtifactMissing
from melgraph.storage.home import Home
from melgraph.storage.licences import recorded_licences
from melgraph.storage.records import RECORD_NAME
from melgraph.storage.tables import write_table
from tests.conftest import MadeHome, copy_home, write_song
from tests.pipelines.dagster_staleness import stale_in_dagster

BATCH = "batch-000001"
PARTS = ["tiny-tagger", "audio-features", "small-cnn"]
WEIGHTS = [2, 1, 1]
REASON = (
    "joined joins the vectors of other encoders, which no tags follow; ask its part tiny-tagger or "
    "small-cnn for tags"
)


def write_fusion(home: Home, name: str, parts: list[str], *lines: str) -> None:
    path = home.specs / "encoders" / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(['title = "Joined"', 'kind = "fusion"', f"parts = {parts}", *lines]))


def serve(home: MadeHome, *encoders: str) -> None:
    (home.root / "specs" / "encoders.toml").write_text(f"in_service = {list(encoders)}\n")


def run(home: MadeHome | Home, *experiments: str) -> Report:
    where = home if isinstance(home, Home) else home.home
    report = run_stages(where, experiments=list(experiments), out=io.StringIO())
    assert report.failed == 0, [o for o in report.outcomes if o.status == "failed"]
    return report


def done(report: Report) -> list[str]:
    return [outcome.title for outcome in report.outcomes if outcome.status == DONE]


@pytest.fixture(scope="module")
def fused(made_home, tmp_path_factory) -> MadeHome:
    """A copy of the made home with a fusion in service. Read only."""
    home = copy_home(made_home, tmp_path_factory.mktemp("fused"))
    write_fusion(home.home, "joined", PARTS, f"weights = {WEIGHTS}")
    serve(home, "joined")
    report = run(home, "small-cnn")
    assert done(report)[:2] == ["joined", f"joined {BATCH}"]
    return home


@pytest.fixture
def fused_copy(fused, tmp_path) -> MadeHome:
    return copy_home(fused, tmp_path)


def test_the_similarity_of_tracks_is_the_weighted_mean_of_their_parts(fused):
    """Every track of this batch but the duplicates is in the dataset, whose statistics count."""
    store = fused.store
    encoder = Encoder.current(store, "joined")
    embeddings = [BatchEmbeddings.current(store, f"{name}+{BATCH}") for name in PARTS]
    tables = [batch.track_vectors() for batch in embeddings]
    ids, vectors = BatchEmbeddings.current(store, f"joined+{BATCH}").arrays()
    assert all(table["track_id"].to_list() == ids for table in tables)
    arrays = [table["vector"].to_numpy() for table in tables]
    assert encoder.dimension == vectors.vectors.shape[1] == sum(a.shape[1] for a in arrays)
    similarity = np.zeros((len(ids), len(ids)))
    with np.load(encoder.statistics) as statistics:
        ends = np.cumsum([a.shape[1] for a in arrays])[:-1]
        means = np.split(statistics["mean"], ends)
        deviations = np.split(statistics["deviation"], ends)
    for array, share, mean, deviation in zip(
        arrays, (0.5, 0.25, 0.25), means, deviations, strict=True
    ):
        unit = normalise((array - mean) / deviation)
        similarity += share * unit @ unit.T
    np.testing.assert_allclose(vectors.vectors @ vectors.vectors.T, similarity, atol=1e-5)
    features = dict(zip(PARTS, means, strict=True))["audio-features"]
    np.testing.assert_allclose(features, 0, atol=1e-5)  # they are standardised over this dataset


def test_segments_are_those_of_the_part_with_the_most(fused):
    store, encoder = fused.store, Encoder.current(fused.store, "joined")
    batches = {
        name: BatchEmbeddings.current(store, f"{name}+{BATCH}") for name in ("joined", *PARTS)
    }
    finest = max(PARTS, key=lambda name: batches[name].n_segments)
    assert encoder.facts["segments_of"] == finest
    assert encoder.crop_s == Encoder.current(store, finest).crop_s
    own, theirs = batches["joined"].segment_vectors(), batches[finest].segment_vectors()
    assert own.select("track_id", "start_s").equals(theirs.select("track_id", "start_s"))
    _, vectors = batches["joined"].arrays()
    assert vectors.segment_vectors.shape == (theirs.height, encoder.dimension)
    np.testing.assert_allclose(np.linalg.norm(vectors.segment_vectors, axis=1), 1, atol=1e-5)


def test_it_is_an_encoder_like_any_other(fused):
    context, store = fused.context, fused.store
    encoder = Encoder.current(store, "joined")
    assert context.specs.in_service == sorted(["joined", *PARTS])
    assert encoder_representations(context.specs, "joined") == encoder.representations
    assert encoder.representations == {"waveforms", "audio_features", "mel_spectrograms"}
    assert [part.name for part in encoder.parts] == PARTS
    assert encoder.network() is None
    with pytest.raises(ValueError, match="ask each of its parts"):
        _ = encoder.input
    for stage in (CLUSTER_REPORTS, RECOMMENDATIONS):
        assert store.need(stage.name, "joined").facts
    tags = store.need(TAGS.name, f"joined+{BATCH}")
    assert tags.facts == {**tags.facts, "tracks": 0, "tags": [], "why": REASON}
    assert "nothing to do" in cost_sentence(encoder)
    coverage = serving_coverage(HomeResource(root=str(fused.root)))
    assert coverage.passed
    assert "joined" in coverage.metadata["share of tracks added after the training"].value
    assert stale_artifacts(context) == []
    licences = recorded_licences(store.need(EMBEDDINGS.name, f"joined+{BATCH}").record)
    assert licences == recorded_licences(encoder.artifact.record)
    assert [entry["of"] for entry in licences] == ["tiny"]


def test_it_is_remade_from_its_record(fused, tmp_path):
    for asset, partition in (
        (ENCODERS.name, "joined"),
        (EMBEDDINGS.name, f"joined+{BATCH}"),
        (TAGS.name, f"joined+{BATCH}"),
    ):
        folder = tmp_path / asset
        folder.mkdir()
        assert remake(fused.store, fused.store.need(asset, partition), folder) == []


def test_the_metadata_name_the_parts_that_the_graph_does_not_draw(fused):
    def rows(table) -> list[list[str]]:
        return [row.strip("| ").split(" | ") for row in table.value.splitlines()[2:]]

    metadata = describe(fused.store.need(ENCODERS.name, "joined"), ENCODERS, is_new=False).metadata
    assert [(row[0], row[1], row[-1]) for row in rows(metadata["made from"])] == [
        ("datasets", "1", "yes"),
        ("embeddings", "3", "no"),
        ("encoders", "3", "no"),
    ]
    assert [row[0] for row in rows(metadata["parts"])] == PARTS
    assert "embeddings" not in metadata["frozen to"]
    of_batch = fused.store.need(EMBEDDINGS.name, f"joined+{BATCH}")
    metadata = describe(of_batch, EMBEDDINGS, is_new=False).metadata
    assert [(row[0], row[-1]) for row in rows(metadata["made from"])] == [
        ("embeddings", "no"),
        ("encoders", "yes"),
    ]


def test_a_lost_database_of_dagster(fused_copy):
    """The embeddings of the fusion come before those of its parts, in the order of names."""
    home = fused_copy
    shutil.rmtree(home.home.dagster)
    definitions = build_definitions(home.context.specs, HomeResource(root=str(home.root)))
    with open_instance(home.home) as instance:
        assert announce(instance, home.context) > 0
        assert announce(instance, home.context) == 0
        assert stale_in_dagster(instance, definitions) == {}


def freeze_tagger_again(home: MadeHome) -> Context:
    """Put a new version of a part into service. Returns the context after that."""
    spec = home.root / "specs" / "encoders" / "tiny-tagger.toml"
    spec.write_text(spec.read_text().replace("What the tiny", "What a tiny"))
    context = home.context
    store = context.store
    store.produce(ENCODERS.plan(context, "tiny-tagger"), lambda work: ENCODERS.write(store, work))
    return context


def test_a_part_that_was_frozen_again(fused_copy):
    """One run brings everything up to date, in order. Until then the old versions fit together."""
    home = fused_copy
    before = Encoder.current(home.store, "joined")
    context = freeze_tagger_again(home)
    with pytest.raises(UserError) as caught:
        ENCODERS.plan(context, "joined")
    assert caught.value.what == (
        f"the embeddings of {BATCH} by tiny-tagger are not by the current version of this encoder"
    )
    assert "materialize `embeddings` of the encoder 'tiny-tagger'" in caught.value.remedy
    current = context.store.need(EMBEDDINGS.name, f"joined+{BATCH}").reference
    assert EMBEDDINGS.plan(context, f"joined+{BATCH}").reference == current
    assert done(run(home, "small-cnn"))[:3] == [
        f"tiny-tagger {BATCH}",
        "joined",
        f"joined {BATCH}",
    ]
    assert Encoder.current(home.store, "joined").reference != before.reference
    assert stale_artifacts(home.context) == []


def test_a_fusion_that_is_frozen_to_an_older_part_is_refused(fused_copy):
    """Vectors of a part by another version must not be joined: they are in another space."""
    context = freeze_tagger_again(fused_copy)
    store = context.store
    spec = EMBEDDINGS.plan(context, f"tiny-tagger+{BATCH}")
    store.produce(spec, lambda work: EMBEDDINGS.write(store, work))
    with pytest.raises(UserError) as caught:
        EMBEDDINGS.plan(context, f"joined+{BATCH}")
    assert caught.value.what == (
        "tiny-tagger has a new version, and joined is frozen to an older one"
    )
    assert "materialize the encoder 'joined' again" in caught.value.remedy
    reasons = {
        f"{one.reference.asset}/{one.reference.partition}": one.reasons
        for one in stale_artifacts(context)
    }
    assert reasons["encoders/joined"] == (
        "it was made from another version of embeddings tiny-tagger+batch-000001",
        "it was made from another version of encoders tiny-tagger",
    )
    assert reasons[f"embeddings/joined+{BATCH}"][0] == (
        f"it could not be made now: {caught.value.what}"
    )


def test_embeddings_of_a_part_that_were_made_again(fused_copy):
    """Dagster draws no edge from an asset to itself: the records say what is stale."""
    home = fused_copy
    store, partition = home.store, f"audio-features+{BATCH}"
    newer = replace(EMBEDDINGS.plan(home.context, partition), config={"other": True})
    store.produce(newer, lambda work: EMBEDDINGS.write(store, work))
    stale = {f"{one.reference.asset}/{one.reference.partition}": one.reasons
             for one in stale_artifacts(home.context)}  # fmt: skip
    another = f"it was made from another version of embeddings {partition}"
    assert another in stale["encoders/joined"]
    assert another in stale[f"embeddings/joined+{BATCH}"]


def test_a_track_that_a_part_lacks_is_left_out(fused_copy, tmp_path):
    home = fused_copy
    store = home.store
    of_part = BatchEmbeddings.current(store, f"small-cnn+{BATCH}")
    ids, _ = of_part.arrays()
    for name, read in (
        ("tracks.parquet", of_part.track_vectors),
        ("segments.parquet", of_part.segment_vectors),
    ):
        write_table(read().filter(pl.col("track_id") != ids[1]), of_part.artifact.folder / name)
    spec = EMBEDDINGS.plan(home.context, f"joined+{BATCH}")
    work = Work(spec, tmp_path)
    fewer, vectors = fused_vectors(store, work)
    assert fewer == [ids[0], *ids[2:]]
    assert work.facts == {"left_out": 1}
    _, all_vectors = BatchEmbeddings.current(store, f"joined+{BATCH}").arrays()
    rows = np.array([0, *range(2, len(ids))])
    np.testing.assert_array_equal(vectors.vectors, all_vectors.vectors[rows])
    expected = all_vectors.of_tracks(rows)
    np.testing.assert_array_equal(vectors.segment_vectors, expected.segment_vectors)


def test_the_cost_names_what_the_parts_have_to_do_before(fused_copy):
    home = fused_copy
    for name in ("joined", "tiny-tagger"):
        (home.root / "artifacts" / "embeddings" / f"{name}+{BATCH}" / "current").unlink()
    sentence = cost_sentence(Encoder.current(home.store, "joined"))
    assert "tracks: a few seconds per thousand tracks, to join the vectors of its parts" in sentence
    assert "; before that tiny-tagger: " in sentence
    assert "small-cnn" not in sentence
    with pytest.raises(ArtifactMissing, match=r"embeddings has not been materialized for 'tiny"):
        EMBEDDINGS.plan(home.context, f"joined+{BATCH}")


@pytest.fixture(scope="module")
def new_home(made_home, tmp_path_factory) -> tuple[Home, Report]:
    """A new home with only a fusion in its list, after one run."""
    folder = tmp_path_factory.mktemp("new")
    shutil.copytree(made_home.library / "blues", folder / "library" / "blues")
    shutil.copytree(made_home.library / "classical", folder / "library" / "classical")
    home = Home(folder / "home", folder / "library").create()
    parts = ["mel-statistics", "audio-features"]
    write_fusion(home, "a-fusion", parts)
    (home.specs / "encoders.toml").write_text('in_service = ["a-fusion"]\n')
    return home, run(home)


def test_one_run_of_a_new_home_embeds_with_the_parts_first(new_home):
    home, report = new_home
    titles = [title for title in done(report) if "features" in title or "a-fusion" in title]
    assert titles[:4] == [
        "audio-features",
        f"audio-features {BATCH}",
        "a-fusion",
        f"a-fusion {BATCH}",
    ]
    context = Context.open(home)
    report_facts = context.store.need(CLUSTER_REPORTS.name, "a-fusion").facts
    assert (
        report_facts["tracks"]
        == context.store.need(EMBEDDINGS.name, f"a-fusion+{BATCH}").facts["tracks"]
    )


def test_a_second_run_does_nothing_and_a_new_batch_costs_only_the_new(new_home):
    home, _ = new_home
    assert done(run(home)) == []
    before = records(home)
    path = Path(home.library) / "blues" / "Someone New" / "one.wav"
    path.parent.mkdir()
    write_song(path, seconds=5)
    report = run(home)
    batch = "batch-000002"
    assert [title for title in done(report) if "a-fusion" in title] == [
        f"a-fusion {batch}",
        "a-fusion",  # the recommendations: the encoder and its report are as they were
    ]
    after = records(home)
    assert before.items() <= after.items()
    new = {name.rpartition("/")[0] for name in after.keys() - before.keys()}
    assert {f"embeddings/a-fusion+{batch}", f"tags/a-fusion+{batch}"} <= new
    assert not [name for name in new if name.startswith(("encoders/", "cluster_reports/"))]
    store = Context.open(home).store
    ids, _ = BatchEmbeddings.current(store, f"a-fusion+{batch}").arrays()
    assert len(ids) == 1
    assert done(run(home)) == []


def records(home: Home) -> dict[str, int]:
    """`asset/partition/version` -> when its record was written."""
    paths = home.artifacts.glob(f"*/*/*/{RECORD_NAME}")
    return {str(p.parent.relative_to(home.artifacts)): p.stat().st_mtime_ns for p in paths}


def test_a_fusion_of_an_experiment_waits_for_it(home_copy):
    """An encoder of an experiment that is not part of the run is not frozen. Nor is its fusion."""
    home = home_copy()
    parts = ["small-cnn", "audio-features"]
    write_fusion(home.home, "joined", parts)
    serve(home, "joined")
    shutil.rmtree(home.home.artifacts / "encoders" / "small-cnn")
    report = run(home)
    assert not [outcome for outcome in report.outcomes if "joined" in outcome.title]


def test_a_part_that_is_not_in_service_yet(fused_copy):
    home = fused_copy
    shutil.rmtree(home.home.artifacts / "encoders" / "tiny-tagger")
    with pytest.raises(UserError, match="not in service yet: tiny-tagger") as caught:
        ENCODERS.plan(home.context, "joined")
    assert caught.value.where == "encoders/joined"


def test_vectors_of_a_fusion_have_one_scale_for_clusters(fused):
    """All have the length 1, so the scaling by length changes nothing."""
    _, vectors = BatchEmbeddings.current(fused.store, f"joined+{BATCH}").arrays()
    np.testing.assert_allclose(scale(vectors.vectors, "l2"), vectors.vectors, atol=1e-6)
