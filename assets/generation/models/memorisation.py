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


class TrainingCrops:
    """The crops of the recordings that a rectified flow learned from.

    Args:
        model: the rectified flow.
        network: its network, for the statistics of the bins.
    """

    def __init__(self, model: GenerativeModel, network: Any) -> None:
        described = spec_of(model.spec)
        stage = REPRESENTATIONS[described.input.representation]
        inputs = TrackInputs(inputs_of(model.store, model.spec, stage), described.input)
        learned = model.recordings.filter(pl.col("part") == LEARNED)
        self._arrays = inputs.tracks(learned["batch"].to_list(), learned["track_id"].to_list())
        self._paths = learned["path"].to_list()
        self._mean, self._deviation = (
            values.detach().cpu().numpy().reshape(-1) for values in (network.mean, network.std)
        )
        self.frames = network.shape.frames

    def nearest(self, crops: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """The distance to the nearest training crop, and the path of its recording, of each crop.

        Args:
            crops: float `[crop, frame, bin]`, dB, of the length that the network learned.

        Returns:
            float32 `[crop]` in standard deviations of a bin, and the paths.
        """
        from melgraph.ml.generative.flow.memorisation import nearest_crops

        nearest = nearest_crops(crops, self._arrays, self._mean, self._deviation)
        return nearest.distances, [self._paths[track] for track in nearest.tracks]

    def nearest_of_sound(self, values: np.ndarray) -> tuple[float, str]:
        """The smallest distance of any crop of a longer spectrogram, and the path of the recording.

        Args:
            values: float `[frame, bin]`, dB. Its crops overlap by half.
        """
        step = max(1, self.frames // 2)
        starts = range(0, max(1, len(values) - self.frames + 1), step)
        crops = [
            np.resize(values[s : s + self.frames], (self.frames, values.shape[1])) for s in starts
        ]
        distances, paths = self.nearest(np.stack(crops))
        closest = int(distances.argmin())
        return float(distances[closest]), paths[closest]


def memorisation(
    store: ArtifactStore, work: Work, model: GenerativeModel, held_out: pl.DataFrame
) -> tuple[dict[str, Any], list[str]]:
    """The distance of samples to their nearest training crop, beside that of held-out crops.

    Returns:
        Facts, and sentences for people.
    """
    from melgraph.ml.generative.flow.memorisation import evenly_spaced_crops, summarise
    from melgraph.ml.generative.flow.sampling import compose

    of_genres = held_out.filter(pl.col("label").is_in(model.genres)).sort("track_id")
    if of_genres.is_empty():
        sentence = (
            "Memorisation was not measured: no recording of these genres is held out, so there is "
            "nothing to compare with. Raise `test` of the dataset."
        )
        return {}, [sentence]
    described = spec_of(model.spec)
    stage = REPRESENTATIONS[described.input.representation]
    inputs = TrackInputs(inputs_of(store, work.spec, stage), described.input)
    network, _ = model.load(described.kind)
    training = TrainingCrops(model, network)
    samples = [
        compose(network, genre, described.frames, steps=STEPS, guidance=GUIDANCE, seed=seed)
        for genre in model.genres
        for seed in range(SAMPLES_PER_GENRE)
    ]
    distances, paths = training.nearest(np.stack(samples))
    others = inputs.tracks(of_genres["batch"].to_list(), of_genres["track_id"].to_list())
    crops = evenly_spaced_crops(others, frames=described.frames, per_track=CROPS_PER_RECORDING)
    summary = summarise(distances, training.nearest(crops)[0])
    closest = int(distances.argmin())
    facts = asdict(summary) | {
        "samples": len(samples),
        "held_out_crops": len(crops),
        "distances": [round(float(one), 3) for one in distances],
        "closest": {
            "genre": model.genres[closest // SAMPLES_PER_GENRE],
            "distance": round(float(distances[closest]), 3),
            "path": paths[closest],
        },
    }
    sentence = (
        f"Memorisation, for {len(samples)} new samples of {described.frames} frames: "
        f"{summary.sentence} If nothing was copied, about 5 % are expected to be nearer."
    )
    return {"memorisation": _rounded(facts)}, [sentence]


def _rounded(facts: dict[str, Any]) -> dict[str, Any]:
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in facts.items()}
