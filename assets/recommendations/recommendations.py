"""`recommendations`: the most similar tracks of every track, per encoder."""

import numpy as np
import polars as pl
from dagster import AssetExecutionContext, Config, MaterializeResult
from pydantic import Field

from melgraph.assets.context import Context
from melgraph.assets.dataset import one_recording
from melgraph.assets.library.live import library_state, live_tracks
from melgraph.assets.library.tracks import Tracks
from melgraph.assets.materialize import (
    current_references,
    plain_failures,
    produce,
    stage_asset,
)
from melgraph.assets.partitions import partition_of
from melgraph.assets.recommendations.agreement import agreement_sentence, held_out_agreement
from melgraph.assets.recommendations.lists import (
    SCALES,
    TABLE,
    RecommendationLists,
    list_table,
    recording_numbers,
    scale_table,
)
from melgraph.assets.recommendations.recommendation_index import RecommendationIndex
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import Metadata
from melgraph.assets.stages import DATASETS, RECOMMENDATIONS, TRACKS
from melgraph.assets.ui import markdown_table, progress_bar
from melgraph.ml.errors import UserError
from melgraph.ml.similarity.hubness import hubness
from melgraph.ml.similarity.lists import build_lists, update_lists
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.records import Spec
from melgraph.storage.tables import read_table, write_table

NEIGHBOURS = 10
# Older scales make hubs of older tracks as the library grows (docs/results/hubness.md). All lists
# are therefore built anew when it has grown by half, up to this number of tracks: that takes
# seconds, and is rare. In a larger library, only `--refresh` builds them anew.
ANEW_UP_TO, GROWTH = 20_000, 1.5
_NAMES = ("track_id", "path", "artist", "title")


def plan_recommendations(context: Context, encoder: str, *, refresh: bool = False) -> Spec:
    """The recommendations from the current index, for the tracks that the library has now.

    They are made from the recommendations before them, which are then an input, unless there are
    none, their tracks have other vectors now, or the library has outgrown their scales. The
    duplicates and the dataset of the encoder are inputs if they exist.

    Args:
        context: of the home.
        encoder: the encoder.
        refresh: whether to build all lists and scales anew.
    """
    store = context.store
    index = RecommendationIndex.current(store, encoder)
    tracks = tuple(current_references(store, TRACKS))
    snapshot = store.current_reference(DATASETS.name, context.specs.encoders[encoder].dataset)
    optional = (*one_recording.duplicates_reference(store), *filter(None, [snapshot]))
    config = {"neighbours": NEIGHBOURS, **library_state(context.catalogue)}
    anew = RECOMMENDATIONS.spec(encoder, (index.reference, *tracks, *optional), config)
    artifact = None if refresh else store.current(RECOMMENDATIONS.name, encoder)
    if artifact is None:
        return anew
    before = RecommendationLists(store, artifact)
    if _without_lists(before.spec).version == anew.version:
        return before.spec
    if not _can_be_updated(before, index):
        return anew
    return RECOMMENDATIONS.spec(encoder, (*anew.inputs, before.reference), config)


def _without_lists(spec: Spec) -> Spec:
    """A spec without the recommendations among its inputs."""
    inputs = (reference for reference in spec.inputs if not RECOMMENDATIONS.owns(reference))
    return Spec(spec.asset, spec.partition, spec.stage, tuple(sorted(inputs)), spec.config)


def _can_be_updated(before: RecommendationLists, index: RecommendationIndex) -> bool:
    """Whether older lists still hold for their tracks, and their scales for the library."""
    if before.spec.stage != RECOMMENDATIONS.number or before.k != NEIGHBOURS:
        return False
    if not before.index.embeddings() <= index.embeddings():
        return False
    return index.n_tracks > ANEW_UP_TO or index.n_tracks <= GROWTH * before.tracks_of_scales


def write_recommendations(store: ArtifactStore, work: Work) -> None:
    """Write the most similar tracks of every track.

    A track is not recommended for itself or for a copy of its recording, each recording is
    recommended once, missing tracks are not recommended, and neither are tracks whose similarity is
    not positive.

    Raises:
        UserError: no track has an embedding.
    """
    spec = work.spec
    names = live_tracks(Tracks.inputs_of(store, spec), spec.config).select(_NAMES)
    recommendation_index = RecommendationIndex.input_of(store, spec)
    index = recommendation_index.open()
    ids = pl.Series("track_id", index.track_ids, dtype=pl.String)
    live = recommendation_index.live(index) & ids.is_in(names["track_id"].to_list()).to_numpy()
    if not live.any():
        raise UserError(
            f"no track has an embedding by the encoder {spec.partition!r}",
            where=f"{spec.asset}/{spec.partition}",
            remedy=f"materialize `embeddings` of the encoder {spec.partition!r} first",
        )
    recordings = recording_numbers(ids, one_recording.input_clusters(store, spec))
    with progress_bar(int(live.sum()), "tracks", f"recommending with {spec.partition}") as bar:

        def show_progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        if earlier := RecommendationLists.inputs_of(store, spec):
            (before,) = earlier
            clusters = one_recording.input_clusters(store, before.spec)
            lists, n_changed = update_lists(
                index, live, recordings, before.aligned(ids, live),
                recording_numbers(ids, clusters), show_progress,
            )  # fmt: skip
            tracks_of_scales = before.tracks_of_scales
        else:
            lists = build_lists(index, live, recordings, spec.config["neighbours"], show_progress)
            n_changed = tracks_of_scales = int(live.sum())
    table = _add_names(list_table(lists, ids), names)
    write_table(table, work.folder / TABLE)
    write_table(scale_table(lists, ids), work.folder / SCALES)
    number = np.cumsum(live) - 1  # of a live row among the live rows
    near = np.where(lists.rows >= 0, number[lists.rows], -1)[live]
    figures = hubness(near, int(live.sum()))
    work.facts.update(
        tracks=int(live.sum()),
        recommendations=table.height,
        lists_changed=n_changed,
        tracks_of_scales=tracks_of_scales,
        coverage=round(figures.coverage, 4),
        skewness=round(figures.skewness, 4),
        largest_hub=figures.largest_hub,
    )
    work.facts.update(held_out_agreement(store, spec, table))


def _add_names(neighbours: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    """The neighbours with the names of both tracks, by track and rank."""
    track = names.select("track_id", track="path")
    columns = {name: f"recommended_{name}" for name in ("path", "artist", "title")}
    recommended = names.rename({"track_id": "recommended_id", **columns})
    table = neighbours.join(track, on="track_id").join(recommended, on="recommended_id")
    return table.sort("track", "rank")


class RecommendationsConfig(Config):
    """The settings of a run, which the Dagster launchpad shows."""

    refresh: bool = Field(
        default=False,
        description="Build the lists and the scales of all tracks anew. Otherwise, only the lists "
        "that new or deleted tracks change are computed.",
    )


@stage_asset(RECOMMENDATIONS)
def recommendations(
    context: AssetExecutionContext, home: HomeResource, config: RecommendationsConfig
) -> MaterializeResult[None]:
    """The ten most similar tracks of every track by the embeddings of one encoder, as Parquet.

    `recommendations.parquet` has a row per track and rank: the cosine similarity, which is
    positive, and the score by which the list is ordered, the similarity rescaled by local scaling.
    `scales.parquet` has the scale of each track. Each recording is recommended once. New tracks
    change only the lists in which they are nearer than the last track; the lists before are then
    an input. The agreement with the labels is measured on the test tracks of the encoder's dataset,
    without tracks of the same artist.
    """
    with plain_failures():
        opened = home.context()
        spec = plan_recommendations(opened, partition_of(context), refresh=config.refresh)
    return produce(context, opened, RECOMMENDATIONS, spec)


def show(artifact: Artifact) -> Metadata:
    """Counts, and the first rows of the table."""
    table = read_table(artifact.folder / TABLE)
    columns = ("track", "rank", "recommended_path", "similarity")
    metadata = artifact.facts | {
        "agreement with labels": agreement_sentence(artifact.facts),
        "first rows": markdown_table(table.select(*columns).head(20).to_dicts()),
    }
    return {name: value for name, value in metadata.items() if value is not None}
