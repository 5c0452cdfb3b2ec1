"""Many kills: which points there are in which run, and homes that are killed again and again."""

import random
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.home import open_home
from melgraph.storage.records import RECORD_NAME, parse_reference
from tests.pipelines.killed_runs import (
    Answers,
    Command,
    Ending,
    Runs,
    answers,
    assert_includes,
    assert_nothing_half,
    assert_same,
    grow_library,
    write_library,
    write_long_library,
)

KILLED = -9
TO_A_HOME = 40  # kills, one after the other, before it is let to its end
BATCH_SIZE = 3
AT_WORK = "pending/tracks/*.aside/*/*"  # a worker has begun to keep rows aside
LONG_STAGES = (1, 4, 5, 7, 8, 9, 12)  # of `melgraph run`: those that take a while each time
SCANNED = "tracks: before taking the lock"  # a run has scanned and begun nothing yet


@dataclass(frozen=True)
class Scenario:
    """A run that is killed: from what it starts, and what it has made when nobody kills it.

    Attributes:
        name: for people.
        library: the folder of audio.
        base: the home as it is before the run; None: there is none yet.
        trace: the points that the undisturbed run passes, in order.
        seconds: how long it took.
        expected: what it has made.
    """

    name: str
    library: Path
    base: Path | None
    trace: list[str]
    seconds: float
    expected: Answers

    def fresh(self, home: Path) -> Path:
        """A home as it is before the run."""
        shutil.rmtree(home, ignore_errors=True)
        if self.base is not None:
            shutil.copytree(self.base, home, symlinks=True)
        return home


class Kill(NamedTuple):
    """A point of a scenario's run: `trace[position]`."""

    position: int
    point: str


def make_scenarios(runs: Runs, folder: Path) -> list[Scenario]:
    """A first run; one on a library that has changed; and one among what killed writers left."""
    libraries = [folder / name for name in ("first-library", "grown-library")]
    for library in libraries:
        write_library(library)
    first = _scenario(runs, "first run", libraries[0], None, folder / "first")
    base, littered = folder / "grown-base", folder / "littered-base"
    assert runs.run(base, libraries[1]).status == 0
    grow_library(libraries[1])
    grown = _scenario(runs, "grown library", libraries[1], base, folder / "grown")
    grown.fresh(littered)
    assert runs.run(littered, libraries[1], point=SCANNED).status == KILLED
    _litter(littered, folder / "grown")
    return [
        first,
        grown,
        _scenario(runs, "leftovers", libraries[1], littered, folder / "littered"),
    ]


def long_scenario(runs: Runs, folder: Path) -> Scenario:
    """A first run on files that take a while."""
    library = folder / "long-library"
    write_long_library(library)
    return _scenario(runs, "long files", library, None, folder / "long")


def _scenario(runs: Runs, name: str, library: Path, base: Path | None, home: Path) -> Scenario:
    if base is not None:
        shutil.copytree(base, home, symlinks=True)
    ran = runs.run(home, library)
    assert (ran.status, ran.left) == (0, [])
    return Scenario(name, library, base, ran.trace, ran.seconds, answers(home))


def _litter(home: Path, finished: Path) -> None:
    """What is not made yet, without its record, once in place and once pending; half a pointer."""
    here, there = (ArtifactStore(open_home(root)) for root in (home, finished))
    for path in there.root.glob(f"*/*/*/{RECORD_NAME}"):
        reference = parse_reference(path.parent.relative_to(there.root).as_posix())
        if here.find(reference) is not None:
            continue
        pending = here.home.pending / reference.asset / reference.partition
        for folder in (here.folder(reference), pending):
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(path.parent, folder, ignore=shutil.ignore_patterns(RECORD_NAME))
        (here.folder(reference).parent / ".current.1.aside").write_text(reference.version[:9])


def points_of(scenarios: Sequence[Scenario]) -> dict[str, list[tuple[Scenario, int]]]:
    """Every named point, and where it comes: scenario, position in its trace."""
    found: dict[str, list[tuple[Scenario, int]]] = defaultdict(list)
    for scenario in scenarios:
        for position, name in enumerate(scenario.trace):
            found[name].append((scenario, position))
    return dict(found)


@dataclass
class Campaign:
    """Kills runs and counts.

    Attributes:
        runs: the process that forks them.
        folder: for the homes that are killed.
        hits: how often a run was killed at each point.
        moments: random kills by the last point that the run had passed.
        clean_runs: how many homes were brought to their end, and were as they should be.
    """

    runs: Runs
    folder: Path
    hits: Counter[str] = field(default_factory=Counter)
    moments: Counter[str] = field(default_factory=Counter)
    clean_runs: int = 0

    def kill_in_turn(self, scenario: Scenario, kills: Sequence[Kill]) -> list[Kill]:
        """Kill one home at one point after the other, then let it end undisturbed.

        Returns:
            The kills that were not to be had: after an earlier one, the run did not come by.
        """
        home, before = scenario.fresh(self.folder / "home"), -1
        missed = []
        for kill in sorted(kills):
            # After a kill the run takes up its work where that fell: count from there.
            between = scenario.trace[before + 1 : kill.position + 1]
            ended = self._run(home, scenario, kill.point, max(1, between.count(kill.point)))
            if ended.status == KILLED:
                self.hits[kill.point] += 1
                before = kill.position
            else:  # it came to its end: what is left of the turn is not to be had here
                missed.append(kill)
                self.compare(home, scenario, ended)
        self.end(home, scenario)
        return missed

    def _run(self, home: Path, scenario: Scenario, point: str, occurrence: int) -> Ending:
        ended = self.runs.run(home, scenario.library, point=point, occurrence=occurrence)
        assert ended.status in (0, KILLED), f"{scenario.name}, {point}: status {ended.status}"
        if ended.status == KILLED:
            assert ended.last == point, (ended.last, point)
            assert_nothing_half(home, scenario.expected)
        return ended

    def end(self, home: Path, scenario: Scenario, **order: int) -> None:
        """One clean run: it ends well, finds nothing more to do, and has what it should have."""
        self.compare(home, scenario, self.runs.run(home, scenario.library, **order))
        self.clean_runs += 1

    def compare(self, home: Path, scenario: Scenario, ended: Ending) -> None:
        """A run has ended, and the home is what it would be had nobody been killed."""
        assert (ended.status, ended.left) == (0, [])
        assert_same(home, scenario.expected)

    def kill_at_random(self, scenario: Scenario, draw: random.Random, **order: int) -> Ending:
        """Kill a run at a moment of its undisturbed duration, whatever it is doing then."""
        while True:
            home = scenario.fresh(self.folder / "home")
            moment = draw.uniform(0.0, scenario.seconds)
            ended = self.runs.run(home, scenario.library, delay_s=moment, **order)
            if ended.status == KILLED:
                break
            assert ended.status == 0  # it was quicker this time
        self.moments[ended.last or "before the first point"] += 1
        assert_nothing_half(home, scenario.expected)
        return ended

    def kill_at_work(self, scenario: Scenario, delay_s: float) -> Ending:
        """Kill a run whose worker processes are decoding; they themselves are not killed."""
        home = scenario.fresh(self.folder / "home")
        ended = self.runs.run(home, scenario.library, workers=2, after=AT_WORK, delay_s=delay_s)
        assert ended.status == KILLED, "it had ended before"
        return ended

    def kill_commands(self, scenario: Scenario, draw: random.Random, kills: int) -> str:
        """Kill `melgraph run` again and again, each time in a later stage; then let it end.

        Returns:
            What the last one said.
        """
        home = scenario.fresh(self.folder / "commanded")
        for stage in sorted(draw.sample(LONG_STAGES, kills)):
            command = Command(home, scenario.library, BATCH_SIZE)
            command.kill_in_stage(stage, draw.uniform(0.0, 0.5))
            assert ArtifactStore(open_home(home)).assets() or stage == 1
        said = Command(home, scenario.library, BATCH_SIZE).finish()
        assert_includes(home, scenario.expected)
        return said


def turns(
    wanted: Sequence[tuple[Scenario, Kill]], length: int, draw: random.Random
) -> Iterator[tuple[Scenario, list[Kill]]]:
    """Deal kills to homes, at most `length` to each."""
    by_name: dict[str, list[tuple[Scenario, Kill]]] = defaultdict(list)
    for scenario, kill in wanted:
        by_name[scenario.name].append((scenario, kill))
    for dealt in by_name.values():
        draw.shuffle(dealt)
        homes = -(-len(dealt) // length)
        for start in range(homes):
            yield dealt[0][0], [kill for _, kill in dealt[start::homes]]


def kill_everywhere(
    campaign: Campaign,
    scenarios: Sequence[Scenario],
    seed: int,
    *,
    wanted: Callable[[str], bool] = lambda point: True,
) -> None:
    """Every named point once, at an occurrence drawn by chance; many kills to a home."""
    draw = random.Random(seed)
    places = points_of(scenarios)
    chosen = [(point, draw.choice(found)) for point, found in places.items() if wanted(point)]
    left = [(scenario, Kill(position, point)) for point, (scenario, position) in chosen]
    length = TO_A_HOME
    while left:
        missed = []
        for scenario, kills in turns(left, length, draw):
            missed += [(scenario, kill) for kill in campaign.kill_in_turn(scenario, kills)]
        left, length = missed, max(1, length // 4)
