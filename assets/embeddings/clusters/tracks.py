"""The tracks of a cluster report: names, labels, splits, and which were used in the training."""

import polars as pl

from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.library.tracks import GOOD, Tracks
from melgraph.assets.materialize import inputs_of
from melgraph.assets.models.seen_tracks import TRAINED_ON, seen_rows, training_snapshots
from melgraph.assets.stages import MEL_SPECTROGRAMS
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.records import Spec

# A track is in a part: its split, or one of these.
LEFT_OUT, OUTSIDE = "left out", "outside"
HELD_OUT = ("validation", "test")
_NAMES = ["track_id", "path", "artist", "title"]


def report_tracks(store: ArtifactStore, spec: Spec, ids: list[str]) -> pl.DataFrame:
    """A row for each embedded track, in the order of `ids`.

    Columns: `track_id`, `path`, `artist`, `title`; `label`, `labels`, `group` and `split` of the
    dataset; `heard`: whether the encoder was trained on the track, or with another dataset on a
    track of the same group; and `part`, which is one of

    - the split of the track,
    - `left out`: the track is in no split, but it has a label that is a class of the dataset, or
      the encoder was trained on it with another dataset,
    - `outside`: none of these,
    - null: the dataset has no training split.
    """
    snapshot = Snapshot.input_of(store, spec)
    dataset = snapshot.table().select(*_NAMES, "label", "labels", "group", "split")
    seen_mask = seen_rows(
        store, spec.inputs, snapshot, dataset, own_split=True, parts=TRAINED_ON
    )  # by another snapshot
    seen_ids = set(dataset.filter(seen_mask)["track_id"])
    table = pl.DataFrame({"track_id": ids}, schema={"track_id": pl.String})
    table = table.join(_names(store, spec), on="track_id", how="left", maintain_order="left")
    table = table.join(dataset, on="track_id", how="left", maintain_order="left", suffix="_dataset")
    table = table.with_columns(
        pl.coalesce(f"{name}_dataset", name).alias(name) for name in _NAMES[1:]
    )
    training_ids = sorted(training_track_ids(store, spec) | seen_ids)
    of_a_class = pl.col("labels").list.eval(pl.element().is_in(snapshot.classes))
    table = table.with_columns(
        pl.col("track_id").is_in(training_ids).alias("heard"),
        of_a_class.list.any().fill_null(False).alias("of_a_class"),
    )
    left_out = pl.when(pl.col("heard") | pl.col("of_a_class"))
    part = pl.coalesce("split", left_out.then(pl.lit(LEFT_OUT)).otherwise(pl.lit(OUTSIDE)))
    has_training_split = (table["split"] == "train").any()
    part = part if has_training_split else pl.lit(None, dtype=pl.String)
    return table.with_columns(part=part).select(
        *_NAMES, "label", "labels", "group", "split", "heard", "part"
    )


def _names(store: ArtifactStore, spec: Spec) -> pl.DataFrame:
    """Path, artist and title of the tracks of all batches, also of those outside the dataset."""
    tables = [
        batch.part(_NAMES, GOOD)
        for mel in inputs_of(store, spec, MEL_SPECTROGRAMS)
        for batch in Tracks.inputs_of(store, mel.record.spec)
    ]
    schema = dict.fromkeys(_NAMES, pl.String)
    names = pl.concat([pl.DataFrame(schema=schema), *tables])
    return names.unique("track_id", keep="first", maintain_order=True)


def training_track_ids(store: ArtifactStore, spec: Spec) -> set[str]:
    """The tracks that the encoder of a report was trained on.

    The training tracks of models that provided its initial weights are included.
    """
    track_ids: set[str] = set()
    for reference in training_snapshots(store, spec.inputs):
        track_ids |= set(Snapshot.at(store, reference).track_ids("train"))
    return track_ids


def is_trained_on_dataset(store: ArtifactStore, spec: Spec) -> bool:
    """Whether the encoder of a report was trained on the dataset of the report."""
    dataset = Snapshot.input_of(store, spec).name
    return dataset in {s.partition for s in training_snapshots(store, spec.inputs)}
