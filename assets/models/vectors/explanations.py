"""What speaks for each class of a probe: computed for the facts of a record, and shown as rows."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl

from melgraph.assets.models.vectors.model_inputs import VectorInputs


def explain_probe(
    model: Any, inputs: VectorInputs, table: pl.DataFrame, classes: Sequence[str]
) -> list[dict[str, Any]]:
    """One mapping per class: `ml.evaluation.explanations.ClassExplanation`, ready for JSON.

    Args:
        model: the fitted probe.
        inputs: of the probe.
        table: the tracks over which tags and classes are correlated.
        classes: names of the classes.
    """
    from melgraph.ml.evaluation.explanations import explain_classes

    tracks = inputs.vectors(table["batch"].to_list(), table["track_id"].to_list())
    vectors = np.stack([track.vector for track in tracks]).astype(np.float64)
    mean, std = model.mean.cpu().numpy()[0], model.std.cpu().numpy()[0]
    explanations = explain_classes(
        model.head.weight.detach().cpu().double().numpy(),
        (vectors - mean) / std,
        np.stack([track.tags for track in tracks]),
        classes=classes,
        dimension_names=inputs.extractor.names,
        tag_names=inputs.extractor.tag_names,
    )
    return [asdict(each) for each in explanations]


def explanation_rows(facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row per class for people; empty for a model that is no probe."""
    return [
        {
            "class": row["name"],
            "tags that go with it (correlation)": _list(row["tags"], "{} {:.2f}"),
            "dimensions with the largest weights": _list(row["dimensions"], "{} {:+.3f}"),
            "share of each source": ", ".join(
                f"{source} {share:.0%}" for source, share in row["shares"].items()
            ),
        }
        for row in facts.get("explanation", [])
    ]


def _list(pairs: Sequence[Sequence[Any]], form: str) -> str:
    return ", ".join(form.format(*pair) for pair in pairs) or "-"
