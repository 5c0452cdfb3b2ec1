"""One process serves two homes: neither holds anything of the other, nor does the process."""

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from melgraph.assets.context import Context
from melgraph.assets.library.tracks import Tracks
from melgraph.assets.resources import HomeResource
from melgraph.assets.stages import ENCODERS, EVALUATIONS, TRACKS, TRAINED_MODELS
from melgraph.pipelines.deployment import build_definitions
from melgraph.pipelines.instance import open_instance
from melgraph.pipelines.runner import DONE, THERE, Report, run_stages
from melgraph.storage.artifacts import Artifact, ArtifactStore
from melgraph.storage.home import Home
from melgraph.storage.records import RECORD_NAME, parse_reference

EXPERIMENT = """\
title = "Two layers of features, one epoch: for tests"
dataset = "genres"
model = {{ architecture = "dense" }}
folds = 0
input = {{ representation = "audio_features" }}
training = {{ epochs = {epochs}, crops_per_track = 1, augment = [] }}
"""


@dataclass(frozen=True)
class Case:
    """What a home is made of: styles of its library, encoders in service, and experiments with the
    number of their epochs.
    """

    styles: tuple[str, ...]
    encoders: tuple[str, ...]
    experiments: dict[str, int]


FIRST = Case(("blues", "classical", "country"), ("audio-features",), {"shared": 1})
SECOND = Case(("disco", "jazz"), (), {"shared": 2, "only-here": 1})


def make_home(folder: Path, case: Case) -> Home:
    from melgraph.ml.sample_library import write_sample_library

    write_sample_library(
        folder / "library", styles=case.styles, tracks_per_artist=1, duration_s=2.0,
        with_faults=False, workers=1,
    )  # fmt: skip
    specs = folder / "home" / "specs"
    (specs / "experiments").mkdir(parents=True)
    (specs / "encoders.toml").write_text(f"in_service = {list(case.encoders)}\n")
    for name, epochs in case.experiments.items():
        (specs / "experiments" / f"{name}.toml").write_text(EXPERIMENT.format(epochs=epochs))
    return Home(folder / "home", str(folder / "library"))


def run(home: Home, case: Case) -> Report:
    return run_stages(home, experiments=list(case.experiments), out=io.StringIO())


def artifacts(home: Home) -> Iterator[Artifact]:
    store = ArtifactStore(home)
    for path in sorted(store.root.glob(f"*/*/*/{RECORD_NAME}")):
        yield store.get(parse_reference(path.parent.relative_to(store.root).as_posix()))


def files(home: Home) -> dict[str, int]:
    paths = (path for path in home.artifacts.rglob("*") if path.is_file())
    return {str(path): path.lstat().st_mtime_ns for path in paths}


def settings() -> dict[str, str]:
    """The environment, as far as it could name a home."""
    names = ("MELGRAPH_", "DAGSTER_", "MLFLOW_TRACKING")
    return {name: value for name, value in os.environ.items() if name.startswith(names)}


def materialized(home: Home) -> dict[str, set[str]]:
    """What Dagster says was made, by asset: partitions, `all` for what has none."""
    with open_instance(home) as instance:
        partitions = {}
        for key in instance.all_asset_keys():
            names = instance.get_materialized_partitions(key)
            partitions[key.to_user_string()] = {name.replace("|", "+") for name in names} or {"all"}
        return partitions


def partition_keys(home: Home) -> dict[str, Any]:
    """The keys of every partitioned asset, as the definitions of the home have them."""
    context = Context.open(home)
    graph = build_definitions(context.specs, HomeResource(root=str(home.root)))
    nodes = graph.resolve_asset_graph()
    with open_instance(home) as instance:
        return {
            key.to_user_string(): set(
                nodes.get(key).partitions_def.get_partition_keys(dynamic_partitions_store=instance)
            )
            for key in nodes.get_all_asset_keys()
            if nodes.get(key).partitions_def is not None
        }


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Home]:
    """Both, each run once, one after the other, in this process."""
    folder = tmp_path_factory.mktemp("two-homes")
    first, second = make_home(folder / "1", FIRST), make_home(folder / "2", SECOND)
    before = settings()
    reports = run(first, FIRST), run(second, SECOND)
    for report in reports:
        assert {outcome.status for outcome in report.outcomes} == {DONE}
    assert settings() == before  # a run leaves no trace of its home
    return first, second


def test_neither_holds_an_artifact_or_a_record_of_the_other(homes):
    for home, case in zip(homes, (FIRST, SECOND), strict=True):
        store = ArtifactStore(home)
        assert set(store.partitions(TRAINED_MODELS.name)) == case.experiments.keys()
        assert set(store.partitions(EVALUATIONS.name)) == case.experiments.keys()
        assert set(store.partitions(ENCODERS.name)) == set(case.encoders)
        for name, epochs in case.experiments.items():
            recipe = store.need(TRAINED_MODELS.name, name).record.spec.config
            assert recipe["training"]["epochs"] == epochs
        paths = Tracks.current(store, "batch-000001").table()["path"]
        assert {Path(path).parts[0] for path in paths} == set(case.styles)
        own = list(artifacts(home))
        references = {artifact.reference for artifact in own}
        assert all(references.issuperset(artifact.record.spec.inputs) for artifact in own)
    first, second = ({artifact.reference for artifact in artifacts(home)} for home in homes)
    assert first & second == set()  # their libraries differ, and so do all that follows from them


def test_no_file_of_one_names_the_other(homes):
    for home, other in (homes, homes[::-1]):
        foreign = str(other.root.parent).encode()
        paths = [path for path in home.root.rglob("*") if path.is_file() and not path.is_symlink()]
        assert any(path.suffix == ".db" for path in paths)  # Dagster's and MLflow's among them
        assert [path for path in paths if foreign in path.read_bytes()] == []


def test_dagster_has_the_partitions_of_each_alone(homes):
    for home, case in zip(homes, (FIRST, SECOND), strict=True):
        keys, made = partition_keys(home), materialized(home)
        experiments = keys[TRAINED_MODELS.name] & {"shared", "only-here"}
        assert experiments == case.experiments.keys()
        assert keys[ENCODERS.name] == set(case.encoders)
        assert keys[TRACKS.name] == {"batch-000001"}
        store = ArtifactStore(home)
        assert {name: set(store.partitions(name)) for name in made} == made


def test_the_first_again_finds_everything(homes):
    first, second = homes
    before = files(first), files(second)
    report = run(first, FIRST)
    assert {outcome.status for outcome in report.outcomes} == {THERE}
    assert (files(first), files(second)) == before
