"""`encoders`: the short list in service, each frozen to one version of what it encodes with."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from dagster import AllPartitionMapping, AssetDep, AssetExecutionContext, MaterializeResult, asset

from melgraph.assets.dataset.datasets import DATASETS, TABLE
from melgraph.assets.embeddings.cost import told_cost
from melgraph.assets.embeddings.encoding import (
    CHECKPOINT,
    STATISTICS,
    mel_statistics,
    segment_frames,
)
from melgraph.assets.library import ingest
from melgraph.assets.library.inputs import TrackInputs, input_references
from melgraph.assets.materialize import Metadata, input_of, inputs_of, materialize, plain_failures
from melgraph.assets.models.trained_models import TRAINED, checkpoint_of, device, write_json
from melgraph.assets.partitions import (
    SPECS,
    dataset_to_encoders,
    encoder_names,
    experiment_to_encoders,
)
from melgraph.assets.resources import HomeResource
from melgraph.assets.settings import weights_folder
from melgraph.ml.specs.model_input import InputSpec
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.records import Spec
from melgraph.storage.tables import read_table

STAGE = 3
ENCODERS = "encoders"
DESCRIPTION = "encoder.json"
PROBE_S = 30.0  # of noise, on which an encoder is timed


def encoder_spec(store: ArtifactStore, name: str) -> Spec:
    """An encoder frozen to what is current now: a model, weights, or statistics of a dataset.

    Raises:
        UserError: published weights are not to be had, or are not what they should be.
    """
    encoder = SPECS.encoders[name]
    config = encoder.model_dump(mode="json", exclude={"by_default"})
    if encoder.kind == "experiment":
        assert encoder.experiment is not None
        model = store.need(TRAINED, encoder.experiment)
        snapshots = [r for r in model.record.spec.inputs if r.asset == DATASETS]
        return Spec(ENCODERS, name, STAGE, (model.reference, *snapshots), config)
    if encoder.kind == "tagger":
        return Spec(ENCODERS, name, STAGE, (), config | _weights_of(store, str(encoder.tagger)))
    snapshot = store.need(DATASETS, encoder.dataset)
    batches = read_table(snapshot.folder / TABLE)["batch"].unique().to_list()
    inputs = (snapshot.reference, *input_references(store, batches, _read_by(encoder.kind)))
    return Spec(ENCODERS, name, STAGE, inputs, config)


def representation_of(name: str) -> str:
    """The representation an encoder reads."""
    encoder = SPECS.encoders[name]
    if encoder.experiment is not None:
        return SPECS.experiments[encoder.experiment].input.representation
    return _read_by(encoder.kind)


def _read_by(kind: str) -> str:
    return {"tagger": ingest.WAVEFORMS, "audio_features": ingest.FEATURES}.get(kind, ingest.MEL)


def _weights_of(store: ArtifactStore, tagger: str) -> dict[str, Any]:
    from melgraph.ml.weights.files import published_file
    from melgraph.storage.files import file_sha256

    spec = SPECS.taggers[tagger]
    path = published_file(spec.weights, spec.file, spec.sha256, weights_folder(store.home))
    published = spec.model_dump(mode="json", exclude={"title"})
    return {"published": published | {"sha256": file_sha256(path)}}


def write_encoder(store: ArtifactStore, work: Work) -> None:
    """Write what encodes: a reference to a model, a checkpoint of published weights, or the mean
    and deviation of a dataset; and time it.
    """
    config = work.spec.config
    facts: dict[str, Any] = {"kind": config["kind"], "title": config["title"]}
    if config["kind"] == "experiment":
        model, meta = checkpoint_of(input_of(store, work.spec, TRAINED))
        facts |= _of_network(model, meta)
    elif config["kind"] == "tagger":
        model, meta = _write_tagger(store, work)
        facts |= _of_network(model, meta)
    else:
        model = None
        facts |= _write_statistics(store, work)
    if model is not None:
        facts |= _dimension_of(model, config)
    work.facts.update(facts)
    write_json(work.folder / DESCRIPTION, work.facts)
    if model is not None:
        work.run["seconds_per_audio_minute"] = f"{_timed(model, facts, config):.3f}"


def _of_network(model: Any, meta: dict[str, Any]) -> dict[str, Any]:
    names = {"classes": meta["classes"], "multi_label": model.multi_label}
    return {"segment_frames": model.shape.frames, "input": meta["input"], **names}


def _dimension_of(model: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """What a first crop becomes, which also refuses a layer that there is not."""
    from melgraph.ml.inference.tracks import embed_tracks

    shape = model.shape
    silence = np.zeros((shape.frames, shape.bins, shape.channels), np.float32)
    found = embed_tracks(
        model, [silence], layer=config["layer"], pooling=config["pooling"], device=device()
    )
    return {
        "dimension": found.vectors.shape[1],
        "layer": config["layer"],
        "pooling": config["pooling"],
    }


def _timed(model: Any, facts: dict[str, Any], config: Mapping[str, Any]) -> float:
    """Seconds of this machine for a minute of audio."""
    from melgraph.assets.embeddings.encoding import embed

    how = facts["input"]
    per_second = facts["segment_frames"] / how["crop_s"] if how["crop_s"] else 1.0
    frames = max(facts["segment_frames"], round(PROBE_S * per_second))
    shape = (frames, model.shape.bins, model.shape.channels)
    noise = np.random.default_rng(0).normal(0, 3000 if shape[1] == 1 else 10, shape)
    began = time.perf_counter()
    embed(model, [noise.astype(np.float32)], config, how["crop_s"])
    return (time.perf_counter() - began) * 60 * per_second / frames


def _write_tagger(store: ArtifactStore, work: Work) -> tuple[Any, dict[str, Any]]:
    """The weights as a checkpoint of ours: from here on the published file is not needed."""
    from melgraph.ml.inference.tagging import load_tagger
    from melgraph.ml.specs.encoder import TaggerSpec
    from melgraph.ml.weights import checkpoints

    config = work.spec.config
    asked = TaggerSpec.model_validate(config["published"] | {"title": config["title"]})
    model, meta = load_tagger(asked, weights_folder(store.home))
    checkpoints.save(work.folder / CHECKPOINT, model, meta)
    return model.to(device()), meta


def _write_statistics(store: ArtifactStore, work: Work) -> dict[str, Any]:
    snapshot = read_table(input_of(store, work.spec, DATASETS).folder / TABLE)
    kind = _read_by(work.spec.config["kind"])
    reader = TrackInputs(
        inputs_of(store, work.spec, kind), InputSpec.model_validate({"representation": kind})
    )
    views = reader.tracks(snapshot["batch"].to_list(), snapshot["track_id"].to_list())
    features = kind == ingest.FEATURES
    vectors = np.stack([view[0] if features else mel_statistics(view) for view in views])
    least = 1e-9 if features else 1e-3  # dB; a dead band says nothing
    spread = np.maximum(vectors.std(axis=0), least)
    np.savez(work.folder / STATISTICS, mean=vectors.mean(axis=0), deviation=spread)
    return {
        "dimension": vectors.shape[1],
        "segment_frames": segment_frames(kind),
        "input": reader.describe(),
    }


def in_service(store: ArtifactStore) -> list[str]:
    """The encoders that new tracks are embedded with: frozen, and on the list."""
    return [name for name in store.partitions(ENCODERS) if name in SPECS.in_service]


def check_transform(encoder: Artifact, given: TrackInputs) -> None:
    """Refuse spectrograms of other settings than the encoder was frozen on.

    Raises:
        UserError: naming what differs.
    """
    from melgraph.ml.errors import UserError

    frozen, now = encoder.facts["input"]["transform"], given.describe()["transform"]
    differences = [f"{k} {v}, not {now.get(k)}" for k, v in frozen.items() if now.get(k) != v]
    if differences:
        raise UserError(
            f"the encoder is frozen on other {given.how.representation}: {'; '.join(differences)}",
            where=str(encoder.reference),
            remedy="materialize its experiment again, then the encoder; or put back what "
            "specs/representations.toml said",
        )


@asset(
    partitions_def=encoder_names,
    deps=[
        AssetDep(TRAINED, partition_mapping=experiment_to_encoders),
        AssetDep(DATASETS, partition_mapping=dataset_to_encoders),
        AssetDep(ingest.MEL, partition_mapping=AllPartitionMapping()),
        AssetDep(ingest.FEATURES, partition_mapping=AllPartitionMapping()),
    ],
    group_name="embeddings",
    code_version=str(STAGE),
    kinds={"pytorch"},
)
def encoders(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult:
    """An encoder in service, frozen: name -> one version of what it encodes with.

    A trained experiment, a published tagger (its weights are kept here from then on), or statistics
    of a dataset. New tracks are embedded with the frozen version until the encoder is materialized
    again, so vectors made at different times can be compared. Which encoders are in service is one
    line of `specs/encoders.toml`; what the next one would cost is told here, before it is paid.
    """
    with plain_failures():
        store = home.store()
        spec = encoder_spec(store, context.partition_key)
    result = materialize(context, store, spec, write_encoder, _show)
    cost = told_cost(store, store.need(ENCODERS, context.partition_key))
    return result._replace(metadata={**(result.metadata or {}), "embedding the library": cost})


def _show(artifact: Artifact) -> Metadata:
    frozen = [str(reference) for reference in artifact.record.spec.inputs]
    names = ("title", "kind", "dimension", "segment_frames", "layer", "pooling")
    shown = {n: artifact.facts[n] for n in names if n in artifact.facts}
    return {**shown, "frozen to": ", ".join(frozen) or artifact.record.spec.config["tagger"]}
