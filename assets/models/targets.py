"""What a model learns of the tracks of a snapshot: one class each, or several tags."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from melgraph.storage.artifacts import Artifact


def has_tags(snapshot: Artifact) -> bool:
    """Whether the tracks of a snapshot of a dataset have several labels."""
    return bool(snapshot.record.spec.config.get("multi_label"))


def targets_of(table: pl.DataFrame, classes: Sequence[str], *, tags: bool) -> np.ndarray:
    """What the tracks of a table are to be answered: `tag_matrix`, or `label_numbers`."""
    return tag_matrix(table, classes) if tags else label_numbers(table, classes)


def label_numbers(table: pl.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """int64 `[track]`: the number of each track's class."""
    codes = table["label"].replace_strict(classes, range(len(classes)), return_dtype=pl.Int64)
    return codes.to_numpy()


def tag_matrix(table: pl.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """float32 `[track, class]`: 1 for each tag that a track has, else 0.

    Of tracks that are in a split: the others keep tags that are no class.
    """
    number = {name: i for i, name in enumerate(classes)}
    matrix = np.zeros((table.height, len(classes)), np.float32)
    for row, names in enumerate(table["labels"].to_list()):
        matrix[row, [number[name] for name in names]] = 1
    return matrix
