"""Out-of-distribution tracks: which tracks are unlike the training tracks, with p-values."""

from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl

from melgraph.assets.embeddings.clusters.tracks import HELD_OUT, LEFT_OUT, OUTSIDE
from melgraph.assets.stage import Metadata
from melgraph.storage.artifacts import Work
from melgraph.storage.tables import write_table

OUTLIERS, OUTLIERS_PICTURE = "outliers.parquet", "outliers.png"
MOST_FOLDERS = 20  # folders of the library that have figures of their own
SCORES = {"knn": "cosine distance to the nearest neighbours", "mahalanobis": "Mahalanobis distance"}
_PARTS = {"training tracks": ("train",), "held-out tracks of the dataset": HELD_OUT,
          "left out of the dataset": (LEFT_OUT,), "outside the dataset": (OUTSIDE,)}  # fmt: skip


def write_outliers(work: Work, tracks: pl.DataFrame, vectors: np.ndarray, trained: bool) -> None:
    """Write the distance of each track to the training tracks, and its conformal p-value.

    Validation and test tracks that were not used in training calibrate the p-values: the p-value of
    a track is the share of these tracks, and itself, that lie at least as far away. The facts of
    `work` receive `outliers`. If there are too few training or calibration tracks, no file is
    written, and `absent` in these facts holds the reason.

    Args:
        work: of a cluster report.
        tracks: the table of `report_tracks`.
        vectors: float32 `[track, dim]`.
        trained: whether the encoder was trained on the dataset.
    """
    from melgraph.ml import plots
    from melgraph.ml.embeddings.outliers import flagging_distance, nearest_labels

    config = work.spec.config
    part = tracks["part"].fill_null("").to_numpy()
    train = part == "train"
    calibration = np.isin(part, HELD_OUT) & ~tracks["heard"].to_numpy()
    if train.sum() < 2 or not calibration.any():
        work.facts["outliers"] = {"absent": _why_not(int(train.sum()), int(calibration.sum()))}
        return
    scores, p_values = _scores(config, tracks, vectors, train, calibration)
    queries = np.flatnonzero(~train)
    training_labels = [list(labels) for labels in tracks["labels"].filter(train)]
    nearest: list[list[tuple[str, float]]] = [[] for _ in part]
    votes_of_queries = nearest_labels(
        vectors[queries], vectors[train], training_labels, voters=config["voters"]
    )
    for row, votes in zip(queries, votes_of_queries, strict=True):
        nearest[row] = votes
    table = tracks.select("track_id", "path", "artist", "title", "part").with_columns(
        **{f"{name}_distance": values for name, values in scores.items()},
        **{f"p_{name}": pl.Series(values).fill_nan(None) for name, values in p_values.items()},
        flagged=pl.Series(p_values["knn"]).fill_nan(None) <= config["level"],
        nearest_labels=pl.Series([[n for n, _ in v] for v in nearest], dtype=pl.List(pl.String)),
        nearest_shares=pl.Series([[s for _, s in v] for v in nearest], dtype=pl.List(pl.Float64)),
    )
    write_table(table, work.folder / OUTLIERS)
    distances = {name: scores["knn"][np.isin(part, parts)] for name, parts in _PARTS.items()}
    threshold = flagging_distance(scores["knn"][calibration], level=config["level"])
    title = f"{work.spec.partition}: how far from what was trained on"
    png = plots.distance_histograms(distances, threshold, title)
    (work.folder / OUTLIERS_PICTURE).write_bytes(png)
    work.facts["outliers"] = _facts(config, tracks, table, scores, calibration, trained)


def _why_not(train: int, calibration: int) -> str:
    """Why there are no p-values; the text is stored as a fact."""
    if train < 2:
        return f"the dataset has {train} embedded training tracks: nothing to be unlike of"
    return (
        "the dataset has no embedded validation or test track that the encoder was not trained on: "
        f"{calibration} of them say what is usual"
    )


def _scores(
    config: Any, tracks: pl.DataFrame, vectors: np.ndarray, train: np.ndarray,
    calibration: np.ndarray,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:  # fmt: skip
    """Both distances of every track, and their p-values; NaN for tracks used in training."""
    from melgraph.ml.embeddings.outliers import (
        calibration_p_values,
        conformal_p_values,
        fit_gaussians,
        knn_distances,
        mahalanobis_distances,
        training_knn_distances,
    )

    training_vectors, labels = vectors[train], tracks["label"].filter(train)
    gaussians = fit_gaussians(training_vectors, None if labels.null_count() else labels.to_list())
    knn = knn_distances(vectors, training_vectors, k=config["neighbours"])
    knn[train] = training_knn_distances(training_vectors, k=config["neighbours"])
    scores = {"knn": knn, "mahalanobis": mahalanobis_distances(vectors, gaussians)}
    p_values = {}
    for name, values in scores.items():
        p = conformal_p_values(values, values[calibration])
        p[calibration] = calibration_p_values(values[calibration])
        p[train | tracks["heard"].to_numpy()] = np.nan
        p_values[name] = p
    return scores, p_values


def _facts(
    config: Any, tracks: pl.DataFrame, table: pl.DataFrame, scores: dict[str, np.ndarray],
    calibration: np.ndarray, trained: bool,
) -> dict[str, Any]:  # fmt: skip
    """Counts of tracks and flagged tracks, and how well both distances separate outside tracks."""
    from melgraph.ml.metrics.auc import auc

    outside = (table["part"] == OUTSIDE).to_numpy()
    inside_groups = tracks["group"].filter(calibration).n_unique()
    flagged = table["flagged"].fill_null(False).to_numpy()

    def separation(rows: np.ndarray) -> dict[str, Any]:
        """Of some of the outside tracks: counts, and both AUCs with their confidence intervals."""
        # All tracks of an artist are one group. A track without an artist is a group of its own.
        groups = tracks.filter(rows).select(pl.coalesce("artist", "track_id")).n_unique()
        areas = {
            name: auc(
                values[calibration], values[rows],
                inside_groups=inside_groups, outside_groups=groups,
            )
            for name, values in scores.items()
        } if rows.any() else {}  # fmt: skip
        return {
            "tracks": int(rows.sum()),
            "groups": groups,
            "flagged": int(flagged[rows].sum()),
            "auc": {name: asdict(area) for name, area in areas.items()},
        }

    folders = table["path"].str.split("/").list.first().to_numpy()
    largest = table.filter(outside)["path"].str.split("/").list.first().value_counts(sort=True)
    by_folder = [
        {"folder": folder, **separation(outside & (folders == folder))}
        for folder in sorted(largest.head(MOST_FOLDERS)["path"])
    ]
    return {
        "absent": None,
        "trained": trained,
        "training": int((table["part"] == "train").sum()),
        "calibration": int(calibration.sum()),
        "calibration_groups": inside_groups,
        "calibration_flagged": int(flagged[calibration].sum()),
        "outside": separation(outside),
        "by_folder": by_folder,
        "left_out": int((table["part"] == LEFT_OUT).sum()),
        "level": config["level"],
        "least_p": 1 / (1 + int(calibration.sum())),
    }


def strangest(table: pl.DataFrame, most: int) -> list[dict[str, Any]]:
    """At most `most` tracks outside the dataset, the one with the smallest p-value first."""
    outside = table.filter(pl.col("part") == OUTSIDE)
    return outside.sort("p_knn", pl.col("knn_distance") * -1, "path").head(most).to_dicts()


def spell_labels(row: dict[str, Any]) -> str:
    """The most frequent labels among the nearest training tracks, with their shares."""
    pairs = zip(row["nearest_labels"], row["nearest_shares"], strict=True)
    return ", ".join(f"{name} {share:.0%}" for name, share in pairs)


def outlier_sentences(facts: Metadata) -> list[str]:
    """The results about tracks outside the dataset, a sentence each."""
    if facts["absent"]:
        return [f"Tracks outside the dataset cannot be judged: {facts['absent']}."]
    sentences = [
        "Distances are measured to {training} training tracks. The p-values are calibrated with "
        "{calibration} held-out validation and test tracks of {calibration_groups} independent "
        "groups.".format(**facts)
    ]
    if facts["least_p"] > facts["level"]:
        sentences.append(
            f"With so few calibration tracks no p-value can be below {facts['least_p']:.2f}, so no "
            f"track can be flagged at the level of {facts['level']:.0%}."
        )
    if not facts["outside"]["tracks"]:
        return [*sentences, "All embedded tracks belong to the dataset: no track is outside it."]
    sentences.append(
        "{flagged} of {tracks} tracks outside the dataset are flagged, because their p-value is at "
        "most {level:.0%}. Of tracks that are similar to the dataset, at most {level:.0%} are "
        "expected to be flagged.".format(level=facts["level"], **facts["outside"])
    )
    for name, title in SCORES.items():
        area = spell_auc(facts["outside"]["auc"][name])
        sentences.append(
            f"The {title} separates tracks outside the dataset from held-out tracks with an AUC of "
            f"{area}."
        )
    return sentences


def spell_auc(area: dict[str, float]) -> str:
    """An AUC with its 95 % confidence interval."""
    return "{value:.2f} (95 % confidence interval {low:.2f} to {high:.2f})".format(**area)
