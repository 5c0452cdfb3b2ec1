"""What a rectified flow may have memorised: its samples beside the recordings it learned from."""

from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl

from melgraph.assets.generation.models.generative_model import LEARNED, GenerativeModel
from melgraph.assets.generation.models.generative_models import spec_of
from melgraph.assets.library.inputs import TrackInputs
from melgraph.assets.materialize import inputs_of
from melgraph.assets.stages import REPRESENTATIONS
from melgraph.storage.artifacts import ArtifactStore, Work

SAMPLES_PER_GENRE = 6
STEPS, GUIDANCE = 24, 2.0
CROPS_PER_RECORDING = 2  # held-out


def memorisation(
    store: ArtifactStore, work: Work, model: GenerativeModel, held_out: pl.DataFrame
) -> tuple[dict[str, Any], list[str]]:
    """The distance of new samples to their nearest training crop, beside that of held-out crops.

    Returns:
        Facts, and sentences for people.
    """
    from melgraph.ml.generative.flow.memorisation import (
        evenly_spaced_crops,
        nearest_crops,
        summarise,
    )
    from melgraph.ml.generative.flow.sampling import compose

    described = spec_of(model.spec)
    stage = REPRESENTATIONS[described.input.representation]
    inputs = TrackInputs(inputs_of(store, work.spec, stage), described.input)
    network, _ = model.load(described.kind)
    samples = np.stack(
        [
            compose(network, genre, described.frames, steps=STEPS, guidance=GUIDANCE, seed=seed)
            for genre in model.genres
            for seed in range(SAMPLES_PER_GENRE)
        ]
    )
    learned = model.recordings.filter(pl.col("part") == LEARNED)
    of_genres = held_out.filter(pl.col("label").is_in(model.genres)).sort("track_id")
    training = inputs.tracks(learned["batch"].to_list(), learned["track_id"].to_list())
    others = inputs.tracks(of_genres["batch"].to_list(), of_genres["track_id"].to_list())
    mean, deviation = (
        values.detach().cpu().numpy().reshape(-1) for values in (network.mean, network.std)
    )
    nearest = nearest_crops(samples, training, mean, deviation)
    crops = evenly_spaced_crops(others, frames=described.frames, per_track=CROPS_PER_RECORDING)
    summary = summarise(
        nearest.distances, nearest_crops(crops, training, mean, deviation).distances
    )
    paths = learned["path"].to_list()
    closest = int(nearest.distances.argmin())
    facts = asdict(summary) | {
        "samples": len(samples),
        "held_out_crops": len(crops),
        "closest": {
            "genre": model.genres[closest // SAMPLES_PER_GENRE],
            "distance": round(float(nearest.distances[closest]), 3),
            "path": paths[int(nearest.tracks[closest])],
            "frame": int(nearest.starts[closest]),
        },
    }
    return {"memorisation": _rounded(facts)}, [f"Memorisation: {summary.sentence}"]


def _rounded(facts: dict[str, Any]) -> dict[str, Any]:
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in facts.items()}
