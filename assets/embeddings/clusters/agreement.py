"""The clusters of a report, and how well they agree with the labels, which no clusterer uses."""

from typing import Any

import numpy as np
import polars as pl

from melgraph.assets.embeddings.clusters.maps import evenly
from melgraph.assets.ui import progress_bar
from melgraph.storage.artifacts import Work
from melgraph.storage.tables import write_table

CONTINGENCY = "contingency.parquet"
CLUSTERERS = {"kmeans": "k-means", "mixture": "Gaussian mixture"}
FIGURE_NAMES = {
    "accuracy": "Hungarian accuracy",
    "nmi": "NMI",
    "ari": "ARI",
    "silhouette_by_label": "silhouette of labels",
    "silhouette_by_cluster": "silhouette of clusters",
}
HELD_OUT_TRACKS = "held-out tracks"
ALL_TRACKS = "all tracks (training tracks too)"
_CONTINGENCY_SCHEMA = {
    "tracks": pl.String, "clusterer": pl.String, "cluster": pl.Int64, "matched_label": pl.String,
    "label": pl.String, "count": pl.Int64,
}  # fmt: skip


def contingency_picture(clusterer: str) -> str:
    """The name of the file with the picture of the contingency table of a clusterer."""
    return f"contingency-{clusterer}.png"


def write_clusters(work: Work, tracks: pl.DataFrame, vectors: np.ndarray) -> dict[str, pl.Series]:
    """Cluster the tracks without using labels, and write how well clusters and labels agree.

    If the tracks have labels, k is set to the number of labels, and both the held-out tracks and
    all tracks of the dataset are clustered. Otherwise k is the number with the largest silhouette,
    and all tracks are clustered. The facts of `work` receive `figures`, `density`, and in `skipped`
    the reason for each selection that is too small to cluster.

    Returns:
        A column for each clusterer, and `hdbscan`, with the cluster of each track when all tracks
        of the dataset are clustered. The clusterers also assign the tracks outside the dataset to
        one of these clusters; `hdbscan` is null for them, and -1 for tracks in no cluster.
    """
    work.facts.update(figures=[], skipped=[])
    columns = {name: pl.Series([None] * tracks.height, dtype=pl.Int64) for name in CLUSTERERS}
    selections = _selections(tracks)
    labelled = bool(selections)
    if not labelled:
        selections = {"all tracks": list(range(tracks.height))}
    contingencies: list[dict[str, Any]] = []
    with progress_bar(len(selections) * len(CLUSTERERS), "clusterings", "clusters") as bar:
        for name, rows in selections.items():
            labels = tracks["label"].gather(rows).to_list() if labelled else None
            if why := _too_small(name, labels, len(rows)):
                work.facts["skipped"].append(why)
                bar.update(len(CLUSTERERS))
                continue
            for clusterer in work.spec.config["clusterers"]:
                clusters = _evaluate_clusters(
                    work, name, clusterer, vectors[rows], labels, contingencies
                )
                if name != HELD_OUT_TRACKS:
                    columns[clusterer] = _assign_all(clusters, rows, vectors)
                bar.update()
    write_table(pl.DataFrame(contingencies, schema=_CONTINGENCY_SCHEMA), work.folder / CONTINGENCY)
    all_rows = selections.get(ALL_TRACKS) or list(range(tracks.height))
    return columns | {"hdbscan": _density_clusters(work, all_rows, vectors)}


def _selections(tracks: pl.DataFrame) -> dict[str, list[int]]:
    """The rows of the held-out tracks and of all tracks of the dataset; empty without labels.

    Held-out tracks are those of the validation and test split that were not used in training.
    """
    used = tracks.with_row_index("row").filter(
        pl.col("split").is_not_null(), pl.col("label").is_not_null()
    )
    if used["label"].n_unique() < 2:
        return {}
    held_out = used.filter(pl.col("split") != "train", ~pl.col("heard"))
    return {HELD_OUT_TRACKS: held_out["row"].to_list(), ALL_TRACKS: used["row"].to_list()}


def _too_small(name: str, labels: list[str] | None, n: int) -> str | None:
    """Why a selection is too small to be clustered; None if it is large enough.

    The text is stored as a fact.
    """
    if labels is None:
        return f"{name}: {n} tracks, and clusters need three" if n < 3 else None
    classes = len(set(labels))
    if classes < 2:
        return f"{name}: {n} tracks of {classes} label(s): nothing to tell apart"
    if n <= classes:
        return f"{name}: {n} tracks of {classes} labels, and clusters need more tracks than labels"
    return None


def _evaluate_clusters(
    work: Work, name: str, clusterer: str, vectors: np.ndarray, labels: list[str] | None,
    contingencies: list[dict[str, Any]],
) -> Any:  # fmt: skip
    """Cluster one selection by one clusterer, and compare the clusters with the labels.

    The figures are added to the facts of `work`, the counts to `contingencies`.

    Returns:
        The clusters, as `melgraph.ml.embeddings.clusterers.cluster` returns them.
    """
    from melgraph.ml.embeddings.clusterers import cluster, suggested_clusters
    from melgraph.ml.embeddings.clustering import cluster_figures, separation

    seed = work.spec.seed or 0
    repetitions = {
        "n_bootstrap": work.spec.config["bootstrap"],
        "n_shuffles": work.spec.config["shuffles"],
    }
    count = len(set(labels)) if labels is not None else suggested_clusters(vectors, seed=seed)
    clusters = cluster(vectors, n_clusters=count, seed=seed, method=clusterer)  # type: ignore[arg-type]
    row: dict[str, Any] = {
        "tracks": name,
        "clusterer": clusterer,
        "clusters": int(clusters.labels.max()) + 1,
        "how": clusters.how,
        "n": len(vectors),
        "classes": count if labels is not None else 0,
        **dict.fromkeys(FIGURE_NAMES),
    }
    if labels is None:
        silhouette = separation(vectors, clusters.labels, seed=seed, **repetitions)
        row["silhouette_by_cluster"] = _figure_values(silhouette)
    else:
        figures = cluster_figures(vectors, labels, clusters.labels, seed=seed, **repetitions)
        row |= {key: _figure_values(getattr(figures, key)) for key in FIGURE_NAMES}
        contingencies += _contingency_rows(name, clusterer, figures)
        # The first selection is the strictest one; the picture shows that one.
        if not (work.folder / contingency_picture(clusterer)).exists():
            _draw_contingency(work, name, clusterer, figures)
    work.facts["figures"].append(row)
    return clusters


def _assign_all(clusters: Any, rows: list[int], vectors: np.ndarray) -> pl.Series:
    """The cluster of every track; tracks that were not clustered are assigned afterwards."""
    numbers = np.empty(len(vectors), dtype=np.int64)
    numbers[rows] = clusters.labels
    others = np.setdiff1d(np.arange(len(vectors)), rows)
    if len(others):
        numbers[others] = clusters.assign(vectors[others])
    return pl.Series(numbers)


def _density_clusters(work: Work, dataset_rows: list[int], vectors: np.ndarray) -> pl.Series:
    """The HDBSCAN clusters of the tracks of the dataset, or of a sample as large as a map."""
    from melgraph.ml.embeddings.clusterers import NOISE, density_clusters

    rows = np.array(dataset_rows)[evenly(len(dataset_rows), work.spec.config["mapped"])]
    clusters = density_clusters(vectors[rows], seed=work.spec.seed or 0)
    work.facts["density"] = {
        "tracks": len(rows),
        "clusters": int(clusters.max()) + 1,
        "noise": float((clusters == NOISE).mean()),
    }
    numbers: list[int | None] = [None] * len(vectors)
    for row, number in zip(rows.tolist(), clusters.tolist(), strict=True):
        numbers[row] = number
    return pl.Series(numbers, dtype=pl.Int64)


def _contingency_rows(name: str, clusterer: str, figures: Any) -> list[dict[str, Any]]:
    """The number of tracks of each pair of a cluster and a label."""
    from melgraph.ml.embeddings.clustering import matched_order

    rows, columns = matched_order(figures)
    return [
        {
            "tracks": name,
            "clusterer": clusterer,
            "cluster": row,
            "matched_label": figures.mapping.get(row),
            "label": figures.label_names[column],
            "count": int(figures.contingency[row, column]),
        }
        for row in rows
        for column in columns
    ]


def _draw_contingency(work: Work, name: str, clusterer: str, figures: Any) -> None:
    from melgraph.ml import plots
    from melgraph.ml.embeddings.clustering import matched_order

    rows, columns = matched_order(figures)
    png = plots.contingency_matrix(
        figures.contingency[np.ix_(rows, columns)],
        [f"cluster {row + 1}" for row in rows],
        [figures.label_names[column] for column in columns],
        f"{work.spec.partition}, {name}: {CLUSTERERS[clusterer]}",
    )
    (work.folder / contingency_picture(clusterer)).write_bytes(png)


def _figure_values(figure: object) -> dict[str, float | None]:
    """A figure, its interval and its level by chance, ready for JSON; None for NaN or infinity."""
    names = ("value", "low", "high", "chance", "chance_95")
    values = {name: float(getattr(figure, name)) for name in names}
    return {name: value if np.isfinite(value) else None for name, value in values.items()}
