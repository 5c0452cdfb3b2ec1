"""Kill runs at every named point, at random moments and with all workers; check the next run.

    python benchmarks/kills.py [--times 20] [--moments 100] [--at-work 20] [--commands 3]
        [--jobs 2]

A run is killed `--times` times at each named point, at randomly drawn occurrences, with several
kills of one home in a row. Then a clean run must leave what an undisturbed run leaves, byte for
byte and fact for fact (`tests/pipelines/killed_runs.py` defines the comparison). The random moments
are uniform over the duration of an undisturbed run, each in its own home. Prints tables in
Markdown. Linux only.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.pipelines.kill_campaign import (
    Campaign,
    kill_everywhere,
    long_scenario,
    make_scenarios,
    points_of,
)
from tests.pipelines.killed_runs import Runs, processes_of, wait_for_the_end

BAR = 40  # characters, for the stage with the most kills


def by_place(counts: Mapping[str, int]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = defaultdict(list)
    for point, count in counts.items():
        places[point.partition(":")[0]].append(count)
    return dict(places)


def log(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


@dataclass
class Job:
    """The kills that one process performs, and their counts."""

    seeds: list[int]  # of the rounds over every named point
    moments: int
    named: Campaign
    random: Campaign

    def carry_out(self) -> None:
        scenarios = make_scenarios(self.named.runs, self.named.folder)
        for scenario in scenarios:
            log(f"{scenario.name}: {len(scenario.trace)} points in {scenario.seconds:.2f} s")
        for seed in self.seeds:
            kill_everywhere(self.named, scenarios, seed)
            log(f"round {seed}: {self.named.hits.total()} kills")
            assert set(self.named.hits) == set(points_of(scenarios))
        draw = random.Random(len(self.seeds) and self.seeds[0])
        for number in range(self.moments):
            scenario = scenarios[number % len(scenarios)]
            self.random.kill_at_random(scenario, draw)
            self.random.end(self.random.folder / "home", scenario)
        log(f"{self.moments} moments")


def in_parallel(stack: ExitStack, folder: Path, times: int, moments: int, jobs: int) -> list[Job]:
    """Run the jobs, each with its own homes and its own process."""
    all_jobs = []
    for number in range(jobs):
        own = folder / str(number)
        own.mkdir()
        runs = stack.enter_context(Runs())
        moments_here = len(range(number, moments, jobs))
        seeds = list(range(number, times, jobs))
        all_jobs.append(Job(seeds, moments_here, Campaign(runs, own), Campaign(runs, own)))
    with ThreadPoolExecutor(jobs) as pool:
        for future in [pool.submit(job.carry_out) for job in all_jobs]:
            future.result()
    return all_jobs


def show_named(campaigns: list[Campaign]) -> None:
    hits = sum((campaign.hits for campaign in campaigns), Counter[str]())
    print("| place | named points | kills | fewest at one point | most at one point |")
    print("|---|---|---|---|---|")
    for place, counts in by_place(hits).items():
        print(f"| {place} | {len(counts)} | {sum(counts)} | {min(counts)} | {max(counts)} |")
    least, most = min(hits.values()), max(hits.values())
    print(f"| **all** | {len(hits)} | {hits.total()} | {least} | {most} |\n")
    clean = sum(campaign.clean_runs for campaign in campaigns)
    print(f"{clean} clean runs followed, all with the same result as without kills.\n")


def show_moments(campaigns: list[Campaign]) -> None:
    points = sum((campaign.moments for campaign in campaigns), Counter[str]())
    places = Counter(point.partition(":")[0] for point in points.elements())
    most = places.most_common(1)[0][1]
    print("```")
    for place, count in places.most_common():
        print(f"{place:26} {count:4} {'#' * round(BAR * count / most)}")
    print("```\n")
    print(
        f"{points.total()} random kills, {len(points)} different last points; "
        f"{sum(c.clean_runs for c in campaigns)} clean runs followed with the same result as "
        "without kills.\n"
    )


def at_work(campaign: Campaign, kills: int) -> None:
    scenario, draw = long_scenario(campaign.runs, campaign.folder), random.Random(2)
    outlived, longest = 0, 0.0
    for _ in range(kills):
        ended = campaign.kill_at_work(scenario, draw.uniform(0.0, 0.5))
        outlived += bool(processes_of(ended.process))
        longest = max(longest, wait_for_the_end(ended.process))
        campaign.end(campaign.folder / "home", scenario, workers=2)
    print(
        f"{kills} runs were killed while worker processes were decoding. In {outlived} of them "
        f"worker processes outlived the run, by at most {longest:.1f} s. A clean run followed "
        "each, with the same result as without kills.\n"
    )


def commands(campaign: Campaign, kills: int) -> None:
    scenarios = make_scenarios(campaign.runs, campaign.folder)
    campaign.kill_commands(scenarios[1], random.Random(3), kills)
    print(f"`melgraph run` was killed with all its processes {kills} times in a row. The next run")
    print("succeeded, and the home has the correct content.\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--moments", type=int, default=100)
    parser.add_argument("--at-work", type=int, default=20)
    parser.add_argument("--commands", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary folder")
    arguments = parser.parse_args()
    started = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=arguments.folder)))
        amounts = (arguments.times, arguments.moments, arguments.jobs)
        jobs = in_parallel(stack, folder.resolve(), *amounts)
        if arguments.times:
            show_named([job.named for job in jobs])
        if arguments.moments:
            show_moments([job.random for job in jobs])
        rest = Campaign(jobs[0].named.runs, folder.resolve())
        if arguments.at_work:
            at_work(rest, arguments.at_work)
        if arguments.commands:
            commands(rest, arguments.commands)
    log(f"{(time.monotonic() - started) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
