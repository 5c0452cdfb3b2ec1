"""The one suite that every kind of artifact passes, on the artifacts that a real run has made.

A kind of its own needs no test of these promises: being in `assets.kinds.KINDS` puts it in here.
"""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from dagster import AssetKey

from melgraph.assets.dataset import datasets
from melgraph.assets.dataset.exploration import reports as exploration_reports
from melgraph.assets.embeddings import embeddings, encoders, tags
from melgraph.assets.embeddings.clusters import reports as cluster_reports
from melgraph.assets.generation import dreams
from melgraph.assets.kinds import KINDS, remake
from melgraph.assets.library import duplicates, fingerprints, ingest
from melgraph.assets.models import evaluations, leaderboard, trained_models
from melgraph.assets.models.studies import reports as study_reports
from melgraph.assets.models.studies import trials
from melgraph.assets.pages.asset import pages_spec
from melgraph.assets.partitions import SPECS
from melgraph.assets.recommendations import recommendations
from melgraph.storage import local_artifacts
from melgraph.storage.artifacts import Artifact, ArtifactStore, Production, Work
from melgraph.storage.catalogue import Catalogue
from melgraph.storage.errors import ArtifactLocked, ArtifactMissing
from melgraph.storage.records import RECORD_NAME, Spec
from tests.conftest import MadeHome

each_kind = pytest.mark.parametrize("kind", sorted(KINDS))


def _representation(asset: str) -> Callable[..., Spec]:
    def spec_of(store: ArtifactStore, _: Catalogue, batch: str) -> Spec:
        tracks = store.need(ingest.TRACKS, batch).reference
        return ingest.representation_specs(store, tracks, [asset])[0]

    return spec_of


def _embedding(store: ArtifactStore, _: Catalogue, name: str) -> Spec:
    return embeddings.embedding_spec(store, *name.split("+"))


def _segment(store: ArtifactStore, _: Catalogue, name: str) -> Spec:
    specs = recommendations.segment_specs(store, name.split("+")[0])
    return next(spec for spec in specs if spec.partition == name)


def _trial(store: ArtifactStore, _: Catalogue, name: str) -> Spec:
    study = SPECS.studies["tiny"]
    for trial, dataset in study_reports.arm_trials(study).values():
        for seed in study.seeds if trial.recipe["model"]["weights"] == "none" else ():
            spec = trials.trial_spec(store, trial, dataset, seed)
            if spec.partition == name:
                return spec
    raise AssertionError(f"no arm of the study is {name}")


def _study(store: ArtifactStore, _: Catalogue, name: str) -> Spec:
    study = study_reports.study_named(name)
    return study_reports.study_spec(name, study, *study_reports.run_arms(store, study))


# Before the work: store, catalogue, partition -> Spec.
SPEC_OF: dict[str, Callable[[ArtifactStore, Catalogue, str], Spec]] = {
    ingest.TRACKS: lambda _, catalogue, name: ingest.tracks_spec(name, catalogue.batch_files(name)),
    **{name: _representation(name) for name in (*ingest.DEFAULT, *ingest.ON_DEMAND)},
    fingerprints.FINGERPRINTS: lambda store, _, name: fingerprints.fingerprint_spec(
        store.need(ingest.MEL, name).reference
    ),
    duplicates.DUPLICATES: lambda store, catalogue, _: duplicates.duplicates_spec(store, catalogue),
    datasets.DATASETS: datasets.dataset_spec,
    exploration_reports.EXPLORATION_REPORTS: lambda store, _, name: (
        exploration_reports.exploration_spec(store, name)
    ),
    trained_models.TRAINED: lambda store, _, name: trained_models.training_spec(store, name),
    evaluations.EVALUATIONS: lambda store, _, name: evaluations.evaluation_spec(store, name),
    encoders.ENCODERS: lambda store, _, name: encoders.encoder_spec(store, name),
    embeddings.EMBEDDINGS: _embedding,
    tags.TAGS: lambda store, _, name: tags.tags_spec(store, *name.split("+")),
    cluster_reports.CLUSTER_REPORTS: lambda store, _, name: cluster_reports.cluster_spec(
        store, name
    ),
    recommendations.SEGMENTS: _segment,
    recommendations.INDEXES: lambda store, _, name: recommendations.index_spec(
        name, recommendations.segment_specs(store, name)
    ),
    recommendations.RECOMMENDATIONS: recommendations.recommendation_spec,
    trials.TRIALS: _trial,
    study_reports.STUDY_REPORTS: _study,
    leaderboard.LEADERBOARD: lambda store, _, name: leaderboard.leaderboard_spec(store),
    dreams.DREAMS: lambda store, _, name: dreams.dream_spec(store, name),
    "pages": lambda store, _, name: pages_spec(store),
}


def made_of(home: MadeHome, kind: str) -> list[Artifact]:
    return [home.store.need(kind, name) for name in home.store.partitions(kind)]


def first_of(home: MadeHome, kind: str) -> Artifact:
    return made_of(home, kind)[0]


def tree(folder: Path) -> dict[str, int]:
    """Every file and folder, and when it was last written."""
    return {str(path): path.lstat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def copying(artifact: Artifact, folder: Path) -> Callable[[Work], None]:
    """A writer of the same files, without the work; `folder` receives a copy to write them from."""
    shutil.copytree(artifact.folder, folder, ignore=shutil.ignore_patterns(RECORD_NAME))

    def write(work: Work) -> None:
        shutil.copytree(folder, work.folder, dirs_exist_ok=True)
        work.facts.update(artifact.facts)

    return write


def refuse(work: Work) -> None:
    pytest.fail(f"{work.spec.reference} was made again")


@each_kind
def test_every_kind_is_there(made_home, kind):
    assert made_of(made_home, kind), f"`made_home` makes no {kind}: let the run there make one"


def test_every_asset_is_a_kind():
    from melgraph.pipelines.definitions import defs

    keys = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
    assert keys | {recommendations.SEGMENTS, trials.TRIALS} == set(KINDS)


@each_kind
def test_the_version_is_known_before_the_work(home_copy, small_specs, kind):
    home = home_copy()
    made = made_of(home, kind)
    for name in _made_from(home.store, kind) | {kind}:  # as it was before
        shutil.rmtree(home.home.artifacts / name)
    for artifact in made:
        spec = SPEC_OF[kind](home.store, home.catalogue, artifact.reference.partition)
        assert spec == artifact.record.spec
        assert spec.version == artifact.reference.version == artifact.folder.name
        assert home.store.find(spec.reference) is None


def test_the_graph_knows_every_input(made_home):
    """What a record names as input lies upstream in the asset graph, or Dagster shows it not."""
    from melgraph.pipelines.definitions import defs

    graph = defs.resolve_asset_graph()
    # made in the step of another
    inside = {
        recommendations.SEGMENTS: recommendations.INDEXES,
        trials.TRIALS: study_reports.STUDY_REPORTS,
    }
    for kind in KINDS:
        key = AssetKey(inside.get(kind, kind))
        above = {ancestor.to_user_string() for ancestor in graph.get_ancestor_asset_keys(key)}
        for artifact in made_of(made_home, kind):
            inputs = {r.asset for r in artifact.record.spec.inputs} - inside.keys()
            assert inputs <= above | {kind}, f"{kind} is made from what is not upstream of it"


def _made_from(store: ArtifactStore, kind: str) -> set[str]:
    """The kinds that, directly or not, are made from a kind."""
    found: set[str] = set()
    while True:
        more = {
            name
            for name in KINDS
            for partition in store.partitions(name)
            for reference in store.need(name, partition).record.spec.inputs
            if reference.asset in found | {kind}
        } - found
        if not more:
            return found
        found |= more


@each_kind
def test_equal_specs_write_nothing(home_copy, kind):
    home = home_copy()
    before = tree(home.home.artifacts)
    for artifact in made_of(home, kind):
        again, made = home.store.produce(artifact.record.spec, refuse)
        assert not made
        assert again.record == artifact.record
    assert tree(home.home.artifacts) == before


@each_kind
def test_the_record_is_the_commit(home_copy, kind, tmp_path):
    home = home_copy()
    artifact = first_of(home, kind)
    write = copying(artifact, tmp_path / "files")
    (artifact.folder / RECORD_NAME).unlink()
    assert home.store.find(artifact.reference) is None
    assert home.store.current(kind, artifact.reference.partition) is None
    with pytest.raises(ArtifactMissing, match=artifact.reference.version):
        home.store.get(artifact.reference)
    again, made = home.store.produce(artifact.record.spec, write)
    assert made
    assert again.record.digest == artifact.record.digest
    assert home.store.need(kind, artifact.reference.partition).record == again.record


@each_kind
def test_every_byte_is_verified(home_copy, kind):
    home = home_copy()
    artifact = first_of(home, kind)
    assert home.store.verify(artifact) == []
    assert artifact.record.files
    for name, (_, size) in artifact.record.files.items():
        path = artifact.folder / name
        data = path.read_bytes()
        for wrong in ([data[:-1] + bytes([data[-1] ^ 1])] if size else []) + [data + b"x"]:
            path.write_bytes(wrong)
            (problem,) = home.store.verify(artifact)
            assert problem.startswith(f"{path}: ")
        path.write_bytes(data)
    assert home.store.verify(artifact) == []
    (artifact.folder / "stray").write_bytes(b"")
    assert home.store.verify(artifact) == [f"{artifact.folder / 'stray'}: not in the record"]


@each_kind
def test_interrupted_work_is_invisible(home_copy, kind, tmp_path, monkeypatch):
    home = home_copy()
    artifact = first_of(home, kind)
    write = copying(artifact, tmp_path / "files")
    shutil.rmtree(artifact.folder)
    before = tree(home.home.artifacts)

    def interrupted(work: Work) -> None:
        write(work)
        next(path for path in work.folder.rglob("*") if path.is_file()).unlink()
        raise KeyboardInterrupt

    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with pytest.raises(KeyboardInterrupt):
        home.store.produce(artifact.record.spec, interrupted)
    with monkeypatch.context() as patch:
        patch.setattr(local_artifacts, "flush", full)
        with pytest.raises(OSError, match="No space left"):
            home.store.produce(artifact.record.spec, write)
    assert home.store.find(artifact.reference) is None
    assert tree(home.home.artifacts) == before
    assert not [path for path in home.home.pending.rglob("*") if path.is_file()]
    assert home.store.produce(artifact.record.spec, write)[1]  # and nothing stands in the way


@each_kind
def test_a_second_writer_is_told(home_copy, kind):
    home = home_copy()
    spec = first_of(home, kind).record.spec
    with Production(home.store, [spec]):
        with pytest.raises(ArtifactLocked, match="is being written by process") as caught:
            home.store.produce(spec, refuse)
        assert f"{kind}/{spec.partition}" in caught.value.what
    assert not home.store.produce(spec, refuse)[1]


@each_kind
def test_it_is_remade_from_its_record(made_home, kind, tmp_path):
    for artifact in made_of(made_home, kind):
        folder = tmp_path / artifact.reference.partition
        folder.mkdir()
        assert remake(made_home.store, artifact, folder) == []


def test_a_training_names_its_threads_because_the_last_bit_depends_on_them(made_home):
    record = made_home.store.need("trained_models", "small-cnn").record
    assert int(record.run["torch_threads"] or 0) >= 1
    assert record.run["device"] in ("cpu", "cuda")
