"""`cluster_reports`: does an encoder's space hold the labels without having been told them?"""

import numpy as np
import polars as pl
from dagster import (
    AllPartitionMapping,
    AssetDep,
    AssetExecutionContext,
    MaterializeResult,
    asset,
)

from melgraph.assets.dataset.datasets import DATASETS, TABLE
from melgraph.assets.embeddings.clusters.agreement import (
    CLUSTERERS,
    FIGURE_NAMES,
    contingency_picture,
    write_clusters,
)
from melgraph.assets.embeddings.clusters.maps import MAPS, map_picture, write_maps, write_thumbnails
from melgraph.assets.embeddings.clusters.outliers import (
    OUTLIERS,
    OUTLIERS_PICTURE,
    outlier_sentences,
    spell_labels,
    strangest,
    write_outliers,
)
from melgraph.assets.embeddings.clusters.tracks import is_trained, report_tracks
from melgraph.assets.embeddings.embeddings import EMBEDDINGS, TRACK_VECTORS
from melgraph.assets.library import ingest
from melgraph.assets.library.inputs import input_references
from melgraph.assets.materialize import (
    Metadata,
    current_references,
    input_of,
    inputs_of,
    markdown_table,
    materialize,
    picture,
    plain_failures,
)
from melgraph.assets.models.trained_models import write_json
from melgraph.assets.partitions import SPECS, by_encoder, dataset_to_encoders, encoder_names
from melgraph.assets.resources import HomeResource
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.records import Spec
from melgraph.storage.tables import read_table, write_table
from melgraph.storage.test_reads import register_read

STAGE = 2
CLUSTER_REPORTS = "cluster_reports"
MAP, FIGURES = "map.parquet", "figures.json"
SHOWN_OUTLIERS = 10  # in the Dagster UI; the page shows more


def cluster_spec(store: ArtifactStore, encoder: str) -> Spec:
    """The report on all current embeddings of an encoder, held against its dataset's labels."""
    snapshot = store.need(DATASETS, SPECS.encoders[encoder].dataset)
    vectors = current_references(store, EMBEDDINGS, f"{encoder}+")
    spectrograms = input_references(store, [v.partition.split("+", 1)[1] for v in vectors])
    config = {
        "maps": list(MAPS),
        "mapped": 20_000,  # most tracks of a map
        "drawn": 5_000,  # most tracks with a picture; as many points as a page shows
        "clusterers": list(CLUSTERERS),
        "bootstrap": 1000,
        "shuffles": 200,
        "neighbours": 5,  # the training track whose distance says how strange a track is
        "voters": 15,  # the training tracks whose labels are near
        "level": 0.05,  # flagged where such a distance is this rare, or rarer
    }
    inputs = (snapshot.reference, *vectors, *spectrograms)
    return Spec(CLUSTER_REPORTS, encoder, STAGE, inputs, config, 0)


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
    """Map all tracks in the plane; cluster them blind; say which are unlike the training tracks."""
    ids, vectors = vectors_of(store, work.spec)
    tracks = report_tracks(store, work.spec, ids)
    _register(store, work)
    work.facts.update(tracks=tracks.height, labelled=tracks["label"].count())
    columns = write_maps(work, tracks, vectors)
    columns["tile"] = write_thumbnails(store, work, tracks)
    columns |= write_clusters(work, tracks, vectors)
    write_outliers(work, tracks, vectors, is_trained(store, work.spec))
    table = tracks.drop("labels", "group", "heard").with_columns(**columns)
    write_table(table, work.folder / MAP)
    write_json(work.folder / FIGURES, {name: work.facts[name] for name in _SAID})


_SAID = ("figures", "skipped", "density", "outliers")


def _register(store: ArtifactStore, work: Work) -> None:
    """The clusters are made blind, and then held against labels, those of the test split too."""
    snapshot = input_of(store, work.spec, DATASETS)
    table = read_table(snapshot.folder / TABLE).filter(pl.col("split") == "test")
    tested, run = table["track_id"].to_list(), work.run.get("dagster")
    register_read(store.home, snapshot.reference, tested, work.spec.reference, "clusters", run)


@asset(
    partitions_def=encoder_names,
    deps=[
        AssetDep(EMBEDDINGS, partition_mapping=by_encoder),
        AssetDep(DATASETS, partition_mapping=dataset_to_encoders),
        AssetDep(ingest.MEL, partition_mapping=AllPartitionMapping()),
    ],
    group_name="embeddings",
    code_version=str(STAGE),
    kinds={"scikitlearn"},
)
def cluster_reports(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult:
    """Do genres form clusters in an encoder's space, and where does unheard music land?

    Maps by PCA, t-SNE and UMAP. Clusters by k-means and a Gaussian mixture, without labels; then
    Hungarian accuracy, NMI, ARI and silhouettes, each with a bootstrap interval and the level that
    shuffled labels reach. A trained encoder has seen the labels of its training tracks: the
    held-out tracks are what counts. HDBSCAN says how many clusters there are by density alone.
    Tracks outside the dataset get a conformal p-value: how rare it is for one of the dataset to lie
    as far from the training tracks.
    """
    with plain_failures():
        store = home.store()
        spec = cluster_spec(store, context.partition_key)
    return materialize(context, store, spec, write_cluster_report, _show)


def figure_rows(facts: Metadata) -> list[dict[str, object]]:
    """The figures as rows for people."""

    def spell(figure: dict[str, float] | None) -> str:
        if figure is None or figure["value"] is None:
            return "-"
        return "{value:.2f} ({low:.2f} to {high:.2f}; shuffled {chance:.2f})".format(**figure)

    return [
        {
            "tracks": row["tracks"],
            "clusters by": CLUSTERERS[row["clusterer"]],
            "clusters": row["clusters"],
            "n": row["n"],
            **{title: spell(row[key]) for key, title in FIGURE_NAMES.items()},
        }
        for row in facts["figures"]
    ]


def density_sentence(facts: Metadata) -> str:
    """How many clusters there are by density alone."""
    return (
        "By density alone (HDBSCAN) there are {clusters} clusters, and {noise:.0%} of {tracks:,} "
        "tracks lie in none.".format(**facts["density"])
    )


def _show(artifact: Artifact) -> Metadata:
    facts = artifact.facts
    rows = figure_rows(facts)
    shown: Metadata = {"tracks": facts["tracks"]}
    shown |= {f"map by {MAPS[name]}": picture(artifact.folder / map_picture(name)) for name in MAPS}
    shown["figures"] = markdown_table(rows) if rows else "; ".join(facts["skipped"])
    shown["clusters by density"] = density_sentence(facts)
    for clusterer, title in CLUSTERERS.items():
        file = artifact.folder / contingency_picture(clusterer)
        if file.name in artifact.record.files:
            shown[f"{title} against the labels"] = picture(file)
    shown["out of distribution"] = " ".join(outlier_sentences(facts["outliers"]))
    if not facts["outliers"]["absent"]:
        shown["distances"] = picture(artifact.folder / OUTLIERS_PICTURE)
        found = strangest(read_table(artifact.folder / OUTLIERS), SHOWN_OUTLIERS)
        shown["tracks outside the dataset, the strangest first"] = markdown_table(
            [
                {"track": row["path"], "nearest labels": spell_labels(row), "p-value": row["p_knn"]}
                for row in found
            ]
        )
    return shown
