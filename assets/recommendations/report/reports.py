"""`recommendation_report`: how good the recommendations of all encoders in service are."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import polars as pl
from dagster import AssetExecutionContext, MaterializeResult
from numpy.typing import NDArray

from melgraph.assets.context import Context
from melgraph.assets.dataset.snapshot import Snapshot, artist_caution
from melgraph.assets.embeddings.encoders import in_service
from melgraph.assets.materialize import materialize, stage_asset
from melgraph.assets.readers import Reader
from melgraph.assets.recommendations.lists import RecommendationLists
from melgraph.assets.recommendations.report.figures import (
    list_facts,
    occurrences,
    query_table,
    scope_facts,
    scopes_of,
)
from melgraph.assets.recommendations.report.measurements import (
    COSINE,
    IN_SERVICE,
    Measurement,
    Queries,
    measure,
)
from melgraph.assets.recommendations.report.recordings import Recordings
from melgraph.assets.recommendations.report.spaces import (
    BASELINES,
    has_features,
    is_baseline,
    spaces_of,
)
from melgraph.assets.recommendations.report.tables import (
    figure_rows,
    list_rows,
    pair_rows,
    rescaling_rows,
    sentences,
    title_of,
)
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import ONE, Metadata, Stage
from melgraph.assets.stages import (
    AUDIO_FEATURES,
    DATASETS,
    RECOMMENDATION_REPORT,
    RECOMMENDATIONS,
    TRACKS,
)
from melgraph.assets.ui import markdown_table, picture, progress_bar
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.files import write_json
from melgraph.storage.records import Reference, Spec
from melgraph.storage.tables import write_table

QUERY_TABLE, RECORDING_TABLE, REPORT = "queries.parquet", "recordings.parquet", "report.json"
PICTURE = "occurrences.png"
MOST_QUERIES = 2000
# Pairs of a query and a recording: a larger library has fewer queries, but at least some.
MOST_PAIRS, LEAST_QUERIES = 100_000_000, 200
SEED = 0  # of the drawing of the queries


class RecommendationReport(Reader):
    """A committed `recommendation_report`."""

    stage: ClassVar[Stage] = RECOMMENDATION_REPORT

    @property
    def sections(self) -> list[dict[str, Any]]:
        """The sections, one for each dataset whose labels were used."""
        sections: list[dict[str, Any]] = self.facts["sections"]
        return sections


def plan_recommendation_report(context: Context, partition: str = ONE) -> Spec:
    """The report on the current recommendations of all encoders in service.

    The tabular features of the library are inputs too, unless an encoder in service has them as its
    vectors.

    Raises:
        UserError: no encoder in service has recommendations.
    """
    store = context.store
    all_lists = [
        RecommendationLists.current(store, name)
        for name in in_service(context)
        if store.current_reference(RECOMMENDATIONS.name, name) is not None
    ]
    # Those of an older melgraph hold other files; a run makes them again.
    all_lists = [lists for lists in all_lists if lists.spec.stage == RECOMMENDATIONS.number]
    if not all_lists:
        raise UserError(
            "no encoder in service has recommendations",
            where="recommendation_report",
            remedy="materialize `recommendations` of an encoder first, or run melgraph run",
        )
    inputs = {lists.reference for lists in all_lists}
    if not has_features(all_lists):
        batches = {r.partition for one in all_lists for r in one.spec.inputs if TRACKS.owns(r)}
        features = (store.current_reference(AUDIO_FEATURES.name, batch) for batch in batches)
        inputs |= {reference for reference in features if reference is not None}
    config = {"queries": MOST_QUERIES}
    return RECOMMENDATION_REPORT.spec(partition, tuple(sorted(inputs)), config, SEED)


def write_recommendation_report(store: ArtifactStore, work: Work) -> None:
    """Measure the recommendations of all encoders, and write the tables and the picture."""
    everything = RecommendationLists.inputs_of(store, work.spec)
    sections, query_tables, recording_tables = [], [], []
    charts: dict[str, list[NDArray[np.int64] | None]] = {}
    for reference, all_lists in by_dataset(everything).items():
        section = _Section(store, work.spec, all_lists, reference)
        section.measure()
        sections.append(section.facts())
        dataset = pl.lit(sections[-1]["dataset"], dtype=pl.String).alias("dataset")
        query_tables.append(section.query_table().with_columns(dataset))
        recording_tables.append(section.recording_table().with_columns(dataset))
        charts |= section.occurrences
    write_table(pl.concat(query_tables, how="diagonal"), work.folder / QUERY_TABLE)
    write_table(pl.concat(recording_tables, how="diagonal"), work.folder / RECORDING_TABLE)
    from melgraph.ml import plots

    chart = plots.occurrence_chart(
        charts, orders=("by cosine", "as recommended"), mean=float(everything[0].k)
    )
    (work.folder / PICTURE).write_bytes(chart)
    work.facts.update(encoders=[lists.name for lists in everything], sections=sections)
    write_json(work.folder / REPORT, work.facts)


def by_dataset(
    everything: Sequence[RecommendationLists],
) -> dict[Reference | None, list[RecommendationLists]]:
    """The recommendations to compare with each other, by the snapshot whose labels they use.

    Baselines are compared with the encoders of every dataset.
    """
    sections: dict[Reference | None, list[RecommendationLists]] = {}
    for lists in everything:
        snapshot = next(filter(DATASETS.owns, lists.spec.inputs), None)
        sections.setdefault(snapshot, []).append(lists)
    for reference, all_lists in sections.items():
        others = (one for one in everything if is_baseline(one) and one not in all_lists)
        sections[reference] = [*all_lists, *others]
    return sections


class _Section:
    """The measurements with the labels of one dataset."""

    def __init__(
        self,
        store: ArtifactStore,
        spec: Spec,
        all_lists: Sequence[RecommendationLists],
        reference: Reference | None,
    ) -> None:
        self._store, self._spec, self._all_lists = store, spec, all_lists
        self._snapshot = None if reference is None else Snapshot.at(store, reference)
        self._recordings = Recordings.of(all_lists, self._snapshot)
        n = len(self._recordings)
        most = min(spec.config["queries"], max(LEAST_QUERIES, MOST_PAIRS // max(1, n)))
        candidates = self._recordings.candidates()
        rows = self._recordings.draw(candidates, most, spec.seed or 0)
        self._n_candidates = len(candidates)
        self._queries = Queries(self._recordings, rows, all_lists[0].k)
        self._measurements: list[Measurement] = []
        self._lists: list[dict[str, Any]] = []
        self.occurrences: dict[str, list[NDArray[np.int64] | None]] = {}

    def measure(self) -> None:
        """Measure all spaces, one after the other."""
        spaces = spaces_of(self._store, self._spec, self._all_lists, self._recordings)
        total = len(self._queries.rows) * (len(self._all_lists) + 1)
        with progress_bar(total, "queries", "judging recommendations") as bar:
            for space, lists in spaces:
                self._measurements.append(measure(space, self._queries, bar.update))
                if lists is not None:
                    self._lists.append(list_facts(space.name, lists, self._recordings))
                    self.occurrences[space.name] = [
                        occurrences(near, len(self._recordings))
                        for near in (lists.by_cosine, lists.in_service)
                    ]

    def facts(self) -> dict[str, Any]:
        """The facts of the report about this dataset."""
        chances = self._queries.chances()
        snapshot = self._snapshot
        return {
            "dataset": None if snapshot is None else snapshot.name,
            "snapshot": None if snapshot is None else str(snapshot.reference),
            "recordings": len(self._recordings),
            "copies": self._recordings.n_copies,
            "k": self._queries.k,
            "queries": len(self._queries.rows),
            "queries_before_drawing": self._n_candidates,
            "titles": {one.space: one.title for one in self._measurements},
            "cautions": self._cautions(),
            "scopes": [
                scope_facts(scope, self._queries, chances)
                for scope in scopes_of(self._queries, self._measurements)
            ],
            "lists": self._lists,
        }

    def _cautions(self) -> list[str]:
        cautions = []
        if self._snapshot is None:
            cautions.append("there is no dataset with labels: artists and albums alone are judged")
        elif caution := artist_caution(self._snapshot.facts):
            cautions.append(caution)
        n = len(self._queries.rows)
        if n < self._n_candidates:
            cautions.append(f"{n} of {self._n_candidates} recordings were drawn as queries")
        kinds = {lists.index.encoder.kind for lists in self._all_lists}
        if BASELINES[1] not in kinds:
            cautions.append(
                "there is no raw mel baseline: put the encoder mel-statistics into service"
            )
        if "tagger" in kinds | _kinds_of_parts(self._all_lists):
            cautions.append(
                "it is not recorded which tracks the published taggers were trained with: "
                "recordings of this library may be among them, without its labels"
            )
        return cautions

    def query_table(self) -> pl.DataFrame:
        """A row per query, space and ranking."""
        return query_table(self._queries, self._measurements)

    def recording_table(self) -> pl.DataFrame:
        """A row per recording and encoder: the number of lists that it is in."""
        names = self._recordings.table.select("track_id", "path")
        return pl.concat(
            names.with_columns(
                pl.lit(name).alias("encoder"),
                *(
                    pl.Series(order, counts, dtype=pl.Int64)
                    if counts is not None
                    else pl.lit(None, dtype=pl.Int64).alias(order)
                    for order, counts in zip((COSINE, IN_SERVICE), both, strict=True)
                ),
            )
            for name, both in self.occurrences.items()
        )


def _kinds_of_parts(all_lists: Sequence[RecommendationLists]) -> set[str]:
    return {part.kind for lists in all_lists for part in lists.index.encoder.parts}


def shown_section(section: Mapping[str, Any]) -> dict[str, Any]:
    """A section as text for people, for the page and for the Dagster UI."""
    return {
        "dataset": section["dataset"],
        "sentences": sentences(section),
        "cautions": section["cautions"],
        "lists": list_rows(section),
        "tables": [
            {
                "title": title_of(scope, question),
                "rows": figure_rows(question, section["k"]),
                "pairs": pair_rows(question),
                "rescaling": rescaling_rows(scope) if question is scope["questions"][0] else [],
            }
            for scope in section["scopes"]
            for question in scope["questions"]
        ],
    }


@stage_asset(RECOMMENDATION_REPORT)
def recommendation_report(
    context: AssetExecutionContext, home: HomeResource
) -> MaterializeResult[None]:
    """The recommendations of all encoders in service, compared with each other and with baselines.

    Precision at 10 and mean average precision say how often a near recording has the label, the
    artist or the album of the query, with 95 % confidence intervals over groups (artists). An
    encoder is measured only with recordings of groups that it was not trained with. Encoders are
    compared with the tabular features, raw mel bands and a random ranking, and with each other, by
    paired tests with Holm's correction. Coverage, skewness and the largest hub say how evenly the
    recordings are spread over the lists, by cosine alone and as recommended.
    `queries.parquet` has the values of every query, `recordings.parquet` the number of lists that
    each recording is in. Of a large library, at most 2,000 queries are drawn by seed.
    """
    return materialize(context, home, RECOMMENDATION_REPORT)


def show(artifact: Artifact) -> Metadata:
    """What the report shows, and its tables."""
    metadata: Metadata = {"lists": picture(artifact.folder / PICTURE)}
    for section in artifact.facts["sections"]:
        name = section["dataset"] or "without labels"
        shown = shown_section(section)
        metadata[f"{name}: results"] = "\n\n".join(shown["sentences"])
        metadata[f"{name}: cautions"] = "\n\n".join(shown["cautions"])
        metadata[f"{name}: how even the lists are"] = markdown_table(shown["lists"])
        for table in shown["tables"]:
            metadata[f"{name}: {table['title']}"] = markdown_table(table["rows"])
    return metadata
