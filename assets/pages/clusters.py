"""Maps, clusters and tracks outside the dataset, as the template and `clusters.js` expect them."""

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.embeddings.clusters.agreement import (
    ALL_TRACKS,
    CLUSTERERS,
    CONTINGENCY,
    FIGURE_NAMES,
    HELD_OUT_TRACKS,
    contingency_picture,
)
from melgraph.assets.embeddings.clusters.maps import MAPS, evenly, map_picture, sheet_name
from melgraph.assets.embeddings.clusters.outliers import (
    OUTLIERS,
    OUTLIERS_PICTURE,
    outlier_sentences,
    spell_labels,
    strangest,
)
from melgraph.assets.embeddings.clusters.reports import MAP, density_sentence
from melgraph.assets.embeddings.clusters.tracks import HELD_OUT, LEFT_OUT, OUTSIDE
from melgraph.assets.materialize import inputs_of
from melgraph.assets.pages import results
from melgraph.assets.pages.library import Library, Names
from melgraph.assets.pages.links import artifact_link, audit_command
from melgraph.assets.stages import CLUSTER_REPORTS
from melgraph.storage.artifacts import Artifact, ArtifactStore
from melgraph.storage.records import Spec
from melgraph.storage.tables import read_table

STRANGEST = 200  # rows of the table of tracks outside the dataset
# The role of a track in the training. The p-value decides between the last two.
PARTS = ("train", *HELD_OUT, LEFT_OUT, "outside the dataset, usual", "outside the dataset, flagged")
_SELECTIONS = {
    HELD_OUT_TRACKS: "held-out tracks",
    ALL_TRACKS: "all tracks, including training tracks",
}
_CLUSTERS = (*CLUSTERERS, "hdbscan")


def clusters(
    store: ArtifactStore, spec: Spec, library: Library
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A mapping for each encoder, for the template; and the maps, for `clusters.js`."""
    reports, maps, names = [], {}, Names(library)
    for artifact in inputs_of(store, spec, CLUSTER_REPORTS):
        encoder, facts = artifact.reference.partition, artifact.facts
        table = read_table(artifact.folder / MAP)
        maps[encoder] = _map(artifact, table, names)
        reports.append(
            {
                "name": encoder,
                "dataset": Snapshot.input_of(store, artifact.record.spec).name,
                "tracks": table.height,
                "shown": len(maps[encoder]["points"]),
                "pictures": {
                    MAPS[name]: artifact_link(artifact.reference, map_picture(name))
                    for name in MAPS
                },
                "figures": _figures(facts),
                "skipped": facts["skipped"],
                "density": density_sentence(facts),
                "mixtures": [
                    f"{_selection(row['tracks'])}: {row['how']}"
                    for row in facts["figures"]
                    if row["clusterer"] == "mixture"
                ],
                "headline": _headline(facts["figures"]),
                "contingency": _contingency(artifact),
                "outliers": _outliers(artifact, library),
                "audit": audit_command(artifact.reference),
            }
        )
    return reports, {"tracks": names.tracks, "parts": PARTS, "maps": maps}


def comparison(reports: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The table that compares all encoders, with a row for each encoder and clusterer.

    The figures of an encoder are those of its first selection of tracks: the held-out tracks, if
    there are enough of them.
    """
    rows = []
    for report in reports:
        figures = report["figures"]
        outside = (report["outliers"]["facts"] or {}).get("outside") or {"auc": {}}
        for row in figures:
            if row["tracks"] == figures[0]["tracks"]:
                area = {"ROC-AUC of outside tracks": outside["auc"].get("knn")}
                rows.append({"encoder": report["name"], "dataset": report["dataset"]} | row | area)
    return rows


def _figures(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The figures as rows. The template formats a figure and its confidence interval."""
    return [
        {
            "tracks": f"{_selection(row['tracks'])} ({row['n']:,})",
            "clusters": f"{row['clusters']} by {CLUSTERERS[row['clusterer']]}",
            **{title: row[key] for key, title in FIGURE_NAMES.items()},
        }
        for row in facts["figures"]
    ]


def _map(artifact: Artifact, table: pl.DataFrame, names: Names) -> dict[str, Any]:
    """The points of a map, as `clusters.js` draws them."""
    drawn = table.filter(pl.col("x_pca").is_not_null())
    # Tracks with a spectrogram, and at most as many as a page holds.
    drawn = drawn.filter(pl.col("tile").is_not_null()) if drawn["tile"].count() else drawn
    drawn = drawn[evenly(drawn.height, results.LIMIT).tolist()]
    drawn = _with_p_values(artifact, drawn)
    labels = sorted(drawn["label"].drop_nulls().unique().to_list())
    number = {label: i for i, label in enumerate(labels)}
    places = [_unit(drawn[f"x_{name}"], drawn[f"y_{name}"]) for name in MAPS]
    points = []
    for at, row in enumerate(drawn.iter_rows(named=True)):
        points.append(
            [
                names.add(row["track_id"], row["path"]),
                number.get(row["label"], -1),
                _part(row),
                *(row[name] for name in _CLUSTERS),
                row["tile"],
                results.finite(row["p_knn"], 3),
                spell_labels(row) if row["nearest_labels"] else None,
                *(axis[at] for place in places for axis in place),
            ]
        )
    sheets = artifact.facts["thumbnails"]
    links = [artifact_link(artifact.reference, sheet_name(n)) for n in range(sheets["sheets"])]
    return {"labels": labels, "points": points, "sheets": {**sheets, "links": links}}


def _with_p_values(artifact: Artifact, drawn: pl.DataFrame) -> pl.DataFrame:
    """The rows with p-values and nearest labels; these are null if there are none."""
    if artifact.facts["outliers"]["absent"]:
        nothing = pl.lit(None, dtype=pl.Float64)
        return drawn.with_columns(p_knn=nothing, flagged=nothing, nearest_labels=nothing)
    columns = ["track_id", "p_knn", "flagged", "nearest_labels", "nearest_shares"]
    p_values = read_table(artifact.folder / OUTLIERS, columns=columns)
    return drawn.join(p_values, on="track_id", how="left", maintain_order="left")


def _part(row: Mapping[str, Any]) -> int:
    """The number of a track's role in `PARTS`; -1 if the dataset has no training split."""
    if row["part"] is None:
        return -1
    flagged = PARTS[5] if row["flagged"] else PARTS[4]
    return PARTS.index(flagged if row["part"] == OUTSIDE else row["part"])


def _headline(figures: Iterable[Mapping[str, Any]]) -> str | None:
    """How well the clusters match the labels, in a sentence; on held-out tracks if possible."""
    for row in figures:
        accuracy = row["accuracy"]
        if accuracy is not None and accuracy["value"] is not None:
            return (
                f"Clustering used no labels, but {accuracy['value']:.0%} of "
                f"{_selection(row['tracks'])} are in the cluster that is matched with their "
                f"label. With shuffled labels, it would be {accuracy['chance']:.0%}."
            )
    return None


def _selection(name: str) -> str:
    """What the pages call a selection of tracks."""
    return _SELECTIONS.get(name, name)


def _contingency(artifact: Artifact) -> list[dict[str, Any]]:
    """Tables of clusters and labels, one for each selection and clusterer, in written order."""
    tables = []
    table = read_table(artifact.folder / CONTINGENCY)
    with_picture: set[str] = set()
    for (tracks, clusterer), part in table.group_by("tracks", "clusterer", maintain_order=True):
        labels = part["label"].unique(maintain_order=True).to_list()
        rows = [
            {
                "cluster": int(number) + 1,
                "matched": counts["matched_label"][0],
                "counts": dict(zip(counts["label"], counts["count"], strict=True)),
            }
            for (number,), counts in part.group_by("cluster", maintain_order=True)
        ]
        picture = None
        if clusterer not in with_picture:
            picture = artifact_link(artifact.reference, contingency_picture(str(clusterer)))
            with_picture.add(str(clusterer))
        title = f"{CLUSTERERS[str(clusterer)]}, {_selection(str(tracks))}"
        title += " (as on the map)" if tracks == ALL_TRACKS else ""
        tables.append({"title": title, "labels": labels, "rows": rows, "picture": picture})
    return tables


def _outliers(artifact: Artifact, library: Library) -> dict[str, Any]:
    """The results about tracks outside the dataset, and a row for each of these tracks."""
    facts = artifact.facts["outliers"]
    outliers: dict[str, Any] = {
        "title": "Tracks outside the dataset",
        "facts": None,
        "sentences": outlier_sentences(facts),
        "rows": [],
        "folders": [],
    }
    if facts["absent"]:
        return outliers | {"picture": None, "tracks": 0}
    rows = strangest(read_table(artifact.folder / OUTLIERS), STRANGEST)
    for row in rows:
        row["name"] = library.title(row["track_id"], row["path"])
        row["source"] = library.source(row["track_id"])
        row["nearest"] = spell_labels(row)
    folders = [
        {
            "folder": part["folder"],
            "tracks": part["tracks"],
            "flagged": part["flagged"],
            "ROC-AUC by nearest neighbours": part["auc"]["knn"],
            "ROC-AUC by Mahalanobis distance": part["auc"]["mahalanobis"],
        }
        for part in facts["by_folder"]
    ]
    picture = artifact_link(artifact.reference, OUTLIERS_PICTURE)
    outliers |= {"facts": facts, "rows": rows, "folders": folders if len(folders) > 1 else []}
    return outliers | {"picture": picture, "tracks": facts["outside"]["tracks"]}


def _unit(across: pl.Series, up: pl.Series) -> tuple[list[float], list[float]]:
    """Coordinates from 0 to 1, both on the same scale, rounded to keep the page small."""
    x, y = across.to_list(), up.to_list()
    if not x:
        return [], []
    span = max(max(x) - min(x), max(y) - min(y)) or 1.0
    left, bottom = min(x), min(y)
    return [round((v - left) / span, 4) for v in x], [round((v - bottom) / span, 4) for v in y]
