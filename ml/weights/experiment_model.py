"""The untrained network of an experiment: the only place that reads `model` and `aggregate`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from melgraph.ml.models import Classifier, InputShape, build
from melgraph.ml.weights.initial import load_weights


def build_model(
    recipe: Mapping[str, Any],
    shape: InputShape,
    *,
    n_classes: int,
    seed: int,
    weights: Path | None,
) -> Classifier:
    """A fresh network of an experiment, with its initial weights, on the CPU.

    Args:
        recipe: the experiment, or the recipe of a trial: `model` and `aggregate` are used.
        shape: of the crops it is given.
        n_classes: classes of the dataset.
        seed: seed of the random initial weights.
        weights: the file or checkpoint folder from which all weights but those of the head are
            loaded; None if all weights are random.

    Raises:
        UserError: unknown architecture or option, a shape that it cannot take, or weights that do
            not fit.
    """
    settings = recipe["model"]
    model = build(
        settings["architecture"], shape, n_classes=n_classes, seed=seed, **settings["options"]
    )
    model.aggregate = recipe["aggregate"]
    if weights is not None:
        load_weights(model, weights)
    return model
