"""The tracks of a cluster report: names, labels, and what the encoder has heard of them."""

import polars as pl

from melgraph.assets.dataset.datasets import DATASETS, TABLE
from melgraph.assets.embeddings.embeddings import EMBEDDINGS
from melgraph.assets.embeddings.encoders import ENCODERS
from melgraph.assets.library import ingest
from melgraph.assets.materialize import input_of, inputs_of
from melgraph.assets.models.trained_models import TRAINED
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.records import Reference, Spec
from melgraph.storage.tables import read_part, read_table

# What a track is to the training: its split, or one of these.
LEFT_OUT, OUTSIDE = "left out", "outside"
HELD_OUT = ("validation", "test")
_NAMES = ["track_id", "path", "artist", "title"]


def report_tracks(store: ArtifactStore, spec: Spec, ids: list[str]) -> pl.DataFrame:
    """A row for each embedded track, in the order of `ids`.

    Columns: `track_id`, `path`, `artist`, `title`; `label`, `labels`, `group`, `split` as the
    dataset has them; `heard`, whether the encoder was trained on it; and `part`: its split, or
    `left out` (no split, though the dataset has it with a label of its classes, or the encoder has
    heard it elsewhere), or `outside` (neither). Without any training split, `part` is null.
    """
    snapshot = input_of(store, spec, DATASETS)
    known = read_table(snapshot.folder / TABLE).select(*_NAMES, "label", "labels", "group", "split")
    table = pl.DataFrame({"track_id": ids}, schema={"track_id": pl.String})
    table = table.join(_names(store, spec), on="track_id", how="left", maintain_order="left")
    table = table.join(known, on="track_id", how="left", maintain_order="left", suffix="_known")
    table = table.with_columns(
        pl.coalesce(f"{name}_known", name).alias(name) for name in _NAMES[1:]
    )
    heard = sorted(heard_tracks(store, spec))
    of_a_class = pl.col("labels").list.eval(pl.element().is_in(snapshot.facts["classes"]))
    table = table.with_columns(
        pl.col("track_id").is_in(heard).alias("heard"),
        of_a_class.list.any().fill_null(False).alias("of_a_class"),
    )
    left_out = pl.when(pl.col("heard") | pl.col("of_a_class"))
    part = pl.coalesce("split", left_out.then(pl.lit(LEFT_OUT)).otherwise(pl.lit(OUTSIDE)))
    learned_from = (table["split"] == "train").any()
    part = part if learned_from else pl.lit(None, dtype=pl.String)
    return table.with_columns(part=part).select(
        *_NAMES, "label", "labels", "group", "split", "heard", "part"
    )


def _names(store: ArtifactStore, spec: Spec) -> pl.DataFrame:
    """What the tracks of all batches are called; those outside the dataset are in no snapshot."""
    tables = [
        read_part(batch.folder / ingest.TRACKS_TABLE, _NAMES, pl.col("status") == "ok")
        for mel in inputs_of(store, spec, ingest.MEL)
        for batch in inputs_of(store, mel.record.spec, ingest.TRACKS)
    ]
    schema = dict.fromkeys(_NAMES, pl.String)
    names = pl.concat([pl.DataFrame(schema=schema), *tables])
    return names.unique("track_id", keep="first", maintain_order=True)


def heard_tracks(store: ArtifactStore, spec: Spec) -> set[str]:
    """The tracks that the encoder of a report was trained on, and the models its weights are of."""
    heard: set[str] = set()
    for snapshot in _trained_on(store, spec):
        table = read_part(
            store.get(snapshot).folder / TABLE, ["track_id"], pl.col("split") == "train"
        )
        heard |= set(table["track_id"])
    return heard


def is_trained(store: ArtifactStore, spec: Spec) -> bool:
    """Whether the encoder of a report was trained on the report's own dataset."""
    (own,) = (reference for reference in spec.inputs if reference.asset == DATASETS)
    return own.partition in {snapshot.partition for snapshot in _trained_on(store, spec)}


def _trained_on(store: ArtifactStore, spec: Spec) -> set[Reference]:
    """The snapshots of all models below the embeddings of a report."""
    snapshots: set[Reference] = set()
    seen: set[Reference] = set()
    ahead = [r for r in spec.inputs if r.asset == EMBEDDINGS]
    while ahead:
        reference = ahead.pop()
        if reference in seen:
            continue
        seen.add(reference)
        inputs = store.get(reference).record.spec.inputs
        ahead += [r for r in inputs if r.asset in (ENCODERS, TRAINED)]
        if reference.asset == TRAINED:
            snapshots |= {r for r in inputs if r.asset == DATASETS}
    return snapshots
