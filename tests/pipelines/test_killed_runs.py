"""Runs that are killed, at every stage: one clean run later the home is as if nobody had."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from melgraph.assets.library import ingest_pass
from melgraph.assets.stages import ON_DEMAND, STAGES, TRACKS
from melgraph.pipelines.intake import reconcile
from melgraph.pipelines.plan import Planner
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.catalogue import Catalogue
from melgraph.storage.home import Home, open_home
from tests.conftest import GENERATIVE_MODELS
from tests.pipelines.kill_campaign import (
    KILLED,
    Campaign,
    Scenario,
    kill_everywhere,
    long_scenario,
    make_scenarios,
    points_of,
)
from tests.pipelines.killed_runs import Runs, processes_of, wait_for_the_end

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="forks and watches processes as Linux does"
)
# Of these, the benchmark sees to each: a kill there leaves the disk as at other points.
ELSEWHERE = ("the lock", "the holder's note", "making a folder", "fsync of a folder")
RANDOM_KILLS = 15
COMMANDS_KILLED = 1
SEED = 20260514
KILLED_STAGES = (
    "tracks",
    "mel_spectrograms",
    "audio_features",
    "audio_fingerprints",
    "duplicates",
    "datasets",
    "encoders",
    "embeddings",
    "index_segments",
    "recommendation_indexes",
    "recommendations",
)
OF_AN_ARTIFACT = (
    "after taking the lock",
    "before fsync of a file",
    "before fsync of a folder",
    "before rename of the folder",
    "after rename of the folder",
    "in the record",
    "before fsync of the record",
    "before rename of the record",
    "after rename of the record",
    "in the pointer",
    "before rename of the pointer",
    "after rename of the pointer",
    "before removal of what has no record",
    "in removal of what has no record",
    "in removal of work aside",
    "before release of the lock",
)
OF_THE_CATALOGUE = ("prepare", "register_batch", "identify", "note", "remember_look")


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    with Runs() as process:
        yield process


@pytest.fixture(scope="module")
def scenarios(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> list[Scenario]:
    return make_scenarios(runs, tmp_path_factory.mktemp("scenarios"))


@pytest.fixture
def campaign(runs: Runs, tmp_path: Path) -> Campaign:
    return Campaign(runs, tmp_path)


def test_every_stage_has_its_points(scenarios):
    """So that a point which is no longer passed, because the code moved, is missed."""
    found = points_of(scenarios).keys()
    wanted = {f"{stage}: {point}" for stage in KILLED_STAGES for point in OF_AN_ARTIFACT}
    wanted |= {
        f"catalogue: {when} {what}"
        for when in ("within", "before commit of", "after commit of")
        for what in OF_THE_CATALOGUE
    }
    assert wanted - found == set()


def test_killed_at_every_named_point(campaign, scenarios):
    def wanted(point: str) -> bool:
        return not any(what in point for what in ELSEWHERE)

    kill_everywhere(campaign, scenarios, SEED, wanted=wanted)
    assert campaign.hits == dict.fromkeys(filter(wanted, points_of(scenarios)), 1)
    assert campaign.hits.total() > 200


def test_killed_at_random_moments(campaign, scenarios):
    draw = random.Random(SEED)
    for number in range(RANDOM_KILLS):
        scenario = scenarios[number % len(scenarios)]
        campaign.kill_at_random(scenario, draw)
        campaign.end(campaign.folder / "home", scenario)
    print("last points passed:", dict(campaign.moments))
    assert campaign.moments.total() == campaign.clean_runs == RANDOM_KILLS
    assert len(campaign.moments) >= 5  # at different points


def test_killed_between_tracks_and_their_identities(campaign, scenarios):
    """The artifact is committed, the catalogue does not know its tracks yet: a scan heals it."""
    scenario = scenarios[1]
    home = scenario.fresh(campaign.folder / "home")
    point = "catalogue: before commit of identify"
    assert campaign.runs.run(home, scenario.library, point=point).status == KILLED
    catalogue, store = Catalogue(home / "catalogue.sqlite"), ArtifactStore(open_home(home))
    batch, *_ = catalogue.unidentified_batches()
    assert store.need(TRACKS.name, batch).facts["files"] == len(catalogue.batch_files(batch))
    assert reconcile(store, catalogue) == [batch]
    assert batch not in catalogue.unidentified_batches()
    campaign.end(home, scenario)


def test_workers_end_with_the_run_that_is_killed(campaign, tmp_path):
    """Its worker processes decode on for a moment, beside the next run, and harm nobody."""
    scenario, draw = long_scenario(campaign.runs, tmp_path), random.Random(SEED)
    ended = campaign.kill_at_work(scenario, draw.uniform(0.0, 0.2))
    assert processes_of(ended.process), "no worker outlived it: kill it earlier"
    again = campaign.runs.run(campaign.folder / "home", scenario.library, workers=2)
    wait_for_the_end(ended.process)
    campaign.compare(campaign.folder / "home", scenario, again)
    wait_for_the_end(again.process)


def test_the_command_killed_with_all_its_processes(campaign, scenarios):
    said = campaign.kill_commands(scenarios[1], random.Random(SEED), COMMANDS_KILLED)
    assert " 0 failed" in said


def test_scratch_that_is_still_written_to_stands_in_nobodys_way(tmp_path, monkeypatch):
    """A worker of a dead run made a file while the folder was being removed."""
    library, remove = tmp_path / "songs", shutil.rmtree
    home = Home(tmp_path / "home", str(library))

    def beaten(folder: Path, *arguments: object, **options: object) -> None:
        if not Path(folder).name.endswith(".aside"):
            remove(folder, *arguments, **options)

    scratch = home.pending / "tracks" / "b.aside"
    scratch.mkdir(parents=True)
    (scratch / "0.values").write_bytes(b"of the dead")
    monkeypatch.setattr(shutil, "rmtree", beaten)
    ones = ingest_pass.examine_all(home.open_library(), [], {}, scratch.with_name("b"))
    assert list(ones) == []


def test_killed_before_a_version_is_the_current_one(home_copy):
    """What is committed, and not yet what readers get, is taken up again; whatever it is."""
    home = home_copy()
    on_demand = [stage.name for stage in ON_DEMAND]
    # An index and a study name the versions that they need of what is made inside of their assets.
    for stage in (stage for stage in STAGES.values() if stage.job is not None):
        pointers = list((home.home.artifacts / stage.name).glob("*/current"))
        assert pointers, stage.name
        kept = {pointer: pointer.read_bytes() for pointer in pointers}
        for pointer in pointers:
            pointer.unlink()
        names = ["small-cnn", *GENERATIVE_MODELS]
        planner = Planner(home.context, names, representations=on_demand, studies=["tiny"])
        # Planned as in a run: what comes later is planned when this is done.
        steps = (step for _, plan in planner.parts() for step in plan())
        assert any(step.job == stage.job and step.why_not is None for step in steps), stage.name
        for pointer, data in kept.items():
            pointer.write_bytes(data)
