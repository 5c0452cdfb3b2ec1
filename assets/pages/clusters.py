"""Maps, clusters and unheard music, in the shape the template and `clusters.js` expect."""

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from melgraph.assets.dataset.datasets import DATASETS
from melgraph.assets.embeddings.clusters.agreement import (
    ALL_TRACKS,
    CLUSTERERS,
    CONTINGENCY,
    FIGURE_NAMES,
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
from melgraph.assets.embeddings.clusters.reports import CLUSTER_REPORTS, MAP, density_sentence
from melgraph.assets.embeddings.clusters.tracks import HELD_OUT, LEFT_OUT, OUTSIDE
from melgraph.assets.materialize import input_of, inputs_of
from melgraph.assets.pages import results
from melgraph.assets.pages.library import Library, Names
from melgraph.assets.pages.links import artifact_link, audit_command
from melgraph.storage.artifacts import Artifact, ArtifactStore
from melgraph.storage.records import Spec
from melgraph.storage.tables import read_table

STRANGEST = 200  # tracks outside the dataset that the table names
# What a point may be to the training; the last two are told apart by their p-value.
PARTS = ("train", *HELD_OUT, LEFT_OUT, "outside: not unusual", "outside: flagged")
_CLUSTERS = (*CLUSTERERS, "hdbscan")


def clusters(
    store: ArtifactStore, spec: Spec, library: Library
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """An encoder each, for the template; and the maps, for `clusters.js`."""
    found, maps, names = [], {}, Names(library)
    for artifact in inputs_of(store, spec, CLUSTER_REPORTS):
        encoder, facts = artifact.reference.partition, artifact.facts
        table = read_table(artifact.folder / MAP)
        maps[encoder] = _map(artifact, table, names)
        found.append(
            {
                "name": encoder,
                "dataset": input_of(store, artifact.record.spec, DATASETS).reference.partition,
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
                    f"{row['tracks']}: {row['how']}"
                    for row in facts["figures"]
                    if row["clusterer"] == "mixture"
                ],
                "headline": _headline(facts["figures"]),
                "contingency": _contingency(artifact),
                "outliers": _outliers(artifact, library),
                "audit": audit_command(artifact.reference),
            }
        )
    return found, {"tracks": names.tracks, "parts": PARTS, "maps": maps}


def comparison(found: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """All encoders side by side: of each, its strictest figures, a row for each clusterer."""
    rows = []
    for item in found:
        figures = item["figures"]
        outside = (item["outliers"]["facts"] or {}).get("outside") or {"auc": {}}
        for row in figures:
            if row["of"] == figures[0]["of"]:
                unheard = {"AUC of outside tracks": outside["auc"].get("knn")}
                named = {"encoder": item["name"], "dataset": item["dataset"]}
                rows.append(named | row | unheard)
    return rows


def _figures(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The figures as rows; a figure with its interval stays a mapping, for the template."""
    return [
        {
            "of": f"{row['n']:,} {row['tracks']}",
            "clusters": f"{row['clusters']}, {CLUSTERERS[row['clusterer']]}",
            **{title: row[key] for key, title in FIGURE_NAMES.items()},
        }
        for row in facts["figures"]
    ]


def _map(artifact: Artifact, table: pl.DataFrame, names: Names) -> dict[str, Any]:
    """The points of a map, as `clusters.js` draws them."""
    drawn = table.filter(pl.col("x_pca").is_not_null())
    # Those with a picture, and of these no more than a page holds.
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
    """The rows with what was found out about how strange they are, where it was."""
    if artifact.facts["outliers"]["absent"]:
        nothing = pl.lit(None, dtype=pl.Float64)
        return drawn.with_columns(p_knn=nothing, flagged=nothing, nearest_labels=nothing)
    columns = ["track_id", "p_knn", "flagged", "nearest_labels", "nearest_shares"]
    strange = read_table(artifact.folder / OUTLIERS, columns=columns)
    return drawn.join(strange, on="track_id", how="left", maintain_order="left")


def _part(row: Mapping[str, Any]) -> int:
    """The number of what a track is to the training; -1 where nothing was learned."""
    if row["part"] is None:
        return -1
    flagged = PARTS[5] if row["flagged"] else PARTS[4]
    return PARTS.index(flagged if row["part"] == OUTSIDE else row["part"])


def _headline(figures: Iterable[Mapping[str, Any]]) -> str | None:
    """How well blind clusters match the labels, by the strictest selection there is."""
    for row in figures:
        found = row["accuracy"]
        if found is not None and found["value"] is not None:
            return (
                f"{found['value']:.0%} of the {row['tracks']} fall in the cluster of their label "
                f"({found['chance']:.0%} with shuffled labels)"
            )
    return None


def _contingency(artifact: Artifact) -> list[dict[str, Any]]:
    """Clusters against labels: a table for each selection and clusterer, in its written order."""
    found = []
    table = read_table(artifact.folder / CONTINGENCY)
    drawn: set[str] = set()
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
        if clusterer not in drawn:
            picture = artifact_link(artifact.reference, contingency_picture(str(clusterer)))
            drawn.add(str(clusterer))
        title = f"{CLUSTERERS[str(clusterer)]}, {tracks}"
        title += ", as the map shows them" if tracks == ALL_TRACKS else ""
        found.append({"title": title, "labels": labels, "rows": rows, "picture": picture})
    return found


def _outliers(artifact: Artifact, library: Library) -> dict[str, Any]:
    """What was found about tracks outside the dataset, and these tracks themselves."""
    facts = artifact.facts["outliers"]
    told: dict[str, Any] = {
        "facts": None,
        "sentences": outlier_sentences(facts),
        "rows": [],
        "folders": [],
    }
    if facts["absent"]:
        return told | {"title": "Out of distribution", "picture": None, "tracks": 0}
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
            "AUC, nearest neighbours": part["auc"]["knn"],
            "AUC, Mahalanobis": part["auc"]["mahalanobis"],
        }
        for part in facts["by_folder"]
    ]
    title = "Music the network never heard" if facts["trained"] else "Music outside the dataset"
    picture = artifact_link(artifact.reference, OUTLIERS_PICTURE)
    told |= {"facts": facts, "rows": rows, "folders": folders if len(folders) > 1 else []}
    return told | {"title": title, "picture": picture, "tracks": facts["outside"]["tracks"]}


def _unit(across: pl.Series, up: pl.Series) -> tuple[list[float], list[float]]:
    """Coordinates from 0 to 1, both on one scale, short enough to embed."""
    x, y = across.to_list(), up.to_list()
    if not x:
        return [], []
    span = max(max(x) - min(x), max(y) - min(y)) or 1.0
    left, bottom = min(x), min(y)
    return [round((v - left) / span, 4) for v in x], [round((v - bottom) / span, 4) for v in y]
