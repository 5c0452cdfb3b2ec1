"""A chart of the k-occurrence: in how many neighbour lists the tracks of a catalogue are."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from melgraph.ml.plots.style import COLOURS, GREY, INK, add_axes, grid, new_figure, png

_COLOURS = (GREY, COLOURS[0])


def occurrence_chart(
    occurrences: Mapping[str, Sequence[NDArray[np.int64] | None]],
    *,
    orders: Sequence[str],
    mean: float,
) -> bytes:
    """The spread of the k-occurrence over the tracks of a catalogue, for each encoder.

    A line spans the 5th to the 95th percentile, the dot on it is the median, and the cross is the
    largest hub.

    Args:
        occurrences: of each encoder, from top to bottom: int64 `[track]` for each order, or None
            where an order was not measured.
        orders: what the orders are, for the legend: at most two.
        mean: the mean k-occurrence, which is the length of a full list.
    """
    figure = new_figure(height=1.5 + 0.5 * len(occurrences))
    ax = add_axes(figure, title="Lists that a recording is in")
    for row, several in enumerate(occurrences.values()):
        for place, (counts, colour) in enumerate(zip(several, _COLOURS, strict=False)):
            if counts is None or not len(counts):
                continue
            y = row + (place - 0.5) * 0.3
            low, median, high = np.quantile(counts, [0.05, 0.5, 0.95])
            ax.plot([low, high], [y, y], color=colour, lw=2, solid_capstyle="butt")
            ax.plot(median, y, "o", color=colour, ms=5)
            ax.plot(counts.max(), y, "x", color=colour, ms=6)
    for name, colour in zip(orders, _COLOURS, strict=False):
        ax.plot([], [], color=colour, lw=2, label=name)
    ax.axvline(mean, color=INK, lw=1, ls="--")
    ax.set_yticks(range(len(occurrences)), list(occurrences))
    ax.set_ylim(len(occurrences) - 0.5, -0.5)
    ax.set_xlim(left=0)
    ax.set_xlabel("lists (line: 5th to 95th percentile; dot: median; cross: largest; dashed: mean)")
    ax.legend(fontsize=8.5, frameon=False, loc="lower right")
    grid(ax, "x")
    return png(figure)
