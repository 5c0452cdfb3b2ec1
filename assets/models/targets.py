"""The targets that a model learns: one class per track, or several tags per track."""

from collections.abc import Sequence

import numpy as np
import polars as pl


def targets_of(table: pl.DataFrame, classes: Sequence[str], *, tags: bool) -> np.ndarray:
    """The targets of the tracks of a table: `tag_matrix` for tags, else `label_numbers`."""
    return tag_matrix(table, classes) if tags else label_numbers(table, classes)


def label_numbers(table: pl.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """int64 `[track]`: the number of each track's class."""
    codes = table["label"].replace_strict(classes, range(len(classes)), return_dtype=pl.Int64)
    return codes.to_numpy()


def tag_matrix(table: pl.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """float32 `[track, class]`: 1 for each tag that a track has, else 0.

    All tracks must be in a split. Tracks in no split may have tags that are no class.
    """
    number = {name: i for i, name in enumerate(classes)}
    matrix = np.zeros((table.height, len(classes)), np.float32)
    for row, names in enumerate(table["labels"].to_list()):
        matrix[row, [number[name] for name in names]] = 1
    return matrix
