"""From a recipe to a trained model: one training, or two where the hardest tracks are left out."""

from collections.abc import Callable
from dataclasses import replace

from melgraph.ml.models.base import Classifier
from melgraph.ml.models.probe import Probe
from melgraph.ml.training.distributed import train_in_parallel
from melgraph.ml.training.dynamics import at_random, easiest, hardness
from melgraph.ml.training.logistic_regression import fit_probe
from melgraph.ml.training.loop import EpochReport
from melgraph.ml.training.setup import TrainingSetup, check_one_label
from melgraph.ml.training.train import TrainingResult, train


def fit(
    build: Callable[[], Classifier],
    setup: TrainingSetup,
    *,
    progress: Callable[[EpochReport], None] | None = None,
) -> tuple[Classifier, TrainingResult]:
    """A fresh model, trained by a recipe.

    Where the recipe drops a share of the tracks, a first training on all of them shows which are
    hard, and a second one, of a fresh model, learns without these. Validation tracks all stay.

    Args:
        build: a model with initial weights.
        setup: the tracks, the recipe and where it runs.
        progress: called after each epoch of the training that counts; not by several processes.

    Raises:
        UserError: as `ml.training.train.train`; or the recipe drops tracks, and these have tags.
    """
    config, training = setup.config, setup.training
    if config.drop == 0:
        return _train_fresh(build, setup, "all", progress)
    check_one_label(
        training,
        "to leave out the hardest tracks of each class",
        where="training.drop",
        remedy="set drop = 0, or use a dataset of one label a track",
    )
    notes, seconds, peak = [], 0.0, 0
    if config.drop_by == "random":
        scores = at_random(len(training), setup.seed)
    else:
        _, first = _train_fresh(build, setup, "first", None)
        scores = hardness(first.dynamics, config.drop_by)
        notes, seconds, peak = first.notes, first.seconds, first.peak_memory_bytes
    rows = easiest(scores, training.labels, drop=config.drop)
    easier = replace(setup, training=training.take(rows))
    model, result = _train_fresh(build, easier, "kept", progress)
    return model, replace(
        result,
        notes=[*notes, *result.notes, f"learned from {len(rows)} of {len(training)} tracks"],
        seconds=seconds + result.seconds,
        peak_memory_bytes=max(peak, result.peak_memory_bytes),
    )


def _train_fresh(
    build: Callable[[], Classifier],
    setup: TrainingSetup,
    name: str,
    progress: Callable[[EpochReport], None] | None,
) -> tuple[Classifier, TrainingResult]:
    """One training of a fresh model; its state is saved in the folder `name` of the setup's."""
    setup = replace(setup, state=None if setup.state is None else setup.state / name)
    model = build()
    if isinstance(model, Probe):
        return model, fit_probe(model, setup, progress=progress)
    if setup.processes > 1:
        return train_in_parallel(build, setup)
    return model, train(model, setup, progress=progress)
