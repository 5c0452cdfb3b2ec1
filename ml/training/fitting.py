"""From a recipe to a trained model: one training, or two where the hardest tracks are left out."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from melgraph.ml.inference.track_set import TrackSet
from melgraph.ml.models.base import Classifier
from melgraph.ml.specs.training import TrainingConfig
from melgraph.ml.training.checks import one_label_only
from melgraph.ml.training.distributed import train_in_parallel
from melgraph.ml.training.dynamics import at_random, easiest, hardness
from melgraph.ml.training.train import EpochReport, TrainingResult, train


def fit(
    build: Callable[[], Classifier],
    training: TrackSet,
    validation: TrackSet | None,
    *,
    config: TrainingConfig,
    seed: int,
    device: str = "cpu",
    progress: Callable[[EpochReport], None] | None = None,
    state: Path | None = None,
    processes: int = 1,
) -> tuple[Classifier, TrainingResult]:
    """A fresh model, trained by a recipe.

    Where the recipe drops a share of the tracks, a first training on all of them shows which are
    hard, and a second one, of a fresh model, learns without these. Validation tracks all stay.

    Args:
        build: a model with initial weights.
        training: tracks to learn from.
        validation: tracks that choose the epoch; None for none.
        config: the recipe.
        seed: of crops, order, augmentation and of what is dropped at random.
        device: torch device.
        progress: called after each epoch of the training that counts.
        state: a folder in which a killed training is taken up again.
        processes: more than one trains on so many devices, see `ml.training.distributed`; progress
            is then not reported.

    Raises:
        UserError: as `ml.training.train.train`; or tracks with tags are to be dropped.
    """

    def trained(tracks: TrackSet, name: str, report: Callable | None) -> tuple:
        folder = None if state is None else state / name
        if processes > 1:
            return train_in_parallel(
                build,
                tracks,
                validation,
                config=config,
                seed=seed,
                processes=processes,
                device=device,
                state=folder,
            )
        model = build()
        result = train(
            model,
            tracks,
            validation,
            config=config,
            seed=seed,
            device=device,
            progress=report,
            state=folder,
        )
        return model, result

    if config.drop == 0:
        return trained(training, "all", progress)
    one_label_only(
        training,
        "to leave out the hardest tracks of each class",
        where="training.drop",
        remedy="set drop = 0, or use a dataset of one label a track",
    )
    notes, seconds, peak = [], 0.0, 0
    if config.drop_by == "random":
        scores = at_random(len(training), seed)
    else:
        _, first = trained(training, "first", None)
        scores = hardness(first.dynamics, config.drop_by)
        notes, seconds, peak = first.notes, first.seconds, first.peak_memory_bytes
    kept = easiest(scores, training.labels, drop=config.drop)
    model, result = trained(training.take(kept), "kept", progress)
    return model, replace(
        result,
        notes=[*notes, *result.notes, f"learned from {len(kept)} of {len(training)} tracks"],
        seconds=seconds + result.seconds,
        peak_memory_bytes=max(peak, result.peak_memory_bytes),
    )
