"""Is a fusion as precise as its parts, and as plain concatenation? For decision 0013.

    python benchmarks/fusions.py HOME ...      # the tables, as Markdown; takes seconds

Each HOME is that of a `melgraph run` with the parts of the shipped fusion in service, and is named
after its collection. Precision is that at 10 for the same genre, without tracks of the artist of
the query. Queries and candidates are training tracks, because the test splits are for the reports.
Differences are paired by query, with intervals over artists. Each part is standardised over all
tracks of the dataset, as a fusion does it.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from melgraph.ml.embeddings.fusion import PartScaling, fuse, scaling_of
from melgraph.ml.evaluation.paired import compare
from melgraph.ml.moments import Moments
from melgraph.ml.similarity.neighbours import normalise
from melgraph.ml.similarity.quality import Relevance, precision_at
from melgraph.ml.similarity.rankings import rankings

PARTS = ("musicnn-jamendo", "mn04-audioset", "audio-features")
FUSION, PLAIN, CENTRED = "the fusion", "plain concatenation", "the fusion, centred only"
DIFFERENCES = ((FUSION, PLAIN), (FUSION, PARTS[1]), (FUSION, CENTRED))
K = 10


@dataclass(frozen=True)
class Collection:
    """The tracks of a dataset, and their vectors by each part."""

    name: str
    labels: np.ndarray  # [track]
    groups: np.ndarray  # [track]
    training: np.ndarray  # rows of the training tracks
    vectors: list[np.ndarray]  # of each part float32 [track, dim]
    scalings: list[PartScaling]


def main() -> None:
    if not sys.argv[1:]:
        raise SystemExit(__doc__)
    collections = [load(Path(home)) for home in sys.argv[1:]]
    show_precision(collections)
    show_vectors(collections)


def load(home: Path) -> Collection:
    import polars as pl

    from melgraph.assets.dataset.snapshot import Snapshot
    from melgraph.assets.embeddings.batch_embeddings import BatchEmbeddings
    from melgraph.storage.artifacts import ArtifactStore
    from melgraph.storage.home import open_home

    store = ArtifactStore(open_home(home))
    table = Snapshot.current(store, "genres").table().sort("track_id")
    current = BatchEmbeddings.all_current(store)
    vectors = []
    for part in PARTS:
        tables = [one.track_vectors() for one in current if one.name.startswith(f"{part}+")]
        if not tables:
            raise SystemExit(f"{home} has no embeddings by {part}: put it into service and run")
        rows = table.select("track_id").join(
            pl.concat(tables), on="track_id", maintain_order="left_right"
        )
        vectors.append(rows["vector"].to_numpy())
    return Collection(
        home.name,
        table["label"].to_numpy(),
        table["group"].to_numpy(),
        np.flatnonzero(table["split"].to_numpy() == "train"),
        vectors,
        [scaling_of(moments_of(each)) for each in vectors],
    )


def moments_of(rows: np.ndarray) -> Moments:
    moments = Moments()
    moments.add(rows)
    return moments


def spaces(one: Collection) -> dict[str, np.ndarray]:
    """The vectors of each part and of each way to join them, float32 [track, dim], length 1."""
    shares = [1 / len(PARTS)] * len(PARTS)
    centred = [replace(s, deviation=np.ones_like(s.deviation)) for s in one.scalings]
    plain = np.hstack([standardised(*each) for each in zip(one.vectors, one.scalings, strict=True)])
    return {name: normalise(each) for name, each in zip(PARTS, one.vectors, strict=True)} | {
        PLAIN: normalise(plain),
        FUSION: normalise(fuse(one.vectors, one.scalings, shares)),
        CENTRED: normalise(fuse(one.vectors, centred, shares)),
    }


def standardised(vectors: np.ndarray, scaling: PartScaling) -> np.ndarray:
    """Standardised vectors of a part, whose mean square length is 1."""
    return (vectors - scaling.mean) / scaling.deviation / np.sqrt(vectors.shape[1])


def show_precision(collections: list[Collection]) -> None:
    names = [*PARTS, PLAIN, CENTRED, FUSION]
    titles = [*names, *(f"{arm} minus {control}" for arm, control in DIFFERENCES)]
    print_row(["training tracks (artists or recordings)", *titles])
    print_row(["---"] * (len(titles) + 1))
    for one in collections:
        rows, queries = one.training, np.arange(len(one.training))
        relevance = Relevance([[label] for label in one.labels[rows]], one.groups[rows])
        precision = {
            name: precision_at(K, relevance, queries, rankings(vectors[rows], queries)[0])
            for name, vectors in spaces(one).items()
        }
        differences = []
        for arm, control in DIFFERENCES:
            test = compare(precision[arm][None], precision[control][None], one.groups[rows])
            values = (test.difference, test.low, test.high)
            signed = [round(value, 3) + 0.0 for value in values]  # + 0.0: no "-0.000"
            differences.append("{:+.3f} ({:+.3f} to {:+.3f})".format(*signed))
        n_groups = len(np.unique(one.groups[rows]))
        means = [f"{np.nanmean(precision[name]):.3f}" for name in names]
        print_row([f"{one.name}: {len(rows)} ({n_groups})", *means, *differences])


def show_vectors(collections: list[Collection]) -> None:
    """How unequal the deviations are, and the lengths of vectors."""
    print()
    print_row(["collection", "part", "smallest deviation / typical one", "lengths / typical one"])
    print_row(["---"] * 4)
    for one in collections:
        for part, vectors, scaling in zip(PARTS, one.vectors, one.scalings, strict=True):
            deviation = np.sqrt(moments_of(vectors).variance)
            typical = np.sqrt(np.square(deviation).mean())
            lengths = np.linalg.norm(standardised(vectors, scaling), axis=1)
            lengths /= np.sqrt(np.square(lengths).mean())
            print_row(
                [
                    one.name,
                    part,
                    f"{deviation.min() / typical:.2f}",
                    f"{lengths.min():.2f} to {lengths.max():.2f}",
                ]
            )


def print_row(cells: list[str]) -> None:
    print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
