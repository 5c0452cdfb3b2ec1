"""A chart of two figures that a setting trades against each other."""

from collections.abc import Sequence
from dataclasses import dataclass

from melgraph.ml.plots.style import COLOURS, INK, MARKERS, add_axes, grid, new_figure, png


@dataclass(frozen=True)
class Curve:
    """The points of one method, in the order of its setting.

    Attributes:
        name: of the method, for the legend.
        points: (x, y) of each value of the setting.
        values: the setting at each point, written beside the first and the last point.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    values: tuple[str, ...]


def trade_chart(curves: Sequence[Curve], *, xlabel: str, ylabel: str, title: str) -> bytes:
    """Each method as a line through its points; both axes begin at 0.

    >>> curve = Curve("a", ((0.1, 0.8), (0.6, 0.2)), ("1", "0.001"))
    >>> trade_chart([curve], xlabel="lost", ylabel="missing", title="The trade")[:4]
    b'\\x89PNG'

    Args:
        curves: the methods; a method without points is left out.
        xlabel: of the axis.
        ylabel: of the axis.
        title: of the chart.
    """
    figure = new_figure(height=4.6)
    ax = add_axes(figure, title=title)
    grid(ax, "both")
    for index, curve in enumerate(curves):
        if not curve.points:
            continue
        x, y = zip(*curve.points, strict=True)
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        ax.plot(x, y, color=colour, marker=marker, ms=5, lw=1.4, label=curve.name)
        for place in sorted({0, len(curve.points) - 1}):
            ax.annotate(
                curve.values[place],
                curve.points[place],
                xytext=(4, 4),
                textcoords="offset points",
                fontsize=7.5,
                color=INK,
            )
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.set_xlim(left=0.0)
    ax.set_ylim(bottom=0.0)
    ax.legend(fontsize=8, frameon=False)
    return png(figure)
