"""`generative_models`: a network that learns to make music of a dataset's genres."""

from collections.abc import Mapping
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from dagster import AssetExecutionContext, MaterializeResult

from melgraph.assets.context import Context
from melgraph.assets.dataset.datasets import usable_snapshot
from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.generation.models.generative_model import (
    CHECKPOINT,
    CURVES,
    CURVES_PICTURE,
    LEARNED,
    RECORDINGS,
    SAMPLES,
    VALIDATED,
)
from melgraph.assets.generation.models.sheets import sheet
from melgraph.assets.library.inputs import TrackInputs, input_references
from melgraph.assets.materialize import inputs_of, plain_failures, produce, stage_asset
from melgraph.assets.models.tracking.live import LiveRun
from melgraph.assets.models.tracking.tracker import Tracker
from melgraph.assets.models.tracking.untracked import UNTRACKED, UntrackedRuns
from melgraph.assets.models.trained_model import device
from melgraph.assets.models.trained_models import resumable, without_times
from melgraph.assets.partitions import partition_of
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import Metadata
from melgraph.assets.stages import GENERATIVE_MODELS, REPRESENTATIONS
from melgraph.assets.ui import markdown_table, picture, progress_bar
from melgraph.ml.errors import UserError
from melgraph.ml.specs.generative_model import GenerativeModelSpec, GenerativeSpec
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.records import Spec
from melgraph.storage.tables import write_table

if TYPE_CHECKING:
    from melgraph.ml.generative.base import GenerativeResult, GenreTracks, Samples

GENRES = "genres"  # key of the config: the genres, also if the TOML file names none
_COLUMNS = ("track_id", "path", "label", "group", "batch")


def plan_generative_model(context: Context, name: str) -> Spec:
    """The training of a generative model on the train side of the current snapshot.

    Raises:
        UserError, StorageError: the dataset cannot be used, has no genres, lacks one that is named,
            or has too few recordings of one.
    """
    described = context.specs.generative_models[name]
    snapshot = usable_snapshot(context.store, described.dataset)
    genres = _checked_genres(described, snapshot, name)
    batches = _used(snapshot, genres)["batch"].unique().to_list()
    representation = described.input.representation
    inputs = (snapshot.reference, *input_references(context.store, batches, representation))
    config = described.dump_for_version(mode="json", exclude={"embedding"}) | {GENRES: genres}
    return GENERATIVE_MODELS.spec(name, inputs, config, described.seed)


def _checked_genres(described: GenerativeSpec, snapshot: Snapshot, name: str) -> list[str]:
    """The genres that are learned, if the snapshot has enough recordings of each."""
    from melgraph.ml.generative.set_aside import MIN_RECORDINGS

    where = f"generative model {name}"
    if snapshot.multi_label:
        raise UserError(
            f"the tracks of {snapshot.name!r} have several labels, and a generative model needs "
            "one genre per track",
            where=where,
            remedy="name a dataset with one label per track",
        )
    genres = list(described.genres) or list(snapshot.classes)
    counts = dict(snapshot.part("train").group_by("label").len().iter_rows())
    unknown = [genre for genre in genres if genre not in snapshot.classes]
    if unknown:
        raise UserError(
            f"the dataset {snapshot.name!r} has no genre {', '.join(map(repr, unknown))}",
            where=f"{where}: genres",
            remedy=f"use some of {', '.join(snapshot.classes)}; or name another dataset",
        )
    few = [genre for genre in genres if counts.get(genre, 0) < MIN_RECORDINGS]
    if few:
        listed = ", ".join(f"{genre!r} {counts.get(genre, 0)}" for genre in few)
        raise UserError(
            f"too few recordings on the train side of {snapshot.name!r}: {listed}; each genre "
            f"needs {MIN_RECORDINGS}",
            where=f"{where}: genres",
            remedy="add recordings, leave these genres out, or raise `train` of the dataset",
        )
    return genres


def _used(snapshot: Snapshot, genres: list[str]) -> pl.DataFrame:
    """The recordings of the train side, sorted by id."""
    train = snapshot.part("train").filter(pl.col("label").is_in(genres))
    return train.select(_COLUMNS).sort("track_id")


def write_generative_model(
    store: ArtifactStore,
    work: Work,
    tracker: Tracker | UntrackedRuns = UNTRACKED,
    state: Path | None = None,
) -> None:
    """Train, and write the checkpoint, the curves, and the samples and the sheet of each epoch.

    Args:
        store: of the artifacts.
        work: of the generative model.
        tracker: logs the MLflow run.
        state: the folder with the state of an interrupted training, from which it resumes.
    """
    with tracker.live_run(store, work) as run:
        result = _train(store, work, run, state)
        work.run["mlflow"] = tracker.log_generative_model(
            store, work, result.curves, seconds=result.seconds, run=run
        )


def _train(
    store: ArtifactStore, work: Work, run: LiveRun, state: Path | None
) -> "GenerativeResult":
    from melgraph.ml.generative import checkpoints
    from melgraph.ml.generative.base import GenerativeSetup
    from melgraph.ml.generative.kinds import build, trainer_of
    from melgraph.ml.generative.loop import train_generative

    described = spec_of(work.spec)
    genres: list[str] = work.spec.config[GENRES]
    seed = work.spec.seed or 0
    inputs = TrackInputs(
        inputs_of(store, work.spec, REPRESENTATIONS[described.input.representation]),
        described.input,
    )
    table, notes = _parts(_used(Snapshot.input_of(store, work.spec), genres), genres, described)
    learned, validation = (
        genre_tracks(inputs, table.filter(pl.col("part") == part), genres)
        for part in (LEARNED, VALIDATED)
    )
    options = described.network.model_dump(mode="json")
    network = build(described.kind, inputs.shape, genres, seed=seed, options=options)
    setup = GenerativeSetup(
        learned, validation, described.training, described.epochs, seed, device(), state
    )
    with progress_bar(described.epochs, "epochs", work.spec.partition) as bar:

        def report(row: Mapping[str, Any], samples: "Samples") -> None:
            name = _sheet_name(row["epoch"])
            drawn = sheet(described, inputs, genres, samples, validation, row["epoch"])
            (work.folder / name).write_bytes(drawn)
            run.log_epoch(row)
            run.log_picture(work.folder / name, "samples")
            bar.update()
            bar.set_postfix_str(f"loss {row['train_loss']:.3f}")

        result = train_generative(network, trainer_of(described.kind), setup, progress=report)
    for epoch, samples in enumerate(result.samples, start=1):
        if not (work.folder / _sheet_name(epoch)).exists():  # before an interruption
            drawn = sheet(described, inputs, genres, samples, validation, epoch)
            (work.folder / _sheet_name(epoch)).write_bytes(drawn)
    meta = {"input": inputs.describe(), "model": work.spec.partition, "version": work.spec.version}
    checkpoints.save(work.folder / CHECKPOINT, network, meta)
    write_table(table, work.folder / RECORDINGS)
    write_table(without_times(result.curves), work.folder / CURVES)
    (work.folder / SAMPLES).write_bytes(_packed(result.samples))
    (work.folder / CURVES_PICTURE).write_bytes(_curves_picture(result.curves))
    work.facts.update(_facts(result, table, genres, network.n_parameters, notes))
    work.run.update(
        device=device(),
        seconds=f"{result.seconds:.1f}",
        peak_memory_bytes=str(result.peak_memory_bytes),
    )
    return result


def spec_of(spec: Spec) -> Any:
    """The specification of a generative model, from the spec of its artifact."""
    from pydantic import TypeAdapter

    adapter: TypeAdapter[Any] = TypeAdapter(GenerativeModelSpec)
    return adapter.validate_python(spec.config)


def _parts(
    table: pl.DataFrame, genres: list[str], described: GenerativeSpec
) -> tuple[pl.DataFrame, list[str]]:
    """The recordings with their part, and a caution about genres of one artist."""
    from melgraph.ml.generative.set_aside import set_aside

    numbers = np.array([genres.index(label) for label in table["label"]], np.int64)
    groups = [
        track if group is None else group
        for track, group in table.select("track_id", "group").iter_rows()
    ]
    mask, shared = set_aside(numbers, groups, share=described.validation, seed=described.seed)
    part = pl.Series("part", [VALIDATED if chosen else LEARNED for chosen in mask])
    notes = [
        f"The genre {genres[genre]!r} has too few artists: its validation recordings are by "
        "artists that the network learned from, so its validation loss is probably too low. Add "
        "recordings of other artists."
        for genre in shared
    ]
    return table.rename({"label": "genre"}).with_columns(part), notes


def genre_tracks(inputs: TrackInputs, table: pl.DataFrame, genres: list[str]) -> "GenreTracks":
    """The recordings of a table, as a training takes them."""
    from melgraph.ml.generative.base import GenreTracks

    arrays = inputs.tracks(table["batch"].to_list(), table["track_id"].to_list())
    return GenreTracks(arrays, np.array([genres.index(g) for g in table["genre"]], np.int64))


def _sheet_name(epoch: int) -> str:
    return f"epoch-{epoch:03d}.png"


def _packed(samples: "list[Samples]") -> bytes:
    """The samples of all epochs as one file of numpy arrays; equal samples give equal bytes."""
    file, last = BytesIO(), samples[-1]
    values = np.stack([one.values for one in samples])
    np.savez(file, values=values, genres=last.genres, tracks=last.tracks, starts=last.starts)
    return file.getvalue()


def _curves_picture(curves: list[dict[str, Any]]) -> bytes:
    from melgraph.ml.plots.generative import generative_curves

    return generative_curves(curves)


def _facts(
    result: "GenerativeResult",
    table: pl.DataFrame,
    genres: list[str],
    n_parameters: int,
    notes: list[str],
) -> Metadata:
    counts = {
        part: dict(table.filter(pl.col("part") == part).group_by("genre").len().iter_rows())
        for part in (LEARNED, VALIDATED)
    }
    losses = [row["validation_loss"] for row in result.curves]
    return {
        GENRES: genres,
        "recordings": [
            {"genre": genre, **{part: counts[part].get(genre, 0) for part in counts}}
            for genre in genres
        ],
        "parameters": n_parameters,
        "epochs": len(result.curves),
        "validation_loss_first": round(losses[0], 5),
        "validation_loss_lowest": round(min(losses), 5),
        "validation_loss_last": round(losses[-1], 5),
        "notes": [*notes, *result.notes],
    }


@stage_asset(GENERATIVE_MODELS)
def generative_models(
    context: AssetExecutionContext, home: HomeResource, tracking: Tracker
) -> MaterializeResult[None]:
    """A network that learns to make music: a CycleGAN, recreations, or a rectified flow.

    It learns only from the train side of its dataset; `recordings.parquet` names every recording.
    A part of these is set aside for the validation loss. `checkpoint/` has the weights as
    safetensors. `epoch-*.png` show what the network made at the end of each epoch, always from the
    same noise or recordings. Each training is logged as an MLflow run. An interrupted training
    resumes and ends with bit-identical weights.
    """
    with plain_failures():
        opened = home.context()
        spec = plan_generative_model(opened, partition_of(context))
        with resumable(opened.home, spec) as state:
            write = partial(write_generative_model, tracker=tracking, state=state)
            return produce(context, opened, GENERATIVE_MODELS, spec, write)


def show(artifact: Artifact) -> Metadata:
    """Sizes, losses, what the training noticed, the curves and the last samples."""
    facts = artifact.facts
    names = ("parameters", "epochs", "validation_loss_first", "validation_loss_last")
    sheets = sorted(name for name in artifact.record.files if name.startswith("epoch-"))
    return {
        **{name: facts[name] for name in names},
        "recordings": markdown_table(facts["recordings"]),
        "notes": "\n\n".join(facts["notes"]) or "nothing unusual",
        "curves": picture(artifact.folder / CURVES_PICTURE),
        "samples of the last epoch": picture(artifact.folder / sheets[-1]),
    }
