"""Which rescaled similarity reduces hubs without loss? Makes docs/results/hubness.md.

    python benchmarks/hubness.py HOME ...      # the tables, as Markdown; takes seconds

Each HOME is that of a `melgraph run`, with the dataset `genres` and embeddings by the same
encoders. The folder's name is the name of the collection. Of copies of a recording, only the
longest is used. Methods and neighbourhoods are compared on training and validation tracks. Results
are those of the whole collection; where labels are used, the queries are test tracks. A dataset
without splits is used as a whole in both.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_ndtr

from melgraph.ml.evaluation.paired import compare
from melgraph.ml.similarity.hubness import SMALLEST_DISTANCE, hubness, rescaled, scales
from melgraph.ml.similarity.neighbours import normalise
from melgraph.ml.similarity.quality import (
    Figure,
    Relevance,
    expected_precision,
    mean_figure,
    precision_at,
)

N_CANDIDATES = 100
N_LIST = 10
OLD_SHARES = (1.0, 4 / 5, 2 / 3, 1 / 2, 1 / 4)  # of a catalogue, when its scales were computed
SEEDS = range(5)
CHOICE = "local scaling, 20"
Method = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Collection:
    """Tracks with labels, groups and splits, and their vectors by each encoder."""

    name: str
    labels: list[str]
    groups: np.ndarray
    splits: list[str | None]
    vectors: dict[str, np.ndarray]  # encoder -> float32 [track, dim], of length 1
    segments: dict[str, np.ndarray]  # encoder -> float32 [segment, dim], of length 1

    def rows(self, *splits: str) -> np.ndarray:
        """The tracks of some splits; all tracks if the dataset has no splits."""
        if not any(self.splits):
            return np.arange(len(self.splits))
        return np.flatnonzero([split in splits for split in self.splits])


def main() -> None:
    collections = [load(Path(home)) for home in sys.argv[1:]]
    show_choice(collections)
    for collection in collections:
        show_result(collection)
    show_pooled_differences(collections)
    show_large_catalogue(collections)
    show_growth(collections)


def load(home: Path) -> Collection:
    import polars as pl

    from melgraph.assets.dataset.snapshot import Snapshot
    from melgraph.assets.embeddings.batch_embeddings import BatchEmbeddings
    from melgraph.storage.artifacts import ArtifactStore
    from melgraph.storage.home import Home

    store = ArtifactStore(Home(home, ""))
    table = (
        Snapshot.current(store, "genres")
        .table()
        .sort("duration_s", "track_id", descending=True)
        .unique(pl.coalesce("duplicate_cluster", "track_id"), keep="first")
        .sort("track_id")
    )
    tables: dict[str, list[BatchEmbeddings]] = {}
    for one in BatchEmbeddings.all_current(store):
        tables.setdefault(one.name.split("+")[0], []).append(one)

    def of_tracks(parts: list[pl.DataFrame]) -> np.ndarray:
        ids = table.select("track_id")
        joined = ids.join(pl.concat(parts), on="track_id", maintain_order="left_right")
        return normalise(joined["vector"].to_numpy())

    return Collection(
        home.name,
        table["label"].to_list(),
        table["group"].to_numpy(),
        table["split"].to_list(),
        {name: of_tracks([b.track_vectors() for b in each]) for name, each in tables.items()},
        {name: of_tracks([b.segment_vectors() for b in each]) for name, each in tables.items()},
    )


def candidates(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and cosines of the nearest other tracks of each track, nearest first."""
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    rows = np.argsort(-cosines, axis=1, kind="stable")[:, : min(N_CANDIDATES, len(vectors) - 1)]
    return rows, np.take_along_axis(cosines, rows, axis=1).astype(np.float64)


def by_score(rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The candidates of each track, the largest score first."""
    return np.take_along_axis(rows, np.argsort(-scores, axis=1, kind="stable"), axis=1)


# The methods. All but the cosine have a scale per track, computed from its n nearest candidates.
def cosine(cosines: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return cosines


def melgraph_scaling(cosines: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Local scaling as melgraph computes it: the distance to the 20th neighbour."""
    scale = scales(cosines)
    return rescaled(cosines, scale[:, None], scale[rows])


def local_scaling(n: int) -> Method:
    """The distance, divided by both distances to the n-th neighbour."""

    def method(cosines: np.ndarray, rows: np.ndarray) -> np.ndarray:
        scale = np.maximum(1 - cosines[:, min(n, cosines.shape[1]) - 1], SMALLEST_DISTANCE)
        return rescaled(cosines, scale[:, None], scale[rows])

    return method


def nicdm(n: int) -> Method:
    """The distance, divided by both mean distances to the n nearest (Schnitzer et al. 2012)."""

    def method(cosines: np.ndarray, rows: np.ndarray) -> np.ndarray:
        scale = np.maximum((1 - cosines[:, :n]).mean(axis=1), SMALLEST_DISTANCE)
        return rescaled(cosines, scale[:, None], scale[rows])

    return method


def mutual_proximity(n: int) -> Method:
    """The probability that both tracks have farther neighbours (Schnitzer et al. 2012).

    Distances are taken as normal, and those of both tracks as independent.
    """

    def method(cosines: np.ndarray, rows: np.ndarray) -> np.ndarray:
        distance = 1 - cosines
        mean = distance[:, :n].mean(axis=1)
        spread = np.maximum(distance[:, :n].std(axis=1), SMALLEST_DISTANCE)
        of_query = log_ndtr((mean[:, None] - distance) / spread[:, None])
        return of_query + log_ndtr((mean[rows] - distance) / spread[rows])

    return method


def csls(n: int) -> Method:
    """Twice the cosine, minus both mean cosines of the n nearest (Conneau et al. 2018)."""

    def method(cosines: np.ndarray, rows: np.ndarray) -> np.ndarray:
        mean = cosines[:, :n].mean(axis=1)
        return 2 * cosines - mean[:, None] - mean[rows]

    return method


METHODS: dict[str, Method] = {
    "cosine": cosine,
    CHOICE: melgraph_scaling,
    **{f"local scaling, {n}": local_scaling(n) for n in (5, 10, 30, 40)},
    **{f"NICDM, {n}": nicdm(n) for n in (5, 10, 20, 30, 40)},
    **{f"mutual proximity, {n}": mutual_proximity(n) for n in (10, 20, 30, 50, 100)},
    **{f"CSLS, {n}": csls(n) for n in (5, 10, 20, 30, 40)},
}
OF_RESULT = ("cosine", CHOICE, "NICDM, 40", "mutual proximity, 30", "CSLS, 40")


def precision_of(collection: Collection, ranking: np.ndarray, queries: np.ndarray) -> Figure:
    """Precision of the queries that have a right answer in the collection."""
    relevance = Relevance([[label] for label in collection.labels], collection.groups)
    precision = precision_at(N_LIST, relevance, queries, ranking[queries])
    precision[relevance.totals(queries)[1] == 0] = np.nan
    chances = expected_precision(relevance, queries)
    return mean_figure(precision, chances, relevance.groups[queries])


def of_precision(arm: ArrayLike, control: ArrayLike, groups: ArrayLike) -> str:
    """The paired difference of precision, in percentage points; one row per encoder."""
    one = compare(np.array(arm), np.array(control), np.array(groups))
    low, high = 100 * one.low, 100 * one.high
    return f"{100 * one.difference:+.1f} ({low:+.1f} to {high:+.1f})"


def show_choice(collections: list[Collection]) -> None:
    """A row per method: means over all collections and encoders, from training and validation."""
    print("\n## Methods, on training and validation tracks\n")
    print(
        "| method, neighbours | smallest coverage | mean absolute skewness | mean skewness "
        "| mean largest hub | precision@10 minus that of the cosine, points: mean | smallest |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    cells: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in METHODS}
    for collection in collections:
        rows = collection.rows("train", "validation")
        part = Collection(
            collection.name,
            [collection.labels[row] for row in rows],
            collection.groups[rows],
            [None] * len(rows),
            {name: vectors[rows] for name, vectors in collection.vectors.items()},
            {},
        )
        for vectors in part.vectors.values():
            nearest, cosines = candidates(vectors)
            plain = 0.0
            for name, method in METHODS.items():
                ranking = by_score(nearest, method(cosines, nearest))
                hubs = hubness(ranking[:, :N_LIST], len(rows))
                precision = precision_of(part, ranking, np.arange(len(rows))).mean
                plain = precision if name == "cosine" else plain
                cells[name].append(
                    (hubs.coverage, hubs.skewness, hubs.largest_hub, 100 * (precision - plain))
                )
    for name, each in cells.items():
        coverage, skewness, hub, difference = np.array(each).T
        print(
            f"| {name} | {coverage.min():.3f} | {np.abs(skewness).mean():.2f} "
            f"| {skewness.mean():+.2f} | {hub.mean():.1f} | {difference.mean():+.2f} "
            f"| {difference.min():+.1f} |"
        )


def show_result(collection: Collection) -> None:
    """A row per encoder and method: coverage and hubs of all tracks, precision of test tracks."""
    n = len(collection.labels)
    print(f"\n## {collection.name}: {n} recordings of {len(set(collection.groups))} groups\n")
    print(
        "| encoder | method | coverage | skewness | largest hub | precision@10, test tracks "
        "| minus that of the cosine, points |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    precisions = test_precisions(collection)
    n_queries = n_groups = 0
    for encoder, vectors in collection.vectors.items():
        rows, cosines = candidates(vectors)
        plain = precisions["cosine"][encoder]
        for name in OF_RESULT:
            hubs = hubness(by_score(rows, METHODS[name](cosines, rows))[:, :N_LIST], n)
            one = precisions[name][encoder]
            n_queries, n_groups = one.n_queries, one.n_groups
            difference = of_precision([one.values], [plain.values], one.groups)
            print(
                f"| {encoder} | {name} | {hubs.coverage:.3f} | {hubs.skewness:+.2f} "
                f"| {hubs.largest_hub} | {one.mean:.1%} ({one.low:.1%} to {one.high:.1%}; "
                f"random {one.chance:.1%}) | {'-' if name == 'cosine' else difference} |"
            )
    print(f"\nPrecision: {n_queries} queries of {n_groups} groups.")


def test_precisions(collection: Collection) -> dict[str, dict[str, Figure]]:
    """Method -> encoder -> precision of the test tracks among all tracks of the collection."""
    queries = collection.rows("test")
    precisions: dict[str, dict[str, Figure]] = {name: {} for name in OF_RESULT}
    for encoder, vectors in collection.vectors.items():
        rows, cosines = candidates(vectors)
        for name in OF_RESULT:
            ranking = by_score(rows, METHODS[name](cosines, rows))
            precisions[name][encoder] = precision_of(collection, ranking, queries)
    return precisions


def show_pooled_differences(collections: list[Collection]) -> None:
    """The difference of precision from the cosine, over all encoders, and over all collections."""
    print("\n## Precision@10 of test tracks minus that of the cosine, all encoders together\n")
    names = [collection.name for collection in collections]
    print(f"| method | {' | '.join(names)} | all collections |")
    print("| --- |" + " --- |" * (len(names) + 1))
    each = [test_precisions(collection) for collection in collections]
    for name in OF_RESULT[1:]:
        arms, controls, groups = [], [], []
        for i, one in enumerate(each):
            arms.append([figure.values for figure in one[name].values()])
            controls.append([figure.values for figure in one["cosine"].values()])
            groups.append([f"{i}/{group}" for group in next(iter(one[name].values())).groups])
        cells = [of_precision(*of_one) for of_one in zip(arms, controls, groups, strict=True)]
        cells.append(of_precision(*(np.concatenate(x, axis=-1) for x in (arms, controls, groups))))
        print(f"| {name} | {' | '.join(cells)} |")


def show_large_catalogue(collections: list[Collection]) -> None:
    """Coverage and hubs if all segments of all collections are one catalogue."""
    print("\n## All segments of all collections as one catalogue\n")
    print("| encoder | segments | method | coverage | skewness | largest hub |")
    print("| --- | --- | --- | --- | --- | --- |")
    for encoder in collections[0].segments:
        vectors = np.concatenate([collection.segments[encoder] for collection in collections])
        rows, cosines = candidates(vectors)
        for name in OF_RESULT:
            lists = by_score(rows, METHODS[name](cosines, rows))[:, :N_LIST]
            hubs = hubness(lists, len(vectors))
            print(
                f"| {encoder} | {len(vectors)} | {name} | {hubs.coverage:.3f} "
                f"| {hubs.skewness:+.2f} | {hubs.largest_hub} |"
            )


def show_growth(collections: list[Collection]) -> None:
    """Means over collections, encoders and seeds if the scales of older tracks are frozen."""
    print("\n## Scales that are frozen while the catalogue grows\n")
    print(
        "| the catalogue has grown by | mean coverage | smallest coverage | mean skewness "
        "| mean largest hub |"
    )
    print("| --- | --- | --- | --- | --- |")
    cells: dict[str, list[tuple[float, float, float]]] = {}
    for collection in collections:
        for vectors in collection.vectors.values():
            n = len(vectors)
            rows, cosines = candidates(vectors)
            hubs = hubness(rows[:, :N_LIST], n)
            figures = hubs.coverage, hubs.skewness, hubs.largest_hub
            cells.setdefault("(plain cosine)", []).append(figures)
            for share in OLD_SHARES:
                for seed in SEEDS:
                    old = np.random.default_rng(seed).permutation(n)[: round(share * n)]
                    scale = scales(cosines)
                    scale[old] = scales(candidates(vectors[old])[1])
                    scores = rescaled(cosines, scale[:, None], scale[rows])
                    hubs = hubness(by_score(rows, scores)[:, :N_LIST], n)
                    figures = hubs.coverage, hubs.skewness, hubs.largest_hub
                    cells.setdefault(f"{1 / share - 1:.0%}", []).append(figures)
    for name, each in cells.items():
        coverage, skewness, hub = np.array(each).T
        print(
            f"| {name} | {coverage.mean():.3f} | {coverage.min():.3f} | {skewness.mean():+.2f} "
            f"| {hub.mean():.1f} |"
        )


if __name__ == "__main__":
    main()
