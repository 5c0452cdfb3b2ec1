"""Runs that are killed, at every stage: one clean run later the home is as if nobody had."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.artifacts import ArtifactStore
from storage.home import open_home
from tests.pipelines.kill_campaign import (
    KILLED,
    Campaign,
    Scenario,
    kill_everywhere,
    make_scenarios,
    points_of,
)
from tests.pipelines.killed_runs import Runs

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="forks and watches processes as Linux does"
)
TO_A_HOME = 40  # kills, one after the other
RANDOM_KILLS = 15
KILLED_WITH_WORKERS = 3
SEED = 20260514
STAGES = (
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
    wanted = {f"{stage}: {point}" for stage in STAGES for point in OF_AN_ARTIFACT}
    wanted |= {
        f"catalogue: {when} {what}"
        for when in ("within", "before commit of", "after commit of")
        for what in OF_THE_CATALOGUE
    }
    assert wanted - found == set()


def test_killed_at_every_named_point(campaign, scenarios):
    kill_everywhere(campaign, scenarios, times=1, length=TO_A_HOME, seed=SEED)
    assert campaign.hits == dict.fromkeys(points_of(scenarios), 1)


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
    assert open_home(home).catalogue.is_file()
    (batch,) = {b for b in scenario.expected.catalogue["files of batches"] if b == "batch-000004"}
    assert ArtifactStore(open_home(home)).current("tracks", batch) is not None
    campaign.end(home, scenario)
