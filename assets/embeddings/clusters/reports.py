"""`cluster_reports`: how the embeddings of an encoder group, and how well this matches labels."""

from dagster import AssetExecutionContext, MaterializeResult

from melgraph.assets.context import Context
from melgraph.assets.dataset.snapshot import Snapshot
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
from melgraph.assets.embeddings.clusters.tracks import is_trained_on_dataset, report_tracks
from melgraph.assets.embeddings.embeddings import vectors_of
from melgraph.assets.library.inputs import input_references
from melgraph.assets.materialize import (
    current_references,
    materialize,
    stage_asset,
)
from melgraph.assets.resources import HomeResource
from melgraph.assets.settings import use_numba_cache
from melgraph.assets.stage import Metadata, encoder_and_batch
from melgraph.assets.stages import CLUSTER_REPORTS, EMBEDDINGS
from melgraph.assets.ui import markdown_table, picture
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.files import write_json
from melgraph.storage.records import Spec
from melgraph.storage.tables import read_table, write_table
from melgraph.storage.test_reads import register_read

MAP, FIGURES = "map.parquet", "figures.json"
FACTS_OF_FIGURES = ("figures", "skipped", "density", "outliers")
SHOWN_OUTLIERS = 10  # in the Dagster UI; the page shows more


def plan_cluster_report(context: Context, encoder: str) -> Spec:
    """The report on all current embeddings of an encoder, compared with labels of its dataset."""
    store = context.store
    snapshot = Snapshot.current(store, context.specs.encoders[encoder].dataset)
    vectors = current_references(store, EMBEDDINGS, f"{encoder}+")
    spectrograms = input_references(store, [encoder_and_batch(v.partition)[1] for v in vectors])
    config = {
        "maps": list(MAPS),
        "mapped": 20_000,  # largest number of tracks on a map
        "drawn": 5_000,  # largest number of thumbnails; a page shows as many points
        "clusterers": list(CLUSTERERS),
        "bootstrap": 1000,
        "shuffles": 200,
        "neighbours": 5,  # the score of a track is its distance to the fifth nearest training track
        "voters": 15,  # nearest training tracks whose labels are counted
        "level": 0.05,  # a track is flagged if its p-value is at most this
    }
    inputs = (snapshot.reference, *vectors, *spectrograms)
    return CLUSTER_REPORTS.spec(encoder, inputs, config, 0)


def write_cluster_report(store: ArtifactStore, work: Work) -> None:
    """Write maps, clusters and out-of-distribution tracks of all embeddings of an encoder."""
    ids, vectors = vectors_of(store, work.spec)
    tracks = report_tracks(store, work.spec, ids)
    _register(store, work)
    work.facts.update(tracks=tracks.height, labelled=tracks["label"].count())
    use_numba_cache(store.home)
    columns = write_maps(work, tracks, vectors)
    columns["tile"] = write_thumbnails(store, work, tracks)
    columns |= write_clusters(work, tracks, vectors)
    write_outliers(work, tracks, vectors, is_trained_on_dataset(store, work.spec))
    table = tracks.drop("labels", "group", "heard").with_columns(**columns)
    write_table(table, work.folder / MAP)
    write_json(work.folder / FIGURES, {name: work.facts[name] for name in FACTS_OF_FIGURES})


def _register(store: ArtifactStore, work: Work) -> None:
    """Note the look at the test split before it happens.

    Clustering uses no labels, but the clusters are then compared with labels of the test split.
    """
    snapshot = Snapshot.input_of(store, work.spec)
    test_ids, run = snapshot.track_ids("test"), work.run.get("dagster")
    register_read(store.home, snapshot.reference, test_ids, work.spec.reference, "clusters", run)


@stage_asset(CLUSTER_REPORTS)
def cluster_reports(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult[None]:
    """How the embeddings of an encoder group, and how well the clusters agree with the labels.

    `map.parquet` has the place of each track on maps by PCA, t-SNE and UMAP. Clusters are computed
    by k-means and by a Gaussian mixture, without labels. `figures.json` compares them with the
    labels: Hungarian accuracy, NMI, ARI and silhouettes, each with a 95 % bootstrap interval and
    the value for shuffled labels. An encoder was trained with the labels of its training tracks, so
    the figures of the held-out tracks are the ones to compare. HDBSCAN estimates the number of
    clusters from density alone. `outliers.parquet` has a conformal p-value for each track: the
    share of held-out tracks that lie at least as far from the training tracks.
    """
    return materialize(context, home, CLUSTER_REPORTS)


def figure_rows(facts: Metadata) -> list[dict[str, object]]:
    """The figures as rows of a table for people."""

    def spell(figure: dict[str, float] | None) -> str:
        if figure is None or figure["value"] is None:
            return "-"
        text = "{value:.2f} ({low:.2f} to {high:.2f}; with shuffled labels {chance:.2f})"
        return text.format(**figure)

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
    """The number of clusters that HDBSCAN estimates, and the share of tracks in no cluster."""
    return (
        "Number of clusters by density alone (HDBSCAN): {clusters}; {noise:.0%} of {tracks:,} "
        "tracks belong to no cluster.".format(**facts["density"])
    )


def show(artifact: Artifact) -> Metadata:
    """The maps, the figures, and the tracks outside the dataset."""
    facts, folder = artifact.facts, artifact.folder
    rows = figure_rows(facts)
    metadata: Metadata = {"tracks": facts["tracks"]}
    metadata |= {f"map by {MAPS[name]}": picture(folder / map_picture(name)) for name in MAPS}
    metadata["figures"] = markdown_table(rows) if rows else "; ".join(facts["skipped"])
    metadata["clusters by density"] = density_sentence(facts)
    for clusterer, title in CLUSTERERS.items():
        file = folder / contingency_picture(clusterer)
        if file.name in artifact.record.files:
            metadata[f"{title} against the labels"] = picture(file)
    metadata["out of distribution"] = " ".join(outlier_sentences(facts["outliers"]))
    if not facts["outliers"]["absent"]:
        metadata["distances"] = picture(folder / OUTLIERS_PICTURE)
        outside = strangest(read_table(folder / OUTLIERS), SHOWN_OUTLIERS)
        metadata["tracks outside the dataset, smallest p-value first"] = markdown_table(
            [
                {"track": row["path"], "nearest labels": spell_labels(row), "p-value": row["p_knn"]}
                for row in outside
            ]
        )
    return metadata
