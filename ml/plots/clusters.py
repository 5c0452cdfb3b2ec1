"""Charts of clusters: agreement with labels, and distances to the training tracks."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from melgraph.ml.plots.style import COLOURS, INK, WIDTH, add_axes, colour_bar, grid, new_figure, png

_COUNT_MAP = "Blues"
_BINS = 40


def contingency_matrix(
    table: np.ndarray, clusters: Sequence[str], labels: Sequence[str], title: str
) -> bytes:
    """Number of tracks by (cluster, label), shaded by share of the label; matched cells are framed.

    Args:
        table: int `[cluster, label]`, in an order that puts matched cells on the diagonal.
        clusters: one name for each cluster.
        labels: one name for each label.
        title: of the chart.

    Raises:
        ValueError: the table does not fit the names.
    """
    rows, columns = len(clusters), len(labels)
    if table.shape != (rows, columns):
        raise ValueError(f"a table of shape {table.shape} for {rows} clusters, {columns} labels")
    totals = table.sum(axis=0, keepdims=True)
    share = np.divide(table, totals, out=np.zeros(table.shape), where=totals > 0)
    figure = new_figure(height=float(np.clip(1.9 + 0.36 * rows, 3.2, WIDTH)))
    ax = add_axes(figure, title=title)
    image = ax.imshow(share, cmap=_COUNT_MAP, vmin=0, vmax=1, aspect="auto")
    size = max(4.0, min(9.0, 110 / max(rows, columns, 1)))
    if max(rows, columns) <= 25:  # with more cells, the numbers would be too small to read
        for row, column in np.argwhere(table):
            colour = "white" if share[row, column] > 0.55 else INK
            text = f"{table[row, column]:,}"
            ax.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)
    for at in range(min(rows, columns)):
        frame = Rectangle((at - 0.5, at - 0.5), 1, 1, fill=False, ec=COLOURS[1], lw=1.6)
        ax.add_patch(frame)
    ax.set_xticks(range(columns), labels, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(rows), clusters)
    ax.tick_params(labelsize=max(4.5, min(9.0, 180 / max(rows, columns, 1))), length=0)
    ax.set_xlabel("label")
    ax.set_ylabel("cluster, made without labels")
    ax.spines[["left", "bottom"]].set_visible(False)
    colour_bar(figure, image, ax, "share of the label")
    return png(figure)


def distance_histograms(
    distances: Mapping[str, np.ndarray], threshold: float | None, title: str
) -> bytes:
    """Histograms of distances to the training tracks, one for each kind of tracks.

    Args:
        distances: kind of tracks -> cosine distances to the training tracks; kinds without tracks
            are left out.
        threshold: distance from which a track is flagged; None if no track can be flagged.
        title: of the chart.

    Raises:
        ValueError: there is no track.
    """
    panels = {name: values for name, values in distances.items() if len(values)}
    if not panels:
        raise ValueError("no distances to draw")
    everything = np.concatenate(list(panels.values()))
    right = max(float(everything.max()), threshold or 0.0) * 1.04 or 1.0
    edges = np.linspace(0.0, right, _BINS + 1)
    figure = new_figure(height=0.9 + 1.05 * len(panels))
    for row, (name, values) in enumerate(panels.items()):
        ax = add_axes(figure, title="", place=(len(panels), 1, row + 1))
        ax.hist(values, bins=edges.tolist(), color=COLOURS[row % len(COLOURS)], label=name)
        ax.set_title(f"{name} ({len(values):,})", loc="left", fontsize=9, color=INK)
        if threshold is not None:
            ax.axvline(threshold, color=INK, lw=1.1, ls="--")
        ax.set_xlim(0.0, right)
        ax.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        grid(ax, "y")
        if row < len(panels) - 1:
            ax.tick_params(labelbottom=False)
    ax.set_xlabel("cosine distance to the training tracks")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, fontweight="bold", color=INK)
    return png(figure)
