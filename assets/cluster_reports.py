"""`cluster_reports`: does an encoder's space hold the labels without having been told them?"""

import numpy as np
import polars as pl
from dagster import (
    AssetDep,
    AssetExecutionContext,
    MaterializeResult,
    asset,
)

from assets.datasets import DATASETS, TABLE
from assets.embeddings import EMBEDDINGS, TRACK_VECTORS
from assets.materialize import (
    Metadata,
    current_references,
    input_of,
    inputs_of,
    markdown_table,
    materialize,
    picture,
    plain_failures,
)
from assets.partitions import SPECS, by_encoder, dataset_to_encoders, encoder_names
from assets.resources import HomeResource
from assets.trained_models import write_json
from ml.errors import UserError
from storage.artifacts import Artifact, ArtifactStore, Work
from storage.records import Spec
from storage.tables import read_table, write_table
from storage.test_reads import register_read

STAGE = 1
CLUSTER_REPORTS = "cluster_reports"
MAP, MAP_PICTURE, FIGURES = "map.parquet", "map.png", "figures.json"
FIGURE_NAMES = {
    "accuracy": "Hungarian accuracy",
    "nmi": "NMI",
    "ari": "ARI",
    "silhouette_by_label": "silhouette of labels",
}


def cluster_spec(store: ArtifactStore, encoder: str) -> Spec:
    """The report on all current embeddings of an encoder, held against its dataset's labels."""
    snapshot = store.need(DATASETS, SPECS.encoders[encoder].dataset)
    vectors = current_references(store, EMBEDDINGS, f"{encoder}+")
    config = {"map": "tsne", "bootstrap": 1000, "shuffles": 200}
    return Spec(CLUSTER_REPORTS, encoder, STAGE, (snapshot.reference, *vectors), config, 0)


def vectors_of(store: ArtifactStore, spec: Spec) -> tuple[list[str], np.ndarray]:
    """Track ids and float32 `[track, dim]` of all embeddings a spec names; each track once."""
    tables = [read_table(a.folder / TRACK_VECTORS) for a in inputs_of(store, spec, EMBEDDINGS)]
    tables = [table for table in tables if table.height]
    if not tables:
        raise UserError(
            "there are no embeddings",
            where=f"{spec.asset}/{spec.partition}",
            remedy=f"materialize embeddings for the encoder {spec.partition!r} first",
        )
    table = pl.concat(tables).unique("track_id", keep="first", maintain_order=True)
    return table["track_id"].to_list(), table["vector"].to_numpy()


def write_cluster_report(store: ArtifactStore, work: Work) -> None:
    """Map all tracks in the plane; cluster the tracks the encoder was not trained on."""
    from ml import plots
    from ml.clustering import cluster_figures, project

    config, seed = work.spec.config, work.spec.seed or 0
    ids, vectors = vectors_of(store, work.spec)
    snapshot = read_table(input_of(store, work.spec, DATASETS).folder / TABLE)
    known = snapshot.select("track_id", "path", "artist", "title", "label", "split")
    table = pl.DataFrame({"track_id": ids}).join(known, on="track_id", how="left")
    points = project(vectors, method=config["map"], seed=seed)
    table = table.with_columns(x=points[:, 0], y=points[:, 1])
    _register(store, work)
    write_table(table, work.folder / MAP)
    title = f"{work.spec.partition}: {table.height} tracks (t-SNE)"
    png = plots.scatter_map(points, table["label"].to_list(), title)
    (work.folder / MAP_PICTURE).write_bytes(png)
    figures: list[dict[str, object]] = []
    for name, chosen in _selections(table).items():
        labels = [table["label"][row] for row in chosen]
        if len(chosen) < 3 or len(set(labels)) < 2 or len(chosen) <= len(set(labels)):
            continue
        found = cluster_figures(
            vectors[chosen],
            labels,
            seed=seed,
            n_bootstrap=config["bootstrap"],
            n_shuffles=config["shuffles"],
        )
        row = {"tracks": name, "n": len(chosen), "classes": len(set(labels))}
        figures.append(row | {key: _plain(getattr(found, key)) for key in FIGURE_NAMES})
    write_json(work.folder / FIGURES, figures)
    work.facts.update(tracks=table.height, labelled=table["label"].count(), figures=figures)


def _register(store: ArtifactStore, work: Work) -> None:
    """The clusters are made blind, and then held against labels, those of the test split too."""
    snapshot = input_of(store, work.spec, DATASETS)
    table = read_table(snapshot.folder / TABLE).filter(pl.col("split") == "test")
    tested, run = table["track_id"].to_list(), work.run.get("dagster")
    register_read(store.home, snapshot.reference, tested, work.spec.reference, "clusters", run)


def _selections(table: pl.DataFrame) -> dict[str, list[int]]:
    """Rows to judge: tracks no training has seen, and all. Clusters are made without labels."""
    splits, labels = table["split"].to_list(), table["label"].to_list()
    used = [row for row, split in enumerate(splits) if split is not None and labels[row]]
    held_out = [row for row in used if splits[row] != "train"]
    return {"held-out tracks": held_out, "all tracks (training tracks too)": used}


def _plain(figure: object) -> dict[str, float | None]:
    names = ("value", "low", "high", "chance", "chance_95")
    values = {name: float(getattr(figure, name)) for name in names}
    return {name: value if np.isfinite(value) else None for name, value in values.items()}


@asset(
    partitions_def=encoder_names,
    deps=[
        AssetDep(EMBEDDINGS, partition_mapping=by_encoder),
        AssetDep(DATASETS, partition_mapping=dataset_to_encoders),
    ],
    group_name="embeddings",
    code_version=str(STAGE),
    kinds={"scikitlearn"},
)
def cluster_reports(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult:
    """A map of the library in an encoder's space, and how well blind clusters match the labels.

    k-means without labels; then Hungarian accuracy, NMI, ARI and silhouette, each with a bootstrap
    interval and the level that shuffled labels reach. A trained encoder has seen the labels of its
    training tracks: the held-out tracks are what counts.
    """
    with plain_failures():
        store = home.store()
        spec = cluster_spec(store, context.partition_key)
    return materialize(context, store, spec, write_cluster_report, _show)


def figure_rows(facts: Metadata) -> list[dict[str, object]]:
    """The figures as rows for people."""

    def spell(figure: dict[str, float]) -> str:
        if figure["value"] is None:
            return "-"
        return "{value:.2f} ({low:.2f} to {high:.2f}; shuffled {chance:.2f})".format(**figure)

    return [
        {
            "tracks": row["tracks"],
            "n": row["n"],
            **{title: spell(row[key]) for key, title in FIGURE_NAMES.items()},
        }
        for row in facts["figures"]
    ]


def _show(artifact: Artifact) -> Metadata:
    rows = figure_rows(artifact.facts)
    shown: Metadata = {
        "tracks": artifact.facts["tracks"],
        "map": picture(artifact.folder / MAP_PICTURE),
    }
    shown["figures"] = markdown_table(rows) if rows else "no labels to hold the clusters against"
    return shown
