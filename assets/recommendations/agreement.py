"""How well recommendations agree with labels: measured on held-out tracks of other artists."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.models.seen_tracks import seen_rows
from melgraph.assets.recommendations.recommendation_index import RecommendationIndex
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.records import Spec

TEST_SPLIT = "test"  # the split whose tracks are the queries


def held_out_agreement(
    store: ArtifactStore, spec: Spec, neighbours: pl.DataFrame
) -> dict[str, Any]:
    """The share of recommended tracks with a label of the query, as facts of the recommendations.

    The queries are the test tracks of the dataset that the encoder has not seen, by group. The
    labels are those of the dataset. Recommended tracks of the query's own group (artist or
    recording), and those outside of the dataset, do not count. All encoders that name the same
    dataset are therefore measured on the same tracks, unless their training has seen some of them.

    Args:
        store: of the artifacts.
        spec: of the recommendations.
        neighbours: `track_id` and `recommended_id`, a row per track and rank.

    Returns:
        `same_label` with the ends of its 95 % confidence interval, `same_label_by_chance`,
        `held_out_tracks` and `held_out_groups`; or `no_agreement`, the reason why there are none.
    """
    snapshots = Snapshot.inputs_of(store, spec)
    if not snapshots:
        return {"no_agreement": "there is no dataset with labels"}
    (snapshot,) = snapshots
    table = snapshot.used().with_row_index("row")
    test = table.filter(pl.col("split") == TEST_SPLIT)
    if len(snapshot.classes) < 2 or not test.height:
        return {"no_agreement": f"the dataset {snapshot.name} has no test tracks with labels"}
    encoder = RecommendationIndex.input_of(store, spec).encoder.reference
    queries = test.filter(~seen_rows(store, [encoder], snapshot, test, own_split=True))
    return _figures(queries, table, neighbours) or {
        "no_agreement": "the library has no held-out track with recommended tracks of other artists"
        if queries.height
        else "the training of the encoder has seen every test track, or tracks of the same groups"
    }


def _figures(
    queries: pl.DataFrame, table: pl.DataFrame, neighbours: pl.DataFrame
) -> dict[str, Any]:
    """The facts; empty if no query has a neighbour of another group."""
    from melgraph.ml.similarity.neighbours import label_agreement

    row_of = dict(table.select("track_id", "row").iter_rows())
    of_queries = neighbours.filter(pl.col("track_id").is_in(queries["track_id"].to_list()))
    rows: dict[int, list[int]] = {row: [] for row in queries["row"]}
    for track_id, recommended in of_queries.select("track_id", "recommended_id").iter_rows():
        if recommended in row_of:
            rows[row_of[track_id]].append(row_of[recommended])
    agreement = label_agreement(rows, table["labels"].to_list(), table["group"].to_numpy())
    if not agreement.n_queries:
        return {}
    return {
        "same_label": round(agreement.precision, 4),
        "same_label_low": round(agreement.low, 4),
        "same_label_high": round(agreement.high, 4),
        "same_label_by_chance": round(agreement.chance, 4),
        "held_out_tracks": agreement.n_queries,
        "held_out_groups": agreement.n_groups,
    }


def agreement_sentence(facts: Mapping[str, Any]) -> str:
    """The agreement of recommendations with labels in one line, or why there is none."""
    if "held_out_tracks" not in facts:
        reason = facts.get("no_agreement", "an older melgraph made the recommendations")
        return f"not compared with labels: {reason}"
    return (
        f"{facts['same_label']:.0%} of the tracks that are recommended for held-out tracks share "
        f"their label (95 % confidence interval {facts['same_label_low']:.0%} to "
        f"{facts['same_label_high']:.0%}; random tracks {facts['same_label_by_chance']:.0%}; "
        f"n = {facts['held_out_tracks']} tracks of {facts['held_out_groups']} groups; tracks of "
        "the same artist do not count)"
    )


def best_first(facts: Mapping[str, Any]) -> tuple[bool, float]:
    """A sort key: the best agreement first, recommendations without figures last."""
    return "held_out_tracks" not in facts, -facts.get("same_label", 0.0)
