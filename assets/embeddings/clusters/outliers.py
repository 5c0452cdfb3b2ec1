"""Which tracks are unlike all that the encoder was trained on, and how sure that is."""

from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl

from melgraph.assets.embeddings.clusters.tracks import HELD_OUT, LEFT_OUT, OUTSIDE
from melgraph.assets.materialize import Metadata
from melgraph.storage.artifacts import Work
from melgraph.storage.tables import write_table

OUTLIERS, OUTLIERS_PICTURE = "outliers.parquet", "outliers.png"
MOST_FOLDERS = 20  # of the library, each with figures of its own
SCORES = {"knn": "cosine distance to the nearest neighbours", "mahalanobis": "Mahalanobis distance"}
_PARTS = {"training tracks": ("train",), "held-out tracks of the dataset": HELD_OUT,
          "left out of the dataset": (LEFT_OUT,), "outside the dataset": (OUTSIDE,)}  # fmt: skip


def write_outliers(work: Work, tracks: pl.DataFrame, vectors: np.ndarray, trained: bool) -> None:
    """Write how far each track lies from the training tracks, and how rare that is.

    The scores of validation and test tracks, which no training has seen, say what is far: their
    ranks are the p-values. The facts of `work` get `outliers`; where nothing can be said, `absent`
    there says why, and no file is written.

    Args:
        work: of a cluster report.
        tracks: as `report_tracks` gives them.
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
    asked = np.flatnonzero(~train)
    labels = [list(found) for found in tracks["labels"].filter(train)]
    nearest: list[list[tuple[str, float]]] = [[] for _ in part]
    found = nearest_labels(vectors[asked], vectors[train], labels, voters=config["voters"])
    for row, votes in zip(asked, found, strict=True):
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
    """Both distances of every track, and their p-values: NaN for what was trained on."""
    from melgraph.ml.embeddings.outliers import (
        conformal_p_values,
        fit_gaussians,
        knn_distances,
        mahalanobis_distances,
        own_knn_distances,
        own_p_values,
    )

    known, single = vectors[train], tracks["label"].filter(train)
    gaussians = fit_gaussians(known, None if single.null_count() else single.to_list())
    knn = knn_distances(vectors, known, k=config["neighbours"])
    knn[train] = own_knn_distances(known, k=config["neighbours"])
    scores = {"knn": knn, "mahalanobis": mahalanobis_distances(vectors, gaussians)}
    p_values = {}
    for name, values in scores.items():
        p = conformal_p_values(values, values[calibration])
        p[calibration] = own_p_values(values[calibration])
        p[train | tracks["heard"].to_numpy()] = np.nan
        p_values[name] = p
    return scores, p_values


def _facts(
    config: Any, tracks: pl.DataFrame, table: pl.DataFrame, scores: dict[str, np.ndarray],
    calibration: np.ndarray, trained: bool,
) -> dict[str, Any]:  # fmt: skip
    """How many tracks, how many of them flagged, and how well both distances tell them apart."""
    from melgraph.ml.metrics.auc import auc

    outside = (table["part"] == OUTSIDE).to_numpy()
    inside_groups = tracks["group"].filter(calibration).n_unique()
    flagged = table["flagged"].fill_null(False).to_numpy()

    def told_apart(chosen: np.ndarray) -> dict[str, Any]:
        """Of some of the outside tracks: how many, flagged, and both AUCs with their intervals."""
        # An artist's tracks are one group; a track whose artist is not known is a group of its own.
        groups = tracks.filter(chosen).select(pl.coalesce("artist", "track_id")).n_unique()
        areas = {
            name: auc(
                values[calibration], values[chosen],
                inside_groups=inside_groups, outside_groups=groups,
            )
            for name, values in scores.items()
        } if chosen.any() else {}  # fmt: skip
        return {
            "tracks": int(chosen.sum()),
            "groups": groups,
            "flagged": int(flagged[chosen].sum()),
            "auc": {name: asdict(area) for name, area in areas.items()},
        }

    folders = table["path"].str.split("/").list.first().to_numpy()
    largest = table.filter(outside)["path"].str.split("/").list.first().value_counts(sort=True)
    by_folder = [
        {"folder": folder, **told_apart(outside & (folders == folder))}
        for folder in sorted(largest.head(MOST_FOLDERS)["path"])
    ]
    return {
        "absent": None,
        "trained": trained,
        "training": int((table["part"] == "train").sum()),
        "calibration": int(calibration.sum()),
        "calibration_groups": inside_groups,
        "calibration_flagged": int(flagged[calibration].sum()),
        "outside": told_apart(outside),
        "by_folder": by_folder,
        "left_out": int((table["part"] == LEFT_OUT).sum()),
        "level": config["level"],
        "least_p": 1 / (1 + int(calibration.sum())),
    }


def strangest(table: pl.DataFrame, most: int) -> list[dict[str, Any]]:
    """The tracks outside the dataset, the strangest first."""
    found = table.filter(pl.col("part") == OUTSIDE)
    return found.sort("p_knn", pl.col("knn_distance") * -1, "path").head(most).to_dicts()


def spell_labels(row: dict[str, Any]) -> str:
    """The labels nearest to a track, with their votes."""
    pairs = zip(row["nearest_labels"], row["nearest_shares"], strict=True)
    return ", ".join(f"{name} {share:.0%}" for name, share in pairs)


def outlier_sentences(facts: Metadata) -> list[str]:
    """What was found about tracks outside the dataset, in words."""
    if facts["absent"]:
        return [f"What is out of distribution cannot be said: {facts['absent']}."]
    said = [
        "{calibration} validation and test tracks, of {calibration_groups} independent groups, say "
        "what is usual; {training} training tracks are what is near or far.".format(**facts)
    ]
    if facts["least_p"] > facts["level"]:
        said.append(
            f"No p-value can be below {facts['least_p']:.2f} with so few of them: nothing can be "
            f"flagged at {facts['level']:.0%}."
        )
    if not facts["outside"]["tracks"]:
        return [*said, "Every embedded track is of the dataset: there is none outside to judge."]
    said.append(
        "{flagged} of {tracks} tracks outside the dataset are flagged, with a p-value of at most "
        "{level:.0%}; of tracks like those of the dataset, {level:.0%} or fewer would be.".format(
            level=facts["level"], **facts["outside"]
        )
    )
    for name, title in SCORES.items():
        area = spell_auc(facts["outside"]["auc"][name])
        said.append(f"By {title}, tracks outside and held-out ones are told apart with AUC {area}.")
    return said


def spell_auc(area: dict[str, float]) -> str:
    """An AUC with its interval."""
    return "{value:.2f} ({low:.2f} to {high:.2f})".format(**area)
