"""Pictures of figures: matrices, curves, maps, histograms and bars."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from melgraph.ml.plots.style import (
    COLOURS,
    GREY,
    INK,
    LIGHT,
    MARKERS,
    WIDTH,
    add_axes,
    colour_bar,
    grid,
    new_figure,
    png,
)

_COUNT_MAP = "Blues"
_NAMED_GROUPS = 24  # of a map's groups so many get a place in the legend, the largest ones


def confusion_matrix(matrix: np.ndarray, classes: Sequence[str], title: str) -> bytes:
    """Counts of (true class, predicted class), shaded by share of the true class.

    Args:
        matrix: int `[true class, predicted class]`.
        classes: one name per class.
        title: of the picture.

    Raises:
        ValueError: where the matrix is not square or does not fit the names.
    """
    n = len(classes)
    if matrix.shape != (n, n):
        raise ValueError(f"a matrix of shape {matrix.shape} for {n} classes")
    totals = matrix.sum(axis=1, keepdims=True)
    share = np.divide(matrix, totals, out=np.zeros((n, n)), where=totals > 0)
    figure = new_figure(height=float(np.clip(1.6 + 0.42 * n, 3.6, WIDTH)))
    ax = add_axes(figure, title=title)
    # few classes fill the width, many are square
    image = ax.imshow(share, cmap=_COUNT_MAP, vmin=0, vmax=1, aspect="auto" if n <= 6 else "equal")
    size = max(4.0, min(9.0, 110 / n))
    if n <= 25:  # beyond that the numbers would only be dust
        for row, column in np.ndindex(n, n):
            if matrix[row, column]:
                colour = "white" if share[row, column] > 0.55 else INK
                text = f"{matrix[row, column]:,}"
                ax.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)
    if n > 6 or max(map(len, classes)) > 12:
        ax.set_xticks(range(n), classes, rotation=45, ha="right", rotation_mode="anchor")
    else:
        ax.set_xticks(range(n), classes)
    ax.set_yticks(range(n), classes)
    ax.tick_params(labelsize=max(4.5, min(9.0, 180 / n)), length=0)
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    ax.spines[["left", "bottom"]].set_visible(False)
    colour_bar(figure, image, ax, "share of the true class")
    return png(figure)


def training_curves(curves: Sequence[Mapping[str, float | int | bool | None]]) -> bytes:
    """Training and validation loss, and validation accuracy, by epoch; the best epoch is marked.

    Of tags, both areas under the curve are in place of the accuracy.

    Args:
        curves: one entry per epoch, as `ml.training.train.TrainingResult.curves`: `epoch`,
            `train_loss`, `validation_loss` and `validation_accuracy` (None without validation),
            `is_best` (true whenever an epoch was the best so far); of tags, `validation_pr_auc` and
            `validation_roc_auc` in place of the accuracy.

    Raises:
        ValueError: where there is no epoch.
    """
    if not curves:
        raise ValueError("no epoch to draw")
    epochs = _column(curves, "epoch")
    best = next((entry["epoch"] for entry in reversed(curves) if entry.get("is_best")), None)
    validated = any(entry.get("validation_loss") is not None for entry in curves)
    figure = new_figure(height=2.9)
    left = add_axes(figure, title="Loss", place=(1, 2 if validated else 1, 1))
    panels = [left]
    lines = [("train_loss", "training", COLOURS[0], "-")]
    if validated:
        lines.append(("validation_loss", "validation", COLOURS[1], "--"))
        tags = "validation_pr_auc" in curves[0]
        title = "Validation, mean over tags" if tags else "Validation accuracy"
        right = add_axes(figure, title=title, place=(1, 2, 2))
        if tags:
            for name, colour in (("ROC-AUC", COLOURS[2]), ("PR-AUC", COLOURS[1])):
                area = _column(curves, f"validation_{name.lower().replace('-', '_')}")
                right.plot(epochs, area, color=colour, marker=".", label=name)
        else:
            accuracy = _column(curves, "validation_accuracy")
            right.plot(epochs, accuracy, color=COLOURS[1], marker=".")
        right.set_ylim(0, 1)
        panels.append(right)
    for key, name, colour, style in lines:
        left.plot(epochs, _column(curves, key), color=colour, ls=style, marker=".", label=name)
    left.set_ylim(bottom=0)
    for ax in panels:
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        grid(ax, "both")
        if best is not None:
            ax.axvline(float(best), color=GREY, lw=1, ls=":", label=f"best: epoch {best}")
    left.legend(fontsize=8, frameon=False)
    if validated and tags:
        right.legend(fontsize=8, frameon=False)
    return png(figure)


def scatter_map(points: np.ndarray, labels: Sequence[str | None], title: str) -> bytes:
    """Points on a plane, a colour and a marker per label; those without one are grey and behind.

    The largest labels are named in the legend, the rest are drawn as one group, "other".

    Args:
        points: float `[point, 2]`; the axes of such maps mean nothing, so they carry no numbers.
        labels: one per point, or None.
        title: of the picture.

    Raises:
        ValueError: where there are not as many labels as points.
    """
    if points.shape != (len(labels), 2):
        raise ValueError(f"points of shape {points.shape} for {len(labels)} labels")
    counts = Counter(label for label in labels if label is not None)
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    named, rest = sorted(ranked[:_NAMED_GROUPS]), ranked[_NAMED_GROUPS:]
    figure = new_figure(height=4.9)
    ax = add_axes(figure, title=title)
    size = float(np.clip(12000 / max(len(points), 1), 9, 34))
    of_label = np.array([name if name is not None else "" for name in labels], dtype=object)
    absent = np.array([name is None for name in labels], dtype=bool)
    other = np.isin(of_label, rest) & ~absent if rest else np.zeros(len(labels), dtype=bool)
    for mask, name, colour in ((absent, "no label", "#c4c4c4"), (other, "other", "#8f8f8f")):
        if mask.any():
            text = f"{name} ({int(mask.sum()):,})"
            x, y = points[mask].T
            ax.scatter(x, y, s=0.7 * size, color=colour, lw=0, label=text)
    for index, name in enumerate(named):
        x, y = points[(of_label == name) & ~absent].T
        ax.scatter(
            x,
            y,
            s=size,
            color=COLOURS[index % len(COLOURS)],
            marker=MARKERS[index % len(MARKERS)],
            edgecolors="white",
            linewidths=0.4,
            alpha=0.9,
            label=f"{name} ({counts[name]:,})",
        )
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[["left", "bottom"]].set_color(LIGHT)
    if len(labels):
        figure.legend(loc="outside right upper", fontsize=8, frameon=False, markerscale=1.3)
    return png(figure)


def histogram(values: np.ndarray, xlabel: str, title: str) -> bytes:
    """How values are spread; values that are not finite are left out, and their number is told."""
    values = np.asarray(values, dtype=np.float64).ravel()
    finite = values[np.isfinite(values)]
    left_out = len(values) - len(finite)
    figure = new_figure(height=2.9)
    ax = add_axes(figure, title=title)
    if len(finite):
        bins = int(np.clip(np.sqrt(len(finite)) * 1.5, 8, 60))
        ax.hist(finite, bins=bins, color=COLOURS[0], edgecolor="white", linewidth=0.5)
        median = float(np.median(finite))
        ax.axvline(median, color=COLOURS[1], lw=1.2, ls="--", label=f"median {median:,.4g}")
        ax.legend(fontsize=8, frameon=False)
    ax.set_xlabel(xlabel + (f" ({left_out:,} without a value)" if left_out else ""))
    ax.set_ylabel("count")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    grid(ax, "y")
    return png(figure)


def bars(
    names: Sequence[str],
    values: Sequence[float],
    intervals: Sequence[tuple[float, float] | None] | None = None,
    *,
    title: str = "",
    xlabel: str = "",
) -> bytes:
    """Horizontal bars from top to bottom, with their intervals as whiskers.

    Args:
        names: one per bar.
        values: one per bar.
        intervals: (low, high) ends per bar, in units of the values, or None for a bar without.
        title: of the picture.
        xlabel: of the values.

    Raises:
        ValueError: where the lengths differ.
    """
    given = [None] * len(names) if intervals is None else list(intervals)
    if not len(names) == len(values) == len(given):
        raise ValueError(f"{len(names)} names, {len(values)} values, {len(given)} intervals")
    figure = new_figure(height=1.1 + 0.32 * max(len(names), 1))
    ax = add_axes(figure, title=title)
    rows = np.arange(len(names))
    ax.barh(rows, values, color=COLOURS[0], height=0.62)
    for row, value, interval in zip(rows, values, given, strict=True):
        end = max(value, 0.0)
        if interval is not None:
            ax.plot(interval, [row, row], color=INK, lw=1.3, marker="|", ms=7)
            end = max(end, interval[1])
        ax.annotate(
            f"{value:.3g}",
            (end, row),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=INK,
        )
    ax.set_yticks(rows, names)
    ax.invert_yaxis()
    ax.margins(x=0.1)
    ax.set_xlabel(xlabel)
    ax.tick_params(axis="y", length=0)
    grid(ax, "x")
    return png(figure)


def _column(curves: Sequence[Mapping], key: str) -> list[float]:
    """One column of the curves; epochs without a value are gaps."""
    return [float("nan") if entry.get(key) is None else float(entry[key]) for entry in curves]
