"""`encoders`: the short list in service, each frozen to one version of what it encodes with."""

import numpy as np
from dagster import AllPartitionMapping, AssetDep, AssetExecutionContext, MaterializeResult, asset

from assets import ingest
from assets.datasets import DATASETS, TABLE
from assets.inputs import TrackInputs, input_references
from assets.materialize import Metadata, input_of, inputs_of, materialize, plain_failures
from assets.partitions import (
    SPECS,
    dataset_to_encoders,
    encoder_names,
    experiment_to_encoders,
)
from assets.resources import HomeResource
from assets.trained_models import TRAINED, checkpoint_of, device, write_json
from ml.errors import UserError
from ml.input_spec import InputSpec
from storage.artifacts import Artifact, ArtifactStore, Work
from storage.records import Spec
from storage.tables import read_table

STAGE = 2
ENCODERS = "encoders"
DESCRIPTION, STATISTICS = "encoder.json", "statistics.npz"
SEGMENT_FRAMES = 129  # 3 s, for encoders that have no crop length of their own


def encoder_spec(store: ArtifactStore, name: str) -> Spec:
    """An encoder frozen to what is current now: a trained model, or statistics of a dataset."""
    encoder = SPECS.encoders[name]
    config = encoder.model_dump()
    if encoder.experiment is not None:
        model = store.need(TRAINED, encoder.experiment)
        snapshots = [r for r in model.record.spec.inputs if r.asset == DATASETS]
        return Spec(ENCODERS, name, STAGE, (model.reference, *snapshots), config)
    snapshot = store.need(DATASETS, encoder.dataset)
    batches = read_table(snapshot.folder / TABLE)["batch"].unique().to_list()
    inputs = (snapshot.reference, *input_references(store, batches))
    return Spec(ENCODERS, name, STAGE, inputs, config)


def write_encoder(store: ArtifactStore, work: Work) -> None:
    """Write what encodes: a reference to a model, or the mean and deviation of a dataset."""
    config = work.spec.config
    if config["kind"] == "experiment":
        model, meta = checkpoint_of(input_of(store, work.spec, TRAINED))
        facts = {"dimension": model.embedding_dim, "segment_frames": model.shape.frames}
        facts |= {"input": meta["input"]}
    else:
        snapshot = read_table(input_of(store, work.spec, DATASETS).folder / TABLE)
        reader = TrackInputs(inputs_of(store, work.spec, ingest.MEL))
        views = reader.tracks(snapshot["batch"].to_list(), snapshot["track_id"].to_list())
        vectors = np.stack([_mel_statistics(view) for view in views])
        spread = np.maximum(vectors.std(axis=0), 1e-3)  # dB; a dead band says nothing
        np.savez(work.folder / STATISTICS, mean=vectors.mean(axis=0), deviation=spread)
        facts = {"dimension": vectors.shape[1], "segment_frames": SEGMENT_FRAMES}
        facts |= {"input": reader.describe()}
    work.facts.update(facts, kind=config["kind"], title=config["title"])
    write_json(work.folder / DESCRIPTION, work.facts)


def _mel_statistics(spectrogram: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over time of each mel band: float32 `[2 * mel]`, dB."""
    wide = spectrogram.astype(np.float32)
    return np.concatenate([wide.mean(axis=0), wide.std(axis=0)])


def input_of_encoder(encoder: Artifact) -> InputSpec:
    """What an encoder is given of each track."""
    described = encoder.facts["input"]
    names = ("representation", "channels", "crop_s")
    return InputSpec.model_validate({name: described[name] for name in names})


def check_transform(encoder: Artifact, given: TrackInputs) -> None:
    """Refuse spectrograms of other settings than the encoder was frozen on.

    Raises:
        UserError: naming what differs.
    """
    frozen, now = encoder.facts["input"]["transform"], given.describe()["transform"]
    differences = [f"{k} {v}, not {now.get(k)}" for k, v in frozen.items() if now.get(k) != v]
    if differences:
        raise UserError(
            f"the encoder is frozen on other {given.how.representation}: {'; '.join(differences)}",
            where=str(encoder.reference),
            remedy="materialize its experiment again, then the encoder; or put back what "
            "specs/representations.toml said",
        )


def encode(
    store: ArtifactStore, encoder: Artifact, arrays: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vectors of tracks and of their segments.

    Args:
        store: where the encoder's model is kept.
        encoder: a committed encoder.
        arrays: per track, as its `input` says.

    Returns:
        float32 `[track, dim]`; float32 `[segment, dim]`; int64 `[track + 1]` offsets of the
        segments; int64 `[segment]` first frame of each.
    """
    from ml.inference import embed_tracks, segment_starts

    if encoder.record.spec.config["kind"] == "experiment":
        model, _ = checkpoint_of(input_of(store, encoder.record.spec, TRAINED))
        found = embed_tracks(model, arrays, device=device())
        return found.vectors, found.segment_vectors, found.segment_offsets, found.segment_starts
    with np.load(encoder.folder / STATISTICS) as statistics:
        mean, deviation = statistics["mean"], statistics["deviation"]
    length = encoder.facts["segment_frames"]
    starts = [segment_starts(len(view), crop_frames=length) for view in arrays]
    offsets = np.cumsum([0, *map(len, starts)], dtype=np.int64)
    pairs = zip(arrays, starts, strict=True)
    segments = [_mel_statistics(view[s : s + length]) for view, at in pairs for s in at]
    tracks = [_mel_statistics(view) for view in arrays]

    def standardise(vectors: list[np.ndarray]) -> np.ndarray:
        stacked = np.asarray(vectors, np.float32).reshape(-1, len(mean))
        return ((stacked - mean) / deviation).astype(np.float32)

    all_starts = np.concatenate([np.zeros(0, np.int64), *starts]).astype(np.int64)
    return standardise(tracks), standardise(segments), offsets, all_starts


@asset(
    partitions_def=encoder_names,
    deps=[
        AssetDep(TRAINED, partition_mapping=experiment_to_encoders),
        AssetDep(DATASETS, partition_mapping=dataset_to_encoders),
        AssetDep(ingest.MEL, partition_mapping=AllPartitionMapping()),
    ],
    group_name="embeddings",
    code_version=str(STAGE),
    kinds={"pytorch"},
)
def encoders(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult:
    """An encoder in service, frozen: name -> one version of a trained experiment, or statistics.

    New tracks are embedded with the frozen version until the encoder is materialized again, so
    vectors made at different times can be compared.
    """
    with plain_failures():
        store = home.store()
        spec = encoder_spec(store, context.partition_key)
    return materialize(context, store, spec, write_encoder, _show)


def _show(artifact: Artifact) -> Metadata:
    frozen = [str(reference) for reference in artifact.record.spec.inputs]
    names = ("title", "kind", "dimension", "segment_frames")
    return {**{n: artifact.facts[n] for n in names}, "frozen to": ", ".join(frozen)}
