"""Tests that every kind of artifact has to pass, on the artifacts of a real run.

A new kind is tested as soon as it is in `assets.stages.STAGES`.
"""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from melgraph.assets.context import Context
from melgraph.assets.generation.requested_sounds import Request
from melgraph.assets.models.studies import reports as study_reports
from melgraph.assets.models.studies import trials
from melgraph.assets.remaking import remake
from melgraph.assets.stages import STAGES
from melgraph.storage import local_artifacts
from melgraph.storage.artifacts import Artifact, ArtifactStore, Production, Work
from melgraph.storage.errors import ArtifactLocked, ArtifactMissing
from melgraph.storage.records import RECORD_NAME, Spec
from tests.conftest import GUIDE, MadeHome

each_kind = pytest.mark.parametrize("kind", sorted(STAGES))
# made while another asset is materialized, or on request
OUTER_ASSETS = {
    "index_segments": "recommendation_indexes",
    "trials": "study_reports",
    "excerpts": "requested_sounds",
    "requested_sounds": None,
}


def plan(home: MadeHome, kind: str, name: str) -> Spec:
    """The spec of a partition, before the work."""
    if kind == "trials":
        return _trial(home.context, name)
    if kind == "study_reports":
        study = study_reports.study_named(home.context.specs, name)
        return study_reports.study_spec(name, study, *study_reports.run_arms(home.context, study))
    if kind in ("excerpts", "requested_sounds"):
        request = Request(home.context, "guided-dream", str(home.outside), GUIDE, start_s=1.0)
        parts = [part for pair in request.pairs for part in pair if part is not None]
        specs = [request.spec, *(part.spec for part in parts)]
        return next(spec for spec in specs if (spec.asset, spec.partition) == (kind, name))
    return STAGES[kind].plan(home.context, name)


def _trial(context: Context, name: str) -> Spec:
    study = context.specs.studies["tiny"]
    for trial, dataset in study_reports.arm_trials(context.specs, study).values():
        for seed in study.seeds if trial.recipe["model"]["weights"] == "none" else ():
            spec = trials.trial_spec(context, trial, dataset, seed)
            if spec.partition == name:
                return spec
    raise AssertionError(f"no arm of the study is {name}")


def artifacts_of(home: MadeHome, kind: str) -> list[Artifact]:
    return [home.store.need(kind, name) for name in home.store.partitions(kind)]


def first_artifact(home: MadeHome, kind: str) -> Artifact:
    return artifacts_of(home, kind)[0]


def tree(folder: Path) -> dict[str, int]:
    """Every file and folder, and when it was last written."""
    return {str(path): path.lstat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def copy_writer(artifact: Artifact, folder: Path) -> Callable[[Work], None]:
    """A write function that copies the files of an artifact; `folder` keeps them until then."""
    shutil.copytree(artifact.folder, folder, ignore=shutil.ignore_patterns(RECORD_NAME))

    def write(work: Work) -> None:
        shutil.copytree(folder, work.folder, dirs_exist_ok=True)
        work.facts.update(artifact.facts)

    return write


def refuse(work: Work) -> None:
    pytest.fail(f"{work.spec.reference} was computed again")


@each_kind
def test_the_run_made_every_kind(made_home, kind):
    assert artifacts_of(made_home, kind), f"`made_home` has no {kind}: extend its run"


def test_every_asset_is_a_kind():
    from melgraph.pipelines.definitions import defs

    keys = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
    assert keys | set(OUTER_ASSETS) == set(STAGES)


@each_kind
def test_the_version_is_known_before_the_work(home_copy, kind):
    home = home_copy()
    artifacts = artifacts_of(home, kind)
    for name in _downstream_kinds(home.store, kind) | {kind}:  # restore the state before
        shutil.rmtree(home.home.artifacts / name)
    for artifact in artifacts:
        spec = plan(home, kind, artifact.reference.partition)
        assert spec == artifact.record.spec
        assert spec.version == artifact.reference.version == artifact.folder.name
        assert home.store.find(spec.reference) is None


def _downstream_kinds(store: ArtifactStore, kind: str) -> set[str]:
    """The kinds that are made from a kind, directly or indirectly."""
    kinds: set[str] = set()
    while True:
        more = {
            name
            for name in STAGES
            for partition in store.partitions(name)
            for reference in store.need(name, partition).record.spec.inputs
            if reference.asset in kinds | {kind}
        } - kinds
        if not more:
            return kinds
        kinds |= more


@each_kind
def test_equal_specs_write_nothing(home_copy, kind):
    home = home_copy()
    before = tree(home.home.artifacts)
    for artifact in artifacts_of(home, kind):
        again, is_new = home.store.produce(artifact.record.spec, refuse)
        assert not is_new
        assert again.record == artifact.record
    assert tree(home.home.artifacts) == before


@each_kind
def test_the_record_is_the_commit(home_copy, kind, tmp_path):
    home = home_copy()
    artifact = first_artifact(home, kind)
    write = copy_writer(artifact, tmp_path / "files")
    (artifact.folder / RECORD_NAME).unlink()
    assert home.store.find(artifact.reference) is None
    assert home.store.current(kind, artifact.reference.partition) is None
    with pytest.raises(ArtifactMissing, match=artifact.reference.version):
        home.store.get(artifact.reference)
    again, is_new = home.store.produce(artifact.record.spec, write)
    assert is_new
    assert again.record.digest == artifact.record.digest
    assert home.store.need(kind, artifact.reference.partition).record == again.record


@each_kind
def test_every_byte_is_verified(home_copy, kind):
    home = home_copy()
    artifact = first_artifact(home, kind)
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
    artifact = first_artifact(home, kind)
    write = copy_writer(artifact, tmp_path / "files")
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
    assert home.store.produce(artifact.record.spec, write)[1]  # the failed attempts left no lock


@each_kind
def test_a_second_writer_gets_an_error(home_copy, kind):
    home = home_copy()
    spec = first_artifact(home, kind).record.spec
    with Production(home.store, [spec]):
        with pytest.raises(ArtifactLocked, match="is being written by process") as caught:
            home.store.produce(spec, refuse)
        assert f"{kind}/{spec.partition}" in caught.value.what
    assert not home.store.produce(spec, refuse)[1]


@each_kind
def test_it_is_remade_from_its_record(made_home, kind, tmp_path):
    for artifact in artifacts_of(made_home, kind):
        folder = tmp_path / artifact.reference.partition
        folder.mkdir()
        assert remake(made_home.store, artifact, folder) == []


def test_a_training_names_its_threads_because_the_last_bit_depends_on_them(made_home):
    record = made_home.store.need("trained_models", "small-cnn").record
    assert int(record.run["torch_threads"] or 0) >= 1
    assert record.run["device"] in ("cpu", "cuda")
