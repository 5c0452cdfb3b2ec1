"""Coverage of the confidence intervals and error rates of the tests of studies, by simulation.

    python benchmarks/paired.py [STUDIES]

Simulated answers resemble real ones: the difficulty of a track has a part of its group and a part
of its own; each training of a fold has a random effect; the arm is better or worse by an amount
that depends on the group. For each shape of collection the output is how often the 95 % confidence
interval contains the true difference, how often p < 0.05 although there is none, and how often
p < 0.05 if the true difference is `smallest`.
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
    """Draw answers of arm and control `[repeat, track]`, groups, and the true mean difference."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    ease = rng.normal(0, GROUP, len(sizes))[groups] + rng.normal(0, TRACK, len(groups))
    more = gain + rng.normal(0, ARM_BY_GROUP, len(sizes))[groups]
    # every fold of every repeat is a training of its own, with its own random effect
    fold = rng.integers(0, FOLDS, (repeats, len(sizes)))[:, groups]
    effect = rng.normal(0, TRAINING, (2, repeats, FOLDS))[:, np.arange(repeats)[:, None], fold]
    noise = rng.normal(0, 1, (2, repeats, len(groups)))
    control = (ease + effect[0] + noise[0] > 0).astype(float)
    arm = (ease + more + effect[1] + noise[1] > 0).astype(float)
    return arm, control, groups, true_difference(gain)


def true_difference(gain: float) -> float:
    """The difference in the population: the mean over groups, tracks, repeats and noise."""
    spread = np.sqrt(GROUP**2 + TRACK**2 + TRAINING**2 + 1)
    with_arm = np.sqrt(spread**2 + ARM_BY_GROUP**2)
    return float(norm.cdf(gain / with_arm) - 0.5)


def gain_for(difference: float) -> float:
    """The gain in probits that leads to this true difference."""
    spread = np.sqrt(GROUP**2 + TRACK**2 + TRAINING**2 + 1 + ARM_BY_GROUP**2)
    return float(norm.ppf(min(0.99, 0.5 + difference)) * spread)


def simulate(sizes: list[int], repeats: int, studies: int, seed: int = 0) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    held = false = covered = 0
    smallest = []
    for _ in range(studies):
        arm, control, groups, truth = draw(rng, sizes, repeats, 0.0)
        comparison = compare(arm, control, groups, n_bootstrap=1000)
        held += comparison.low <= truth <= comparison.high
        false += comparison.p_value < 0.05
        smallest.append(comparison.smallest)
        level = estimate(control, groups, n_bootstrap=1000)
        covered += level.low <= 0.5 <= level.high
    detected, size = 0, float(np.median(smallest))
    for _ in range(studies):
        arm, control, groups, _ = draw(rng, sizes, repeats, gain_for(size))
        detected += compare(arm, control, groups, n_bootstrap=1000).p_value < 0.05
    return {
        "difference contained": held / studies,
        "accuracy contained": covered / studies,
        "false alarms": false / studies,
        "smallest": size,
        "detected at smallest": detected / studies,
    }


def main() -> None:
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    print(f"{studies} simulated studies each\n")
    print("| collection | interval contains the difference | interval contains the accuracy "
          "| false alarms | smallest | detected at smallest |\n"
          "| --- | --- | --- | --- | --- | --- |")  # fmt: skip
    for name, (sizes, repeats) in SHAPES.items():
        rates = simulate(sizes, repeats, studies)
        print(f"| {name} | " + " | ".join(f"{value:.1%}" for value in rates.values()) + " |")


if __name__ == "__main__":
    main()
