"""The common style of all charts: size, colours and axes; and their conversion to PNG."""

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

WIDTH = 7.0  # inches
DPI = 120
INK, GREY, LIGHT = "#222222", "#6b6b6b", "#dddddd"
# Okabe & Ito 2008: distinguishable for colour-blind readers. Its yellow is too faint for points.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")


def new_figure(*, height: float) -> Figure:
    """A figure of the common width, `height` inches high."""
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def add_axes(
    figure: Figure, *, title: str, place: tuple[int, int, int] = (1, 1, 1), title_size: float = 10.5
) -> Axes:
    """Adds axes in the common style: title on the left, no box, grey ticks.

    Args:
        figure: the figure to add them to.
        title: of the axes.
        place: number of rows, number of columns, and number of the subplot, from 1.
        title_size: points.
    """
    ax = figure.add_subplot(*place)
    ax.set_title(title, loc="left", fontsize=title_size, fontweight="bold", color=INK)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(GREY)
    ax.tick_params(labelsize=8.5, color=GREY, labelcolor=INK, length=3)
    ax.xaxis.label.set_fontsize(9)
    ax.yaxis.label.set_fontsize(9)
    ax.set_axisbelow(True)
    return ax


def grid(ax: Axes, axis: str) -> None:
    """Adds thin light grid lines for the axis `x`, `y` or `both`."""
    ax.grid(axis=axis, color=LIGHT, lw=0.6)  # type: ignore[arg-type]


def colour_bar(figure: Figure, image, ax, label: str) -> None:
    """Adds a narrow colour bar of an image beside one or several axes."""
    bar = figure.colorbar(image, ax=ax, fraction=0.03, pad=0.015)
    bar.set_label(label, fontsize=8.5)
    bar.ax.tick_params(labelsize=8, length=2)
    bar.outline.set_visible(False)


def png(figure: Figure) -> bytes:
    """Renders a palette PNG without metadata, of a third of the size of true colour."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    buffer = io.BytesIO()
    picture.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        buffer, format="PNG", optimize=True
    )
    return buffer.getvalue()
