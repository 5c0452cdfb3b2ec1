"""Charts of numbers: confusion matrices, training curves, maps, histograms and bars."""

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
_NAMED_GROUPS = 24  # largest number of groups in the legend of a map


def confusion_matrix(matrix: np.ndarray, classes: Sequence[str], title: str) -> bytes:
    """Counts of (true class, predicted class), shaded by share of the true class.

    >>> confusion_matrix(np.array([[3, 1], [0, 4]]), ["blues", "jazz"], "test tracks")[:4]
    b'\\x89PNG'

    Args:
        matrix: int `[true class, predicted class]`.
        classes: one name per class.
        title: of the chart.

    Raises:
        ValueError: the matrix is not square, or does not fit the names.
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
    if n <= 25:  # with more classes, the numbers would be too small to read
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
    """Training and validation loss and validation accuracy by epoch, with a mark at the best epoch.

    For tags, ROC-AUC and PR-AUC replace the accuracy.

    >>> training_curves([{"epoch": 1, "train_loss": 2.0}, {"epoch": 2, "train_loss": 1.5}])[:4]
    b'\\x89PNG'

    Args:
        curves: one entry for each epoch, as `ml.training.train.TrainingResult.curves`: `epoch`,
            `train_loss`, `validation_loss` and `validation_accuracy` (None without validation), and
            `is_best` (true if the epoch was the best so far). For tags, `validation_pr_auc` and
            `validation_roc_auc` replace the accuracy.

    Raises:
        ValueError: there is no epoch.
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
    """Points in a plane, with a colour and a marker for each label.

    Points without a label are grey and in the background. The legend has the labels with most
    points; the other labels are drawn as one group, "other".

    Args:
        points: float `[point, 2]`. The axes of such maps have no meaning and no numbers.
        labels: the label of each point, or None.
        title: of the chart.

    Raises:
        ValueError: the numbers of labels and points differ.
    """
    if points.shape != (len(labels), 2):
        raise ValueError(f"points of shape {points.shape} for {len(labels)} labels")
    counts = Counter(label for label in labels if label is not None)
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    in_legend, others = sorted(ranked[:_NAMED_GROUPS]), ranked[_NAMED_GROUPS:]
    figure = new_figure(height=4.9)
    ax = add_axes(figure, title=title)
    size = float(np.clip(12000 / max(len(points), 1), 9, 34))
    of_label = np.array([name if name is not None else "" for name in labels], dtype=object)
    no_label = np.array([name is None for name in labels], dtype=bool)
    other = np.isin(of_label, others) & ~no_label if others else np.zeros(len(labels), dtype=bool)
    for mask, name, colour in ((no_label, "no label", "#c4c4c4"), (other, "other", "#8f8f8f")):
        if mask.any():
            text = f"{name} ({int(mask.sum()):,})"
            x, y = points[mask].T
            ax.scatter(x, y, s=0.7 * size, color=colour, lw=0, label=text)
    for index, name in enumerate(in_legend):
        x, y = points[(of_label == name) & ~no_label].T
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
    """Histogram of the finite values, with their median; the axis says how many are not finite."""
    values = np.asarray(values, dtype=np.float64).ravel()
    finite = values[np.isfinite(values)]
    n_not_finite = len(values) - len(finite)
    figure = new_figure(height=2.9)
    ax = add_axes(figure, title=title)
    if len(finite):
        bins = int(np.clip(np.sqrt(len(finite)) * 1.5, 8, 60))
        ax.hist(finite, bins=bins, color=COLOURS[0], edgecolor="white", linewidth=0.5)
        median = float(np.median(finite))
        ax.axvline(median, color=COLOURS[1], lw=1.2, ls="--", label=f"median {median:,.4g}")
        ax.legend(fontsize=8, frameon=False)
    ax.set_xlabel(xlabel + (f" ({n_not_finite:,} without a value)" if n_not_finite else ""))
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
    """Horizontal bars from top to bottom, with intervals as whiskers.

    Args:
        names: one for each bar.
        values: one for each bar.
        intervals: (low, high) for each bar, in units of the values, or None for a bar without one.
        title: of the chart.
        xlabel: label of the values.

    Raises:
        ValueError: the lengths differ.
    """
    whiskers = [None] * len(names) if intervals is None else list(intervals)
    if not len(names) == len(values) == len(whiskers):
        raise ValueError(f"{len(names)} names, {len(values)} values, {len(whiskers)} intervals")
    figure = new_figure(height=1.1 + 0.32 * max(len(names), 1))
    ax = add_axes(figure, title=title)
    rows = np.arange(len(names))
    ax.barh(rows, values, color=COLOURS[0], height=0.62)
    for row, value, interval in zip(rows, values, whiskers, strict=True):
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
    """One column of the curves, with NaN for epochs without a value."""
    return [float("nan") if entry.get(key) is None else float(entry[key]) for entry in curves]
