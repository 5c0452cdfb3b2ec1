"""Do the intervals and tests of studies keep what they promise? Simulated collections.

    python benchmarks/paired.py [STUDIES]

Answers are drawn as real ones come: each track has a difficulty, that of its group and its own;
each training of a fold has its own luck; the arm is better or worse by a group-dependent amount.
Printed per shape of collection: how often the 95 % interval holds the true difference, how often
p < 0.05 where there is none, and how often p < 0.05 where the difference is `smallest`.
"""

import sys

import numpy as np
from scipy.stats import norm

from melgraph.ml.evaluation.paired import compare, estimate

SHAPES = {  # like emotify, like gtzan: tracks per group, repeats
    "131 tracks in 31 groups, 3 repeats": ([18, 12, 9, 8, 7, 6, 6, 5, 5, 5] + [4] * 5 + [2] * 14
                                           + [1, 1], 3),
    "131 tracks in 31 groups, 1 repeat": ([18, 12, 9, 8, 7, 6, 6, 5, 5, 5] + [4] * 5 + [2] * 14
                                          + [1, 1], 1),
    "90 tracks in 78 groups, 2 repeats": ([2] * 12 + [1] * 66, 2),
    "24 tracks in 12 groups, 1 repeat": ([2] * 12, 1),
}  # fmt: skip
GROUP, TRACK, TRAINING, ARM_BY_GROUP = 0.8, 0.8, 0.2, 0.35  # standard deviations, probits
FOLDS = 5


def draw(
    rng: np.random.Generator, sizes: list[int], repeats: int, gain: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Answers of arm and control `[repeat, track]`, groups, and the true mean difference."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    ease = rng.normal(0, GROUP, len(sizes))[groups] + rng.normal(0, TRACK, len(groups))
    more = gain + rng.normal(0, ARM_BY_GROUP, len(sizes))[groups]
    # every fold of every repeat is a training of its own, with its own luck
    fold = rng.integers(0, FOLDS, (repeats, len(sizes)))[:, groups]
    luck = rng.normal(0, TRAINING, (2, repeats, FOLDS))[:, np.arange(repeats)[:, None], fold]
    noise = rng.normal(0, 1, (2, repeats, len(groups)))
    control = (ease + luck[0] + noise[0] > 0).astype(float)
    arm = (ease + more + luck[1] + noise[1] > 0).astype(float)
    return arm, control, groups, true_difference(gain)


def true_difference(gain: float) -> float:
    """Of the population: the mean over groups, tracks, repeats and noise."""
    spread = np.sqrt(GROUP**2 + TRACK**2 + TRAINING**2 + 1)
    with_arm = np.sqrt(spread**2 + ARM_BY_GROUP**2)
    return float(norm.cdf(gain / with_arm) - 0.5)


def gain_for(difference: float) -> float:
    """The gain in probits whose true difference this is."""
    spread = np.sqrt(GROUP**2 + TRACK**2 + TRAINING**2 + 1 + ARM_BY_GROUP**2)
    return float(norm.ppf(min(0.99, 0.5 + difference)) * spread)


def simulate(sizes: list[int], repeats: int, studies: int, seed: int = 0) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    held = false = covered = 0
    smallest = []
    for _ in range(studies):
        arm, control, groups, truth = draw(rng, sizes, repeats, 0.0)
        found = compare(arm, control, groups, n_bootstrap=1000)
        held += found.low <= truth <= found.high
        false += found.p_value < 0.05
        smallest.append(found.smallest)
        level = estimate(control, groups, n_bootstrap=1000)
        covered += level.low <= 0.5 <= level.high
    shown, size = 0, float(np.median(smallest))
    for _ in range(studies):
        arm, control, groups, _ = draw(rng, sizes, repeats, gain_for(size))
        shown += compare(arm, control, groups, n_bootstrap=1000).p_value < 0.05
    return {
        "difference held": held / studies,
        "accuracy held": covered / studies,
        "false alarms": false / studies,
        "smallest": size,
        "shown at smallest": shown / studies,
    }


def main() -> None:
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    print(f"{studies} simulated studies each\n")
    print("| collection | interval of the difference holds | of the accuracy | false alarms "
          "| smallest | shown at smallest |\n| --- | --- | --- | --- | --- | --- |")  # fmt: skip
    for name, (sizes, repeats) in SHAPES.items():
        found = simulate(sizes, repeats, studies)
        print(f"| {name} | " + " | ".join(f"{value:.1%}" for value in found.values()) + " |")


if __name__ == "__main__":
    main()
