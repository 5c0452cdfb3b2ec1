"""Charts of studies: accuracies of arms, differences from the control, and training losses."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from melgraph.ml.evaluation.classification import ConfidenceBin
from melgraph.ml.evaluation.paired import Comparison, Estimate
from melgraph.ml.plots.style import COLOURS, GREY, INK, LIGHT, add_axes, grid, new_figure, png

CONTROL, OTHER = INK, COLOURS[0]


def arms_chart(estimates: Mapping[str, Estimate], *, control: str, chance: float) -> bytes:
    """Accuracy of each arm with its 95 % confidence interval, and of each repeat.

    The dashed line is the accuracy of always predicting the most frequent class.

    Args:
        estimates: by arm, from top to bottom.
        control: the arm that is drawn in black.
        chance: accuracy of always predicting the most frequent class.
    """
    figure = new_figure(height=1.3 + 0.36 * len(estimates))
    ax = add_axes(figure, title="Accuracy, 95 % interval")
    for row, (arm, estimate) in enumerate(estimates.items()):
        colour = CONTROL if arm == control else OTHER
        ax.plot(
            [estimate.low, estimate.high], [row, row], color=colour, lw=2, solid_capstyle="butt"
        )
        ax.plot(estimate.accuracy, row, "o", color=colour, ms=7)
        if estimate.n_repeats > 1:
            rows = np.full(estimate.n_repeats, row + 0.22)
            ax.plot(estimate.by_repeat, rows, "|", color=GREY, ms=6)
    ax.axvline(chance, color=GREY, lw=1, ls="--")
    ax.set_yticks(range(len(estimates)), [_arm_label(arm, control) for arm in estimates])
    ax.set_ylim(len(estimates) - 0.5, -0.5)
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    ax.set_xlabel("tracks answered rightly (small strokes: each seed)")
    grid(ax, "x")
    return png(figure)


def differences_chart(comparisons: Mapping[str, Comparison], *, control: str) -> bytes:
    """Difference of each arm from the control in percentage points, with 95 % confidence interval.

    The grey band has the differences that four of five studies of this size would not detect.

    Args:
        comparisons: by arm, from top to bottom.
        control: the arm that the others are compared with.
    """
    figure = new_figure(height=1.3 + 0.36 * len(comparisons))
    ax = add_axes(figure, title=f"Difference from {control}, paired by track")
    reach = 5.0
    for row, comparison in enumerate(comparisons.values()):
        band = 100 * comparison.smallest
        ax.barh(row, 2 * band, left=-band, height=0.8, color=LIGHT, alpha=0.6, lw=0)
        low, high = 100 * comparison.low, 100 * comparison.high
        colour = COLOURS[2] if low > 0 else COLOURS[1] if high < 0 else GREY
        ax.plot([low, high], [row, row], color=colour, lw=2, solid_capstyle="butt")
        ax.plot(100 * comparison.difference, row, "o", color=colour, ms=7)
        reach = max(reach, abs(low), abs(high), band)
    ax.axvline(0, color=INK, lw=1)
    ax.set_yticks(range(len(comparisons)), list(comparisons))
    ax.set_ylim(len(comparisons) - 0.5, -0.5)
    ax.set_xlim(-1.05 * reach, 1.05 * reach)
    ax.set_xlabel("points of accuracy (grey band: too small to be shown by this data)")
    grid(ax, "x")
    return png(figure)


def curves_chart(curves: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]) -> bytes:
    """Mean training loss of each arm, by share of the training.

    Args:
        curves: by arm, for each training one mapping for each epoch, with `train_loss`.
    """
    figure = new_figure(height=3.4)
    ax = add_axes(figure, title="Training loss, the mean over folds and seeds")
    for number, (arm, trainings) in enumerate(curves.items()):
        shortest = min(map(len, trainings))
        losses = np.array([[row["train_loss"] for row in t[:shortest]] for t in trainings])
        share = np.arange(1, shortest + 1) / shortest
        ax.plot(
            100 * share,
            losses.mean(axis=0),
            color=COLOURS[number % len(COLOURS)],
            ls=("-", "--", ":")[number // len(COLOURS) % 3],
            marker="o" if shortest == 1 else None,
            lw=1.4,
            label=arm,
        )
    ax.set_xlabel("share of the epochs, %")
    ax.set_ylabel("nats")
    ax.set_ylim(bottom=0)
    grid(ax, "y")
    ax.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return png(figure)


def reliability_diagram(bins: Sequence[ConfidenceBin], title: str) -> bytes:
    """Accuracy at each level of confidence; a calibrated classifier is on the dashed line.

    Args:
        bins: of `ml.evaluation.classification.reliability`.
        title: of the chart.
    """
    figure = new_figure(height=3.4)
    ax = add_axes(figure, title=title)
    ax.plot([0, 1], [0, 1], color=GREY, lw=1, ls="--")
    for part in bins:
        ax.bar(
            (part.low + part.high) / 2,
            part.accuracy,
            width=0.94 * (part.high - part.low),
            color=OTHER,
            alpha=0.25,
            lw=0,
        )
        ax.plot(part.confidence, part.accuracy, "o", color=OTHER, ms=6)
        ax.annotate(
            f"{part.n}",
            (part.confidence, part.accuracy),
            textcoords="offset points",
            xytext=(0, 6),
            ha="center",
            fontsize=8,
            color=INK,
        )
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.08)
    ax.set_xlabel("probability of the answer (numbers: tracks)")
    ax.set_ylabel("share of right answers")
    return png(figure)


def _arm_label(arm: str, control: str) -> str:
    return f"{arm} (control)" if arm == control else arm
