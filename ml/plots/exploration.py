"""Charts of a collection: its classes side by side, and the correlations of its features."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from melgraph.ml.plots.spectrograms import readable_ticks
from melgraph.ml.plots.style import COLOURS, GREY, INK, LIGHT, add_axes, grid, new_figure, png
from melgraph.ml.spectral import MelTransform, mel_frequencies

_LEFT_OUT = "#c4c4c4"
_CORRELATION_MAP = colormaps["RdBu_r"].resampled(25)  # an odd number of steps: white at 0
_FEW = 30  # in a class with at most this many tracks, each track is drawn
_DEPTH_DB = 65.0  # range of mean spectra below the loudest value
_LONGEST_NAME = 22  # characters of the name of a class


def class_balance(counts: Mapping[str, Mapping[str, int]], parts: Sequence[str]) -> bytes:
    """Number of tracks of each class, as a stacked bar.

    Args:
        counts: class -> part -> tracks, in the order of the bars.
        parts: the parts in the order of stacking; "left out" is grey.

    Raises:
        ValueError: there is no class.
    """
    _need(len(counts))
    figure = new_figure(height=1.3 + 0.3 * len(counts))
    ax = add_axes(figure, title="Tracks per class")
    rows, ends = np.arange(len(counts)), np.zeros(len(counts))
    for number, part in enumerate(parts):
        lengths = np.array([by_part.get(part, 0) for by_part in counts.values()], dtype=float)
        colour = _LEFT_OUT if part == "left out" else COLOURS[number % len(COLOURS)]
        if lengths.any():
            ax.barh(rows, lengths, left=ends, color=colour, height=0.68, label=part)
        ends += lengths
    for row, end in enumerate(ends):
        _beside(ax, f"{int(end):,}", (end, row))
    _classes_down(ax, list(counts))
    ax.margins(x=0.08)
    ax.set_xlabel("tracks")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    grid(ax, "x")
    figure.legend(loc="outside upper right", fontsize=8.5, frameon=False, ncols=len(parts))
    return png(figure)


def histograms_by_class(values: Mapping[str, np.ndarray], *, xlabel: str, title: str) -> bytes:
    """Histogram of a quantity in each class, as shares of the class, on common axes.

    The axis ends at the 99th percentile of all values. Larger values are in the last bar.

    Args:
        values: class -> finite values, in the order of the panels.
        xlabel: label of the values.
        title: of the chart.

    Raises:
        ValueError: there is no value.
    """
    everything = np.concatenate(list(values.values())) if values else np.empty(0)
    _need(len(everything))
    low, high = float(everything.min()), float(np.percentile(everything, 99))
    if high - low < 1e-3 * max(abs(high), 1.0):  # all values are equal: one bar in the middle
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, int(np.clip(np.sqrt(len(everything)) * 1.5, 10, 40)) + 1)
    columns = _panels_across(len(values))
    rows = -(-len(values) // columns)
    figure = new_figure(height=0.7 + (1.25 if rows > 1 else 2.2) * rows)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, fontweight="bold", color=INK)
    shares = {
        name: np.histogram(np.clip(of_class, low, high), bins=edges)[0] / max(len(of_class), 1)
        for name, of_class in values.items()
    }
    top = max(float(share.max()) for share in shares.values())
    for index, (name, share) in enumerate(shares.items()):
        place = (rows, columns, index + 1)
        title_of = f"{_short(name)} ({len(values[name]):,})"
        ax = add_axes(figure, title=title_of, place=place, title_size=8.5)
        ax.bar(edges[:-1], share, width=np.diff(edges), align="edge", color=COLOURS[0], lw=0)
        if len(values[name]):
            ax.axvline(float(np.median(values[name])), color=COLOURS[1], lw=1.1, ls="--")
        ax.set_xlim(edges[0], edges[-1])
        ax.set_ylim(0, top * 1.05)
        ax.yaxis.set_major_locator(MaxNLocator(3))
        ax.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        ax.tick_params(labelsize=8, labelleft=index % columns == 0)
        last_of_column = index + columns >= len(values)
        ax.tick_params(labelbottom=last_of_column)
        if last_of_column:
            ax.set_xlabel(xlabel)
        grid(ax, "y")
    return png(figure)


def boxes_by_class(
    panels: Mapping[str, Mapping[str, np.ndarray]], *, columns: int = 2, title: str = ""
) -> bytes:
    """Box plots of several quantities, one panel for each, with one box for each class.

    A box has the quartiles and the median. The whiskers are the 5th and the 95th percentile. Dots
    are tracks beyond the whiskers, or all tracks of a class with few tracks.

    Args:
        panels: title of the panel (with the unit) -> class -> finite values; the same classes in
            every panel.
        columns: number of panels side by side.
        title: of the chart.

    Raises:
        ValueError: there is no value.
    """
    _need(sum(len(values) for panel in panels.values() for values in panel.values()))
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    classes = max(len(panel) for panel in panels.values())
    figure = new_figure(height=0.35 + (0.62 + 0.2 * max(classes, 2)) * rows)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, fontweight="bold", color=INK)
    for index, (name, panel) in enumerate(panels.items()):
        ax = add_axes(figure, title=name, place=(rows, columns, index + 1), title_size=9)
        filled = [(row, values) for row, values in enumerate(panel.values()) if len(values)]
        ax.boxplot(
            [values for _, values in filled],
            positions=[row for row, _ in filled],
            orientation="horizontal",
            whis=(5, 95),
            widths=0.62,
            patch_artist=True,
            manage_ticks=False,
            boxprops={"facecolor": "#cfe3f1", "edgecolor": COLOURS[0], "lw": 0.9},
            medianprops={"color": COLOURS[1], "lw": 1.6},
            whiskerprops={"color": COLOURS[0], "lw": 0.9},
            capprops={"color": COLOURS[0], "lw": 0.9},
            flierprops={"marker": ".", "ms": 3, "mfc": GREY, "mec": "none"},
        )
        for row, values in filled:
            if len(values) <= _FEW:
                ax.scatter(values, np.full(len(values), row), s=7, color=INK, lw=0, zorder=3)
        _classes_down(ax, list(panel), size=8)
        ax.tick_params(labelleft=index % columns == 0)
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.xaxis.set_major_formatter(lambda value, _: _plain_number(value))
        ax.tick_params(axis="x", labelsize=8)
        grid(ax, "x")
    return png(figure)


def mean_spectra(
    spectra: Mapping[str, Sequence[np.ndarray]], transform: MelTransform, title: str
) -> bytes:
    """The mean mel spectrum of each class, with the mean of all classes in grey.

    Args:
        spectra: class -> mean, 10th and 90th percentile over its tracks, each `[mel]` in dB.
        transform: of the spectra.
        title: of the chart.

    Raises:
        ValueError: there is no class.
    """
    _need(len(spectra))
    columns = _panels_across(len(spectra))
    rows = -(-len(spectra) // columns)
    figure = new_figure(height=0.7 + (1.45 if rows > 1 else 2.3) * rows)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, fontweight="bold", color=INK)
    reference = np.mean([mean for mean, _, _ in spectra.values()], axis=0)
    bands, centres = np.arange(transform.n_mels), mel_frequencies(transform)
    ticks = [hertz for hertz in readable_ticks(centres) if hertz in (500, 2000, 10000)]
    names = [f"{hertz // 1000}k" if hertz >= 1000 else str(hertz) for hertz in ticks]
    top = max(float(high.max()) for _, _, high in spectra.values())
    lowest = min(float(low.min()) for _, low, _ in spectra.values())
    bottom = max(lowest, top - _DEPTH_DB)
    for index, (name, (mean, low, high)) in enumerate(spectra.items()):
        place = (rows, columns, index + 1)
        ax = add_axes(figure, title=_short(name), place=place, title_size=8.5)
        ax.fill_between(bands, low, high, color="#cfe3f1", lw=0)
        ax.plot(bands, reference, color=GREY, lw=1, ls="--")
        ax.plot(bands, mean, color=COLOURS[0], lw=1.6)
        ax.set_xlim(0, len(bands) - 1)
        ax.set_ylim(bottom - 2, top + 2)
        ax.set_xticks(np.interp(ticks, centres, bands), names)
        last_of_column = index + columns >= len(spectra)
        ax.tick_params(labelsize=8, labelleft=index % columns == 0, labelbottom=last_of_column)
        if index % columns == 0:
            ax.set_ylabel("dB")
        if last_of_column:
            ax.set_xlabel("Hz")
        grid(ax, "both")
    return png(figure)


def correlation_map(correlations: np.ndarray, names: Sequence[str], title: str) -> bytes:
    """Matrix of correlations of features. Of many features, the names are on both sides in turn.

    Args:
        correlations: `[feature, feature]`, -1 to 1.
        names: `[feature]`.
        title: of the chart.

    Raises:
        ValueError: the matrix does not fit the names, or is empty.
    """
    n = len(names)
    _need(n)
    if correlations.shape != (n, n):
        raise ValueError(f"a matrix of shape {correlations.shape} for {n} features")
    figure = new_figure(height=float(np.clip(1.4 + 0.075 * n, 3.0, 9.0)))
    ax = add_axes(figure, title=title)
    image = ax.imshow(correlations, cmap=_CORRELATION_MAP, vmin=-1, vmax=1, aspect="auto")
    size = float(np.clip(470 / n, 5.5, 8.5))
    ax.set_xticks([])
    ax.tick_params(labelsize=size, length=2, color=LIGHT)
    other = ax.secondary_yaxis("right")
    other.tick_params(labelsize=size, length=2, color=LIGHT, labelcolor=INK)
    both = n > 20  # more names than fit on one side
    ax.set_yticks(range(0, n, 2 if both else 1), names[:: 2 if both else 1])
    other.set_yticks(range(1, n, 2) if both else [], names[1::2] if both else [])
    for spine in (*ax.spines.values(), *other.spines.values()):
        spine.set_visible(False)
    bar = figure.colorbar(image, ax=ax, orientation="horizontal", fraction=0.03, pad=0.015)
    bar.set_label("rank correlation", fontsize=8.5)
    bar.ax.tick_params(labelsize=8, length=2)
    bar.outline.set_visible(False)
    return png(figure)


def _panels_across(count: int) -> int:
    """Number of panels side by side, for few rows and few empty places in the last row."""
    return min(count, 3) if count < 4 else min((2, 3, 4, 5), key=lambda n: (-count % n, -n))


def _classes_down(ax: Axes, names: Sequence[str], size: float = 8.5) -> None:
    """Labels the vertical axis with classes, from top to bottom."""
    ax.set_yticks(range(len(names)), [_short(name) for name in names])
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0, labelsize=size)


def _plain_number(value: float) -> str:
    """A number on an axis without an exponent: 0.25, 750, 30k, 1.5M."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if abs(value) >= 1e4 else f"{value:g}"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _beside(ax: Axes, text: str, at: tuple[float, float]) -> None:
    ax.annotate(
        text, at, xytext=(5, 0), textcoords="offset points", va="center", fontsize=8.5, color=INK
    )


def _need(count: int) -> None:
    if not count:
        raise ValueError("nothing to draw")
