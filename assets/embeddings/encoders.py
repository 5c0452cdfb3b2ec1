"""`encoders`: what computes embeddings, frozen to one version of a model, weights or statistics."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from dagster import AssetExecutionContext, MaterializeResult

from melgraph.assets.context import Context
from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.embeddings.cost import cost_sentence
from melgraph.assets.embeddings.encoder import CHECKPOINT, DESCRIPTION, STATISTICS, Encoder
from melgraph.assets.embeddings.encoding import embed, segment_frames
from melgraph.assets.embeddings.fusion import plan_fusion, show_parts, write_fusion
from melgraph.assets.library.inputs import TrackInputs, input_references
from melgraph.assets.materialize import (
    inputs_of,
    materialize,
    stage_asset,
    with_metadata,
)
from melgraph.assets.models.trained_model import TrainedModel, device
from melgraph.assets.models.vectors.published_weights import (
    load_published,
    published_weights,
    weight_licences,
)
from melgraph.assets.partitions import partition_of
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import Metadata, Stage
from melgraph.assets.stages import (
    AUDIO_FEATURES,
    DATASETS,
    EMBEDDINGS,
    ENCODERS,
    MEL_SPECTROGRAMS,
)
from melgraph.ml.errors import UserError
from melgraph.ml.features.mel_statistics import mel_statistics
from melgraph.ml.specs import Specs
from melgraph.ml.specs.encoder import FUSION
from melgraph.ml.specs.model_input import InputSpec
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.files import write_json
from melgraph.storage.records import Spec

PROBE_S = 30.0  # seconds of noise, with which the speed of an encoder is measured


def plan_encoder(context: Context, name: str) -> Spec:
    """An encoder frozen to the current version of a model, of published weights or of a dataset.

    Raises:
        UserError: published weights are missing, or their SHA-256 is not the expected one; or the
            embeddings of a part of a fusion are of an older version of this part.
    """
    store, encoder = context.store, context.specs.encoders[name]
    if encoder.kind == FUSION:
        return plan_fusion(context, name)
    config = encoder.dump_for_version(mode="json", exclude={"by_default"})
    if encoder.kind == "experiment":
        assert encoder.experiment is not None
        model = TrainedModel.current(store, encoder.experiment)
        snapshots = filter(DATASETS.owns, model.spec.inputs)
        return ENCODERS.spec(name, (model.reference, *snapshots), config)
    if encoder.kind == "tagger":
        published = published_weights(context, str(encoder.tagger))
        return ENCODERS.spec(name, (), config | {"published": published})
    snapshot = Snapshot.current(store, encoder.dataset)
    batches = snapshot.table()["batch"].unique().to_list()
    inputs = input_references(store, batches, _representation_stage(encoder.kind).name)
    return ENCODERS.spec(name, (snapshot.reference, *inputs), config)


def encoder_representations(specs: Specs, name: str) -> set[str]:
    """The representations that the vectors of an encoder are computed from."""
    encoder = specs.encoders[name]
    if encoder.kind == FUSION:
        return {r for part in encoder.parts for r in encoder_representations(specs, part)}
    if encoder.tagger is not None:
        return {specs.taggers[encoder.tagger].representation}
    if encoder.experiment is not None:
        return {specs.experiments[encoder.experiment].input.representation}
    return {_representation_stage(encoder.kind).name}


def _representation_stage(kind: str) -> Stage:
    return AUDIO_FEATURES if kind == "audio_features" else MEL_SPECTROGRAMS


def write_encoder(store: ArtifactStore, work: Work) -> None:
    """Write the description of an encoder and measure its speed.

    A published tagger is also written as a checkpoint, and statistics of a dataset as `.npz`. A
    trained experiment and the parts of a fusion stay where they are: the encoder refers to them.
    """
    config = work.spec.config
    work.licences += weight_licences(config)
    facts: dict[str, Any] = {"kind": config["kind"], "title": config["title"]}
    if config["kind"] == "experiment":
        model, meta = TrainedModel.input_of(store, work.spec).load()
        facts |= _network_facts(model, meta)
    elif config["kind"] == "tagger":
        model, meta = _write_tagger(store, work)
        facts |= _network_facts(model, meta)
    else:
        model, write = None, write_fusion if config["kind"] == FUSION else _write_statistics
        facts |= write(store, work)
    if model is not None:
        facts |= _vector_facts(model, config)
    work.facts.update(facts)
    write_json(work.folder / DESCRIPTION, work.facts)
    if model is not None:
        seconds = _seconds_per_audio_minute(model, facts, config)
        work.run["seconds_per_audio_minute"] = f"{seconds:.3f}"


def _network_facts(model: Any, meta: dict[str, Any]) -> dict[str, Any]:
    """The segment length, the input and the outputs of a network."""
    return {
        "segment_frames": model.shape.frames,
        "input": meta["input"],
        "classes": meta["classes"],
        "multi_label": model.multi_label,
    }


def _vector_facts(model: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """Layer, pooling and length of a vector, by embedding one crop of silence.

    Raises:
        UserError: the network has no layer of this name.
    """
    from melgraph.ml.inference.tracks import embed_tracks

    shape = model.shape
    silence = np.zeros((shape.frames, shape.bins, shape.channels), np.float32)
    embedded = embed_tracks(
        model, [silence], layer=config["layer"], pooling=config["pooling"], device=device()
    )
    return {
        "dimension": embedded.vectors.shape[1],
        "layer": config["layer"],
        "pooling": config["pooling"],
    }


def _seconds_per_audio_minute(
    model: Any, facts: dict[str, Any], config: Mapping[str, Any]
) -> float:
    """Seconds that this machine needs to embed a minute of audio."""
    crop_s = facts["input"]["crop_s"]
    per_second = facts["segment_frames"] / crop_s if crop_s else 1.0
    frames = max(facts["segment_frames"], round(PROBE_S * per_second))
    shape = (frames, model.shape.bins, model.shape.channels)
    noise = np.random.default_rng(0).normal(0, 3000 if shape[1] == 1 else 10, shape)
    started_at = time.perf_counter()
    embed(model, [noise.astype(np.float32)], config, crop_s)
    return (time.perf_counter() - started_at) * 60 * per_second / frames


def _write_tagger(store: ArtifactStore, work: Work) -> tuple[Any, dict[str, Any]]:
    """Write published weights as a checkpoint; the published file is not needed afterwards."""
    from melgraph.ml.weights import checkpoints

    config = work.spec.config
    model, meta = load_published(store.home, config["published"], config["title"])
    checkpoints.save(work.folder / CHECKPOINT, model, meta)
    return model.to(device()), meta


def _write_statistics(store: ArtifactStore, work: Work) -> dict[str, Any]:
    """Write the mean and the standard deviation of a representation over a dataset."""
    tracks = Snapshot.input_of(store, work.spec).table()
    stage = _representation_stage(work.spec.config["kind"])
    input_spec = InputSpec.model_validate({"representation": stage.name})
    inputs = TrackInputs(inputs_of(store, work.spec, stage), input_spec)
    views = inputs.tracks(tracks["batch"].to_list(), tracks["track_id"].to_list())
    features = stage is AUDIO_FEATURES
    vectors = np.stack([view[0] if features else mel_statistics(view) for view in views])
    least = 1e-9 if features else 1e-3  # dB; a constant band would be divided by zero
    spread = np.maximum(vectors.std(axis=0), least)
    np.savez(work.folder / STATISTICS, mean=vectors.mean(axis=0), deviation=spread)
    return {
        "dimension": vectors.shape[1],
        "segment_frames": segment_frames(stage.name),
        "input": inputs.describe(),
    }


def in_service(context: Context) -> list[str]:
    """The encoders that embed new tracks: those of `in_service` in the TOML that are frozen."""
    frozen = context.store.partitions(ENCODERS.name)
    return [name for name in frozen if name in context.specs.in_service]


def check_transform(encoder: Encoder, inputs: TrackInputs) -> None:
    """Refuse a representation that was computed with other settings than the encoder expects.

    Raises:
        UserError: the settings differ; the message lists the differences.
    """
    frozen, now = encoder.transform, inputs.describe()["transform"]
    differences = [
        f"{name} was {value} and is now {now.get(name)}"
        for name, value in frozen.items()
        if now.get(name) != value
    ]
    if differences:
        raise UserError(
            f"the settings of {inputs.how.representation} changed after the encoder was frozen: "
            f"{'; '.join(differences)}",
            where=str(encoder.reference),
            remedy="materialize its experiment again and then the encoder, or restore the settings "
            "in specs/representations.toml",
        )


@stage_asset(ENCODERS)
def encoders(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult[None]:
    """An encoder: a name that is frozen to one version of what computes the embeddings.

    This is a trained experiment, a published tagger (its weights are copied into `checkpoint/`), or
    the mean and standard deviation of a dataset (`statistics.npz`). `encoder.json` describes it.
    A fusion joins the vectors of other encoders, its parts. It is frozen to their versions, and to
    the mean and standard deviation of their embeddings of a dataset. Embed the dataset with the
    parts first: Dagster cannot draw edges from an asset to itself, nor from `embeddings` back to
    `encoders`. The metadata `made from` list these inputs.
    New tracks are embedded with the frozen version until the encoder is materialized again, so
    vectors computed at different times can be compared. A line of `specs/encoders.toml` lists the
    encoders in service. The metadata shows the cost of embedding the library before that work
    starts.
    """
    result = materialize(context, home, ENCODERS)
    encoder = Encoder.current(home.store(), partition_of(context))
    return with_metadata(result, {"embedding the library": cost_sentence(encoder)})


def show(artifact: Artifact) -> Metadata:
    """The settings of the encoder, and the versions that it is frozen to."""
    # Many embeddings are inputs of a fusion, and `made from` counts them.
    references = [r for r in artifact.record.spec.inputs if not EMBEDDINGS.owns(r)]
    versions = [str(reference) for reference in references]
    names = ("title", "kind", "dimension", "segment_frames", "layer", "pooling")
    settings = {n: artifact.facts[n] for n in names if n in artifact.facts}
    settings |= show_parts(artifact.facts)
    return {**settings, "frozen to": ", ".join(versions) or artifact.record.spec.config["tagger"]}
