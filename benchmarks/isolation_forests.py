"""Scores of candidates by isolation forests that are fitted to seeds. For benchmarks/seeds.py."""

import numpy as np
from sklearn.ensemble import IsolationForest

TREES = 100  # of a forest
EXTENSION = 10  # a plane of the extended forest has at most this number of further features


def isolation_forest(seeds: np.ndarray, candidates: np.ndarray, draw: int) -> np.ndarray:
    """Liu, Ting and Zhou (2008), with the library's defaults."""
    forest = IsolationForest(n_estimators=TREES, random_state=draw).fit(seeds)
    return forest.score_samples(candidates)


def extended_isolation_forest(seeds: np.ndarray, candidates: np.ndarray, draw: int) -> np.ndarray:
    """Hariri, Kind and Brunner (2019): random planes, as bliss has it."""
    rng = np.random.default_rng(draw)
    limit = int(np.ceil(np.log2(max(len(seeds), 2))))
    depths = sum(_depth(seeds, candidates, 0, limit, rng) for _ in range(TREES)) / TREES
    return -np.power(2.0, -depths / _usual_depth(len(seeds)))


def _depth(
    seeds: np.ndarray, points: np.ndarray, level: int, limit: int, rng: np.random.Generator
) -> np.ndarray:
    """The depth at which one random tree isolates each point."""
    if level >= limit or len(seeds) <= 1 or not len(points):
        return np.full(len(points), level + _usual_depth(len(seeds)))
    n_features = seeds.shape[1]
    normal = rng.normal(size=n_features)
    unused = max(n_features - EXTENSION - 1, 0)
    normal[rng.choice(n_features, unused, replace=False)] = 0.0
    point = rng.uniform(seeds.min(axis=0), seeds.max(axis=0))
    seed_side, side = (seeds - point) @ normal <= 0, (points - point) @ normal <= 0
    depths = np.empty(len(points))
    for flag in (True, False):
        depths[side == flag] = _depth(
            seeds[seed_side == flag], points[side == flag], level + 1, limit, rng
        )
    return depths


def _usual_depth(n: int) -> float:
    """The mean depth of an unsuccessful search in a binary tree of n points (Liu et al., eq. 1)."""
    if n <= 1:
        return 0.0
    return 1.0 if n == 2 else 2 * (np.log(n - 1) + np.euler_gamma) - 2 * (n - 1) / n
