"""Coverage of the confidence intervals of macro ROC-AUC and PR-AUC, by simulated test splits.

    python benchmarks/tag_intervals.py [TEST_SPLITS]

In the simulation, each artist has preferred tags, and an offset that shifts all scores of the
artist; a tagger adds a signal of the track. There are two true values: the mean over many test
splits of the same shape, which an evaluation of that size estimates, and the value of a very large
test split (on few tracks PR-AUC is higher on average). For each shape the output is how often the
95 % confidence interval contains each true value, its mean width, the same for the bootstrap alone,
how often two equally good taggers differ significantly, and how often a tagger without any signal
is reported as above chance.
"""

import sys

import numpy as np
from scipy.special import erfinv

from melgraph.ml.evaluation import tagging
from melgraph.ml.metrics.tag_scores import weighted_macro

SHAPES = {  # tracks of each artist, tags, prevalence
    "48 tracks of 8 artists, 8 tags": ([6] * 8, 8, 0.25),
    "60 tracks of 20 artists, 12 tags": ([3] * 20, 12, 0.15),
    "200 tracks of 60 artists, 20 tags": ([20, 15, 10] + [3] * 41 + [2] * 16, 20, 0.1),
    "400 tracks of 300 artists, 20 tags": ([2] * 100 + [1] * 200, 20, 0.08),
}  # fmt: skip
RESAMPLES = 300
LIKES, SOUND, NOISE = 1.2, 0.7, 1.0  # standard deviations
SIGNAL = 1.3  # added to the score of a tag that is present


def draw(
    rng: np.random.Generator,
    sizes: list[int],
    n_tags: int,
    prevalence: float,
    signal: float = SIGNAL,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw scores of two taggers `[2, track, tag]`, truth and groups, all for the same artists."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    spread = np.sqrt(1 + LIKES**2)
    liking = rng.normal(0, LIKES, (len(sizes), n_tags))[groups]
    threshold = spread * np.sqrt(2) * float(erfinv(1 - 2 * prevalence))
    truth = liking + rng.normal(0, 1, liking.shape) > threshold
    sound = rng.normal(0, SOUND, (2, len(sizes), n_tags))[:, groups]
    scores = signal * truth + sound + rng.normal(0, NOISE, sound.shape)
    return 1 / (1 + np.exp(-scores)), truth, groups


def whole(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Macro ROC-AUC and PR-AUC of all tracks, unweighted."""
    return np.concatenate(weighted_macro(scores, truth, np.ones((1, len(truth)))))


def simulate(shape: tuple[list[int], int, float], parts: int) -> dict[str, float]:
    sizes, n_tags, prevalence = shape
    rng = np.random.default_rng(0)
    typical = [whole(s[0], t) for s, t, _ in (draw(rng, *shape) for _ in range(1000))]
    same_size = np.nanmean(typical, axis=0)
    scores, truth, _ = draw(rng, sizes * (40000 // sum(sizes)), n_tags, prevalence)
    large = whole(scores[0], truth)
    sums: dict[str, float] = {}

    def add(name: str, value: float) -> None:
        sums[name] = sums.get(name, 0.0) + value / parts

    for part in range(parts):
        scores, truth, groups = draw(rng, *shape)
        names = [str(tag) for tag in range(n_tags)]
        report = tagging.evaluate_tags(
            scores[0], truth, tags=names, groups=groups, seed=part, n_bootstrap=RESAMPLES
        )
        weights = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=RESAMPLES)
        plain = np.stack(weighted_macro(scores[0], truth, weights[:, groups].astype(float)))
        for i, name in enumerate(("roc_auc", "pr_auc")):
            low, high = getattr(report, f"{name}_low"), getattr(report, f"{name}_high")
            add(f"{name} contained", low <= same_size[i] <= high)
            add(f"{name} of a large split contained", low <= large[i] <= high)
            add(f"{name} width", high - low)
            ends = np.nanquantile(plain[i], [0.025, 0.975])
            add(f"{name} contained, bootstrap alone", ends[0] <= same_size[i] <= ends[1])
        paired = tagging.compare_tags(scores[0], scores[1], truth, groups, n_bootstrap=RESAMPLES)
        add("equal taggers differ significantly", not paired.low <= 0 <= paired.high)
        random_scores, truth, groups = draw(rng, *shape, signal=0.0)
        nothing = tagging.evaluate_tags(
            random_scores[0], truth, tags=names, groups=groups, seed=part, n_bootstrap=RESAMPLES
        )
        add("tagger without signal above chance", nothing.above_chance)
    return sums


def main() -> None:
    parts = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    for name, shape in SHAPES.items():
        print(name)
        for figure, value in simulate(shape, parts).items():
            print(f"  {figure:45s} {value:.3f}")


if __name__ == "__main__":
    main()
