"""What becomes of runs that are killed: at every named point, at random moments, with all workers.

    python benchmarks/kills.py [--times 20] [--moments 100] [--at-work 20] [--commands 3]

Each named point is hit so many times, at occurrences drawn by chance, several kills of one home in
a row; then a clean run must leave what an undisturbed run leaves, byte for byte, fact for fact
(`tests/pipelines/killed_runs.py` says what is compared). The random moments are uniform over the
duration of an undisturbed run, each in a home of its own. Prints tables in Markdown. Linux only.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
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

BAR = 40  # characters, for the stage with most kills


def by_place(counts: Mapping[str, int]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for point, count in counts.items():
        found[point.partition(":")[0]].append(count)
    return dict(found)


def told(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def named_points(campaign: Campaign, scenarios: list, times: int) -> None:
    points = points_of(scenarios)
    for one in range(times):  # round by round, so that the end of each is seen
        kill_everywhere(campaign, scenarios, times=1, length=40, seed=one)
        told(f"round {one + 1} of {times}: {campaign.hits.total()} kills")
    assert set(campaign.hits) == set(points)
    print("| place | named points | kills | fewest at a point | most |\n|---|---|---|---|---|")
    for place, counts in by_place(campaign.hits).items():
        print(f"| {place} | {len(counts)} | {sum(counts)} | {min(counts)} | {max(counts)} |")
    hits = campaign.hits
    least, most = min(hits.values()), max(hits.values())
    print(f"| **all** | {len(hits)} | {hits.total()} | {least} | {most} |\n")
    print(f"{campaign.clean_runs} clean runs after them, all as if nobody had been killed.\n")


def moments(campaign: Campaign, scenarios: list, kills: int) -> None:
    draw = random.Random(1)
    for number in range(kills):
        scenario = scenarios[number % len(scenarios)]
        campaign.kill_at_random(scenario, draw)
        campaign.end(campaign.folder / "home", scenario)
    assert campaign.moments.total() == campaign.clean_runs == kills
    found = Counter(point.partition(":")[0] for point in campaign.moments.elements())
    print("```")
    for place, count in found.most_common():
        print(f"{place:26} {count:4} {'#' * round(BAR * count / found.most_common(1)[0][1])}")
    print("```\n")
    print(
        f"{kills} random kills, {len(campaign.moments)} different last points, "
        f"{campaign.clean_runs} clean runs as if nobody had been killed.\n"
    )


def at_work(campaign: Campaign, folder: Path, kills: int) -> None:
    scenario, draw = long_scenario(campaign.runs, folder), random.Random(2)
    outlived, longest = 0, 0.0
    for _ in range(kills):
        ended = campaign.kill_at_work(scenario, draw.uniform(0.0, 0.5))
        outlived += bool(processes_of(ended.process))
        longest = max(longest, wait_for_the_end(ended.process))
        campaign.end(campaign.folder / "home", scenario, workers=2)
    print(
        f"{kills} runs killed while worker processes were decoding: in {outlived} of them workers "
        f"outlived the run, {longest:.1f} s at most; then as if nobody had been killed.\n"
    )


def commands(campaign: Campaign, scenarios: list, kills: int) -> None:
    campaign.kill_commands(scenarios[1], random.Random(3), kills)
    print(f"`melgraph run` killed with all its processes {kills} times in a row: the next one ends")
    print("well, and the home holds what it should.\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--moments", type=int, default=100)
    parser.add_argument("--at-work", type=int, default=20)
    parser.add_argument("--commands", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to make it all; default: a temporary")
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name, Runs() as runs:
        folder = Path(name).resolve()
        scenarios = make_scenarios(runs, folder)
        for scenario in scenarios:
            told(f"{scenario.name}: {len(scenario.trace)} points in {scenario.seconds:.2f} s")
        if arguments.times:
            named_points(Campaign(runs, folder), scenarios, arguments.times)
        if arguments.moments:
            moments(Campaign(runs, folder), scenarios, arguments.moments)
        if arguments.at_work:
            at_work(Campaign(runs, folder), folder, arguments.at_work)
        if arguments.commands:
            commands(Campaign(runs, folder), scenarios, arguments.commands)
    told(f"{(time.monotonic() - started) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
