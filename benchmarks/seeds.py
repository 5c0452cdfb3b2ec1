"""How should several seeds become one ranking, and what should "unlike" cost?

    python benchmarks/seeds.py HOME...     # the tables of docs/results/seeds.md, as Markdown

Each HOME has tracks with genres (folders), artists (groups) and embeddings. Playlists are drawn as
a person would make them: k tracks of one artist; k tracks of one genre, each by another artist; or
k tracks by as many artists, one half of another genre. The candidates are all tracks of other
artists. Those of the playlist's genres are relevant. The figure is the share of relevant tracks
among the first 10, or among as many as there are relevant tracks, if there are fewer. All methods
get the same playlists. Intervals and tests are over the artists around whom playlists were drawn.
Progress is written to standard error.
"""

import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from isolation_forests import extended_isolation_forest, isolation_forest

from melgraph.ml.evaluation.paired import compare, estimate, holm
from melgraph.ml.similarity.hubness import rescaled, scales
from melgraph.ml.similarity.neighbours import normalise
from melgraph.ml.similarity.seeds import EXCLUDED, seed_scores, unlike_scores

ENCODERS = ("musicnn-jamendo", "mn04-audioset", "audio-features", "mel-statistics")
TOP = 10
SIZES = (2, 3, 5)  # seeds of a playlist
DRAWS = 3  # playlists of each size and kind around each artist
N_UNWANTED = 3  # tracks of the unwanted genre
WEIGHTS = (0.1, 0.25, 0.5, 1.0)
MEAN, NEAREST = "mean vector", "nearest of any seed"
SCALED = ", local scaling"
BOTH = "mean and nearest in equal parts"  # the product
ALONE = "seeds alone"


@dataclass(frozen=True)
class Space:
    """The tracks of a collection in the space of an encoder."""

    collection: str
    encoder: str
    vectors: np.ndarray  # float32 [track, d] of length 1
    labels: np.ndarray  # [track]
    groups: np.ndarray  # [track]

    @cached_property
    def scales(self) -> np.ndarray:
        """float32 [track], as `recommendations` stores them."""
        similarities = np.sort(self.vectors @ self.vectors.T, axis=1)[:, ::-1]
        return scales(similarities[:, 1:])  # without each track itself

    def locally_scaled(self, scores: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """Scores of all tracks, rescaled as a query does it."""
        others = np.delete(scores, seeds)
        return rescaled(scores, scales(np.sort(others)[None, ::-1])[0], self.scales)


@dataclass(frozen=True)
class Playlist:
    """Seeds, and the artist around whom they were drawn."""

    seeds: np.ndarray  # rows
    anchor: int


Method = Callable[[np.ndarray, np.ndarray, int], np.ndarray]  # seeds, candidates, draw -> scores


def spaces(home: Path) -> Iterator[Space]:
    """The embeddings of a home, with labels and groups of the dataset `genres`."""
    from melgraph.assets.dataset.snapshot import Snapshot
    from melgraph.assets.embeddings.embeddings import BatchEmbeddings
    from melgraph.assets.settings import current_home
    from melgraph.storage.artifacts import ArtifactStore

    os.environ["MELGRAPH_HOME"] = str(home)
    store = ArtifactStore(current_home())
    # Tracks of classes that are too small to be split count as well: nothing is trained here.
    table = Snapshot.current(store, "genres").table().filter(pl.col("label").is_not_null())
    for encoder in ENCODERS:
        names = [n for n in store.partitions("embeddings") if n.startswith(f"{encoder}+")]
        tables = [BatchEmbeddings.current(store, name).track_vectors() for name in names]
        if not tables:
            raise SystemExit(f"{home} has no embeddings by {encoder}: melgraph run makes them")
        rows = table.join(pl.concat(tables), on="track_id").unique("track_id").sort("path")
        rows = rows.with_columns(recording=pl.coalesce("duplicate_cluster", "track_id"))
        rows = rows.unique("recording", keep="first", maintain_order=True)
        yield Space(
            home.name,
            encoder,
            normalise(rows["vector"].to_numpy()),
            rows["label"].to_numpy(),
            rows["group"].to_numpy(),
        )


def one_artist(space: Space, k: int, rng: np.random.Generator) -> Iterator[Playlist]:
    """k tracks of one artist and genre."""
    for label, group in _artists(space):
        rows = np.flatnonzero((space.groups == group) & (space.labels == label))
        if len(rows) >= k:
            for _ in range(DRAWS):
                yield Playlist(rng.choice(rows, k, replace=False), int(group))


def one_genre(space: Space, k: int, rng: np.random.Generator) -> Iterator[Playlist]:
    """A track of each of k artists of one genre."""
    for label, group in _artists(space):
        of_genre = {
            g: _rows(space, label, g) for g in np.unique(space.groups[space.labels == label])
        }
        others = [g for g in of_genre if g != group]
        if len(others) >= k:  # at least one artist is left
            for _ in range(DRAWS):
                artists = [group, *rng.choice(others, k - 1, replace=False)]
                yield Playlist(np.array([rng.choice(of_genre[g]) for g in artists]), int(group))


def two_genres(space: Space, k: int, rng: np.random.Generator) -> Iterator[Playlist]:
    """A track of each of k artists, one half of them of another genre."""
    if k < 4:
        return
    labels = np.unique(space.labels)
    for label, group in _artists(space):
        for _ in range(DRAWS):
            other = rng.choice(labels[labels != label])
            halves = []
            for name, n, first in ((label, k - k // 2, [group]), (other, k // 2, [])):
                artists = [
                    g for g in np.unique(space.groups[space.labels == name]) if g not in first
                ]
                if len(artists) < n:
                    break
                artists_of_seeds = [*first, *rng.choice(artists, n - len(first), replace=False)]
                halves += [rng.choice(_rows(space, name, g)) for g in artists_of_seeds]
            if len(halves) == k:
                yield Playlist(np.array(halves), int(group))


KINDS = {
    "one artist": one_artist,
    "one genre, several artists": one_genre,
    "two genres": two_genres,
}


def _artists(space: Space) -> list[tuple[str, int]]:
    pairs = {(str(label), int(group)) for label, group in
             zip(space.labels, space.groups, strict=True)}  # fmt: skip
    return sorted(pairs)


def _rows(space: Space, label: str, group: int) -> np.ndarray:
    return np.flatnonzero((space.labels == label) & (space.groups == group))


def nearest_of_any(seeds: np.ndarray, candidates: np.ndarray, draw: int) -> np.ndarray:
    return (seeds @ candidates.T).max(axis=0)


def mean_vector(seeds: np.ndarray, candidates: np.ndarray, draw: int) -> np.ndarray:
    return (seeds @ candidates.T).mean(axis=0)


def first_seed(seeds: np.ndarray, candidates: np.ndarray, draw: int) -> np.ndarray:
    return seeds[0] @ candidates.T


METHODS: dict[str, Method] = {
    MEAN: mean_vector,
    NEAREST: nearest_of_any,
    "isolation forest": isolation_forest,
    "extended isolation forest": extended_isolation_forest,
    "first seed alone": first_seed,
}
COMBINATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # [seed, track] -> [track]
    MEAN: lambda similarities: similarities.mean(axis=0),
    NEAREST: lambda similarities: similarities.max(axis=0),
    BOTH: seed_scores,
}


@dataclass(frozen=True)
class Result:
    """The shares of relevant tracks that all methods reach for one playlist in one space."""

    collection: str
    encoder: str
    kind: str
    size: int
    number: int  # of the playlist: equal in all spaces of a collection
    anchor: int
    shares: dict[str, float]


def precision(scores: np.ndarray, relevant: np.ndarray) -> float:
    """The share of relevant tracks among the first."""
    n = min(TOP, int(relevant.sum()))
    return float(relevant[np.argsort(-scores, kind="stable")[:n]].mean())


def measure(space: Space) -> Iterator[Result]:
    rng = np.random.default_rng(0)
    for size in SIZES:
        for kind, draw in KINDS.items():
            for number, playlist in enumerate(draw(space, size, rng)):
                seeds = playlist.seeds
                others = np.flatnonzero(~np.isin(space.groups, space.groups[seeds]))
                rows = rng.permutation(others)  # equal scores: in random order
                relevant = np.isin(space.labels[rows], space.labels[seeds])
                if not relevant.any():
                    continue
                shares = {
                    name: precision(
                        method(space.vectors[seeds], space.vectors[rows], number), relevant
                    )
                    for name, method in METHODS.items()
                }
                similarities = space.vectors[seeds] @ space.vectors.T
                for name, combine in COMBINATIONS.items():
                    scores = space.locally_scaled(combine(similarities), seeds)
                    shares[name + SCALED] = precision(scores[rows], relevant)
                shares["random"] = float(relevant.mean())
                yield Result(space.collection, space.encoder, kind, size, number,
                             playlist.anchor, shares)  # fmt: skip


def measure_unlike(space: Space) -> Iterator[Result]:
    """The genre of the seeds, and an unwanted one: the share of each among the first 10."""
    rng = np.random.default_rng(0)
    number = 0
    for label, group in _artists(space):
        artists = [g for g in np.unique(space.groups[space.labels == label]) if g != group]
        if not artists:
            continue
        n_seeds = min(N_UNWANTED, len(artists))  # at least one artist is left
        for unwanted in np.unique(space.labels[space.labels != label]):
            number += 1
            artists_of_seeds = [group, *rng.choice(artists, n_seeds - 1, replace=False)]
            seeds = np.array([rng.choice(_rows(space, label, g)) for g in artists_of_seeds])
            of_unwanted = np.flatnonzero(space.labels == unwanted)
            unwanted_tracks = rng.choice(
                of_unwanted, min(N_UNWANTED, len(of_unwanted)), replace=False
            )
            rows = rng.permutation(len(space.labels))
            # Other tracks of the unwanted artists stay candidates: they are what is not wanted.
            rows = rows[
                ~np.isin(space.groups[rows], space.groups[seeds]) & ~np.isin(rows, unwanted_tracks)
            ]
            to_seeds = space.vectors[seeds] @ space.vectors.T
            to_unwanted = space.vectors[unwanted_tracks] @ space.vectors.T
            of_seeds = space.locally_scaled(seed_scores(to_seeds), seeds)
            # Capped: the opposite of an unwanted track is no better than an unrelated one.
            of_unwanted_tracks = space.locally_scaled(
                np.maximum(seed_scores(to_unwanted), 0), unwanted_tracks
            )
            rankings = {ALONE: of_seeds}
            rankings |= {
                f"difference, weight {w:g}": of_seeds - w * of_unwanted_tracks for w in WEIGHTS
            }
            is_allowed = unlike_scores(to_seeds, to_unwanted) != EXCLUDED
            rankings["only what is nearer to the seeds"] = np.where(is_allowed, of_seeds, -np.inf)
            shares = {}
            for name, scores in rankings.items():
                first = space.labels[rows[np.argsort(-scores[rows], kind="stable")[:TOP]]]
                shares[f"{name}: wanted"] = float((first == label).mean())
                shares[f"{name}: unwanted"] = float((first == unwanted).mean())
            yield Result(space.collection, space.encoder, "unlike", n_seeds, number, group, shares)


def mean_over_encoders(results: Sequence[Result]) -> list[Result]:
    """One result per playlist, whose shares are the means over the encoders."""
    of_playlist: dict[tuple[str, str, int, int], list[Result]] = defaultdict(list)
    for one in results:
        of_playlist[one.collection, one.kind, one.size, one.number].append(one)
    return [
        Result(r[0].collection, "all", r[0].kind, r[0].size, r[0].number, r[0].anchor,
               {name: float(np.mean([one.shares[name] for one in r])) for name in r[0].shares})
        for r in of_playlist.values()
    ]  # fmt: skip


def columns(results: Sequence[Result], name: str, control: str) -> tuple[np.ndarray, ...]:
    """Shares of an arm and of the control `[1, playlist]`, and the artist of each playlist."""
    artists = [f"{one.collection} {one.anchor}" for one in results]
    _, groups = np.unique(artists, return_inverse=True)
    arm, other = (np.array([[one.shares[n] for one in results]]) for n in (name, control))
    return arm, other, groups


def difference(results: Sequence[Result], name: str, control: str) -> str:
    """In percentage points."""
    result = compare(*columns(results, name, control))
    points = [100 * value for value in (result.difference, result.low, result.high)]
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(*points)


def level(results: Sequence[Result], name: str) -> str:
    shares, _, groups = columns(results, name, name)
    result = estimate(shares, groups)
    percentages = [100 * value for value in (result.accuracy, result.low, result.high)]
    return "{:.1f} % ({:.1f} % to {:.1f} %)".format(*percentages)


def parts_of(results: Sequence[Result]) -> Iterator[tuple[str, Sequence[Result]]]:
    """The rows of a table: all, by collection, by encoder, by kind of playlist."""
    pooled = mean_over_encoders(results)
    yield "all", pooled
    for collection in dict.fromkeys(one.collection for one in results):
        yield collection, [one for one in pooled if one.collection == collection]
    for collection in dict.fromkeys(one.collection for one in results):
        for encoder in ENCODERS:
            named = (collection, encoder)
            yield ", ".join(named), [r for r in results if (r.collection, r.encoder) == named]
    for kind in KINDS:
        for size in SIZES:
            yield f"{kind}, {size} seeds", [r for r in pooled if (r.kind, r.size) == (kind, size)]


def print_seeds(results: Sequence[Result], control: str, others: Sequence[str]) -> None:
    print(f"| playlists | playlists / artists | random | {control} | {' | '.join(others)} |")
    print("| --- | --- | --- | --- |" + " --- |" * len(others))
    for title, part in parts_of(results):
        if part:
            n_groups = len({(one.collection, one.anchor) for one in part})
            n_playlists = len({(one.collection, one.kind, one.size, one.number) for one in part})
            chance = np.mean([one.shares["random"] for one in part])
            cells = " | ".join(difference(part, name, control) for name in others)
            print(
                f"| {title} | {n_playlists} / {n_groups} | {100 * chance:.1f} % "
                f"| {level(part, control)} | {cells} |"
            )
    pooled = mean_over_encoders(results)
    tests = [compare(*columns(pooled, name, control)).p_value for name in others]
    values = [f"{p:.3f}" if p >= 0.001 else "below 0.001" for p in holm(tests)]
    texts = "; ".join(f"{name} {value}" for name, value in zip(others, values, strict=True))
    print(f"\np-values of the first row, after Holm: {texts}")


def print_unlike(results: Sequence[Result]) -> None:
    pooled = mean_over_encoders(results)
    names = list(dict.fromkeys(name.split(": ")[0] for name in pooled[0].shares))
    print("| collection | ranking | wanted genre | difference | unwanted genre | difference |")
    print("| --- | --- | --- | --- | --- | --- |")
    for collection in ("all", *dict.fromkeys(one.collection for one in results)):
        part = [one for one in pooled if collection in ("all", one.collection)]
        for name in names:
            cells = [
                cell
                for what in ("wanted", "unwanted")
                for cell in (
                    level(part, f"{name}: {what}"),
                    "" if name == ALONE else
                    difference(part, f"{name}: {what}", f"{ALONE}: {what}"),
                )
            ]  # fmt: skip
            print(f"| {collection} | {name} | " + " | ".join(cells) + " |")
    print(f"\n{len(pooled)} pairs of seeds and unwanted tracks, "
          f"{len({(one.collection, one.anchor) for one in pooled})} artists")  # fmt: skip


def main() -> None:
    homes = [Path(argument) for argument in sys.argv[1:]]
    if not homes:
        raise SystemExit(__doc__)
    all_spaces = [space for home in homes for space in spaces(home)]
    results: list[Result] = []
    for space in all_spaces:
        results += measure(space)
        print(f"{space.collection}, {space.encoder}: measured", file=sys.stderr, flush=True)
    print("### Several seeds, by cosines\n")
    print_seeds(results, MEAN, [name for name in METHODS if name != MEAN])
    print("\n### Several seeds, with local scaling\n")
    scaled = [name + SCALED for name in COMBINATIONS if name != MEAN]
    print_seeds(results, MEAN + SCALED, [*scaled, MEAN])
    print("\n### Like these, but not like those\n")
    print_unlike([result for space in all_spaces for result in measure_unlike(space)])


if __name__ == "__main__":
    main()
