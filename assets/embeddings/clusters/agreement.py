"""The clusters of a report, and how well they agree with labels that no clusterer was told."""

from typing import Any

import numpy as np
import polars as pl

from melgraph.assets.embeddings.clusters.maps import evenly
from melgraph.assets.progress import progress_bar
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
    """The file with the picture of a clusterer's clusters against the labels."""
    return f"contingency-{clusterer}.png"


def write_clusters(work: Work, tracks: pl.DataFrame, vectors: np.ndarray) -> dict[str, pl.Series]:
    """Cluster blind, and write how clusters and labels agree.

    With labels, there are as many clusters as labels, of the tracks that no training has seen and
    of all. Without, the number is the one with the largest silhouette. The facts of `work` get
    `figures`, `density`, and in `skipped` what was too small to cluster.

    Returns:
        A column for each clusterer, and `hdbscan`: the cluster of each track among all tracks of
        the dataset; those outside it are where they would fall; -1 in no cluster, null unknown.
    """
    work.facts.update(figures=[], skipped=[])
    columns = {name: pl.Series([None] * tracks.height, dtype=pl.Int64) for name in CLUSTERERS}
    selections = _selections(tracks)
    labelled = bool(selections)
    if not labelled:
        selections = {"all tracks": list(range(tracks.height))}
    contingencies: list[dict[str, Any]] = []
    with progress_bar(len(selections) * len(CLUSTERERS), "clusterings", "clusters") as bar:
        for name, chosen in selections.items():
            labels = tracks["label"].gather(chosen).to_list() if labelled else None
            if why := _too_small(name, labels, len(chosen)):
                work.facts["skipped"].append(why)
                bar.update(len(CLUSTERERS))
                continue
            for clusterer in work.spec.config["clusterers"]:
                found = _judge(work, name, clusterer, vectors[chosen], labels, contingencies)
                if name != HELD_OUT_TRACKS:
                    columns[clusterer] = _everywhere(found, chosen, vectors)
                bar.update()
    write_table(pl.DataFrame(contingencies, schema=_CONTINGENCY_SCHEMA), work.folder / CONTINGENCY)
    everything = selections.get(ALL_TRACKS) or list(range(tracks.height))
    return columns | {"hdbscan": _by_density(work, everything, vectors)}


def _selections(tracks: pl.DataFrame) -> dict[str, list[int]]:
    """Rows to judge: tracks no training has seen, and all of the dataset. Empty without labels."""
    used = tracks.with_row_index("row").filter(
        pl.col("split").is_not_null(), pl.col("label").is_not_null()
    )
    if used["label"].n_unique() < 2:
        return {}
    held_out = used.filter(pl.col("split") != "train", ~pl.col("heard"))
    return {HELD_OUT_TRACKS: held_out["row"].to_list(), ALL_TRACKS: used["row"].to_list()}


def _too_small(name: str, labels: list[str] | None, n: int) -> str | None:
    """Why a selection is not clustered, if it is not."""
    if labels is None:
        return f"{name}: {n} tracks, and clusters need three" if n < 3 else None
    classes = len(set(labels))
    if classes < 2:
        return f"{name}: {n} tracks of {classes} label(s): nothing to tell apart"
    if n <= classes:
        return f"{name}: {n} tracks of {classes} labels, and clusters need more tracks than labels"
    return None


def _judge(
    work: Work, name: str, clusterer: str, vectors: np.ndarray, labels: list[str] | None,
    contingencies: list[dict[str, Any]],
) -> Any:  # fmt: skip
    """Cluster one selection by one clusterer; its figures go to the facts, its matrix to a list."""
    from melgraph.ml.embeddings.clusterers import cluster, suggested_clusters
    from melgraph.ml.embeddings.clustering import cluster_figures, separation

    seed = work.spec.seed or 0
    often = {
        "n_bootstrap": work.spec.config["bootstrap"],
        "n_shuffles": work.spec.config["shuffles"],
    }
    count = len(set(labels)) if labels is not None else suggested_clusters(vectors, seed=seed)
    found = cluster(vectors, n_clusters=count, seed=seed, method=clusterer)  # type: ignore[arg-type]
    row: dict[str, Any] = {
        "tracks": name,
        "clusterer": clusterer,
        "clusters": int(found.labels.max()) + 1,
        "how": found.how,
        "n": len(vectors),
        "classes": count if labels is not None else 0,
        **dict.fromkeys(FIGURE_NAMES),
    }
    if labels is None:
        row["silhouette_by_cluster"] = _plain(separation(vectors, found.labels, seed=seed, **often))
    else:
        figures = cluster_figures(vectors, labels, found.labels, seed=seed, **often)
        row |= {key: _plain(getattr(figures, key)) for key in FIGURE_NAMES}
        contingencies += _contingency_rows(name, clusterer, figures)
        if not (work.folder / contingency_picture(clusterer)).exists():  # the strictest selection
            _draw_contingency(work, name, clusterer, figures)
    work.facts["figures"].append(row)
    return found


def _everywhere(found: Any, chosen: list[int], vectors: np.ndarray) -> pl.Series:
    """The cluster of every track: those that were not clustered are where they would fall."""
    labels = np.empty(len(vectors), dtype=np.int64)
    labels[chosen] = found.labels
    others = np.setdiff1d(np.arange(len(vectors)), chosen)
    if len(others):
        labels[others] = found.assign(vectors[others])
    return pl.Series(labels)


def _by_density(work: Work, chosen: list[int], vectors: np.ndarray) -> pl.Series:
    """HDBSCAN of the dataset's tracks, or of so many as a map shows."""
    from melgraph.ml.embeddings.clusterers import NOISE, density_clusters

    rows = np.array(chosen)[evenly(len(chosen), work.spec.config["mapped"])]
    found = density_clusters(vectors[rows], seed=work.spec.seed or 0)
    work.facts["density"] = {
        "tracks": len(rows),
        "clusters": int(found.max()) + 1,
        "noise": float((found == NOISE).mean()),
    }
    everywhere: list[int | None] = [None] * len(vectors)
    for row, number in zip(rows.tolist(), found.tolist(), strict=True):
        everywhere[row] = number
    return pl.Series(everywhere, dtype=pl.Int64)


def _contingency_rows(name: str, clusterer: str, figures: Any) -> list[dict[str, Any]]:
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


def _plain(figure: object) -> dict[str, float | None]:
    names = ("value", "low", "high", "chance", "chance_95")
    values = {name: float(getattr(figure, name)) for name in names}
    return {name: value if np.isfinite(value) else None for name, value in values.items()}
