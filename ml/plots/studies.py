"""Pictures of studies: accuracies of arms, differences from the control, how they learned."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from melgraph.ml.evaluation.classification import ConfidenceBin
from melgraph.ml.evaluation.paired import Comparison, Estimate
from melgraph.ml.plots.style import COLOURS, GREY, INK, LIGHT, add_axes, grid, new_figure, png

CONTROL, OTHER = INK, COLOURS[0]


def arms_chart(estimates: Mapping[str, Estimate], *, control: str, chance: float) -> bytes:
    """Accuracy of each arm with its 95 % interval, a dot per repeat; dashed: the best constant
    answer.

    Args:
        estimates: by arm, drawn from above in this order.
        control: the arm drawn in black.
        chance: accuracy of always giving the most frequent answer.
    """
    figure = new_figure(height=1.3 + 0.36 * len(estimates))
    ax = add_axes(figure, title="Accuracy, 95 % interval")
    for row, (arm, found) in enumerate(estimates.items()):
        colour = CONTROL if arm == control else OTHER
        ax.plot([found.low, found.high], [row, row], color=colour, lw=2, solid_capstyle="butt")
        ax.plot(found.accuracy, row, "o", color=colour, ms=7)
        if found.n_repeats > 1:
            rows = np.full(found.n_repeats, row + 0.22)
            ax.plot(found.by_repeat, rows, "|", color=GREY, ms=6)
    ax.axvline(chance, color=GREY, lw=1, ls="--")
    ax.set_yticks(range(len(estimates)), [_named(arm, control) for arm in estimates])
    ax.set_ylim(len(estimates) - 0.5, -0.5)
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    ax.set_xlabel("tracks answered rightly (small strokes: each seed)")
    grid(ax, "x")
    return png(figure)


def differences_chart(comparisons: Mapping[str, Comparison], *, control: str) -> bytes:
    """Difference of each arm from the control, in points, with its 95 % interval; the grey band is
    what this data could not show in four studies of five.

    Args:
        comparisons: by arm, drawn from above in this order.
        control: what they are held against.
    """
    figure = new_figure(height=1.3 + 0.36 * len(comparisons))
    ax = add_axes(figure, title=f"Difference from {control}, paired by track")
    reach = 5.0
    for row, found in enumerate(comparisons.values()):
        band = 100 * found.smallest
        ax.barh(row, 2 * band, left=-band, height=0.8, color=LIGHT, alpha=0.6, lw=0)
        low, high = 100 * found.low, 100 * found.high
        shown = COLOURS[2] if low > 0 else COLOURS[1] if high < 0 else GREY
        ax.plot([low, high], [row, row], color=shown, lw=2, solid_capstyle="butt")
        ax.plot(100 * found.difference, row, "o", color=shown, ms=7)
        reach = max(reach, abs(low), abs(high), band)
    ax.axvline(0, color=INK, lw=1)
    ax.set_yticks(range(len(comparisons)), list(comparisons))
    ax.set_ylim(len(comparisons) - 0.5, -0.5)
    ax.set_xlim(-1.05 * reach, 1.05 * reach)
    ax.set_xlabel("points of accuracy (grey band: too small to be shown by this data)")
    grid(ax, "x")
    return png(figure)


def curves_chart(curves: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]) -> bytes:
    """Training loss by share of the training, the mean over its trainings, a line per arm.

    Args:
        curves: by arm, per training one mapping per epoch, with `train_loss`.
    """
    figure = new_figure(height=3.4)
    ax = add_axes(figure, title="Training loss, the mean over folds and seeds")
    for number, (arm, trainings) in enumerate(curves.items()):
        shortest = min(map(len, trainings))
        losses = np.array([[row["train_loss"] for row in t[:shortest]] for t in trainings])
        done = np.arange(1, shortest + 1) / shortest
        ax.plot(
            100 * done,
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
    """How often answers of each confidence are right; on the line they are as sure as they should.

    Args:
        bins: of `ml.evaluation.classification.reliability`.
        title: of the picture.
    """
    figure = new_figure(height=3.4)
    ax = add_axes(figure, title=title)
    ax.plot([0, 1], [0, 1], color=GREY, lw=1, ls="--")
    for found in bins:
        ax.bar(
            (found.low + found.high) / 2,
            found.accuracy,
            width=0.94 * (found.high - found.low),
            color=OTHER,
            alpha=0.25,
            lw=0,
        )
        ax.plot(found.confidence, found.accuracy, "o", color=OTHER, ms=6)
        ax.annotate(
            f"{found.n}",
            (found.confidence, found.accuracy),
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


def _named(arm: str, control: str) -> str:
    return f"{arm} (control)" if arm == control else arm
