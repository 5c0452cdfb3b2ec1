"""Charts of generative models: their curves, and what they make beside the originals.

`generative_curves` and `sample_sheet` serve every kind of generative model. The other charts show
how networks recreate songs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from melgraph.ml.plots.spectrograms import average_frames
from melgraph.ml.plots.style import (
    COLOURS,
    GREY,
    LIGHT,
    MARKERS,
    add_axes,
    colour_bar,
    grid,
    new_figure,
    png,
)

Row = Mapping[str, Any]  # the figures of an epoch
Scale = Literal["loudest", "signed"]

# Few colours halve the bytes, and all of them fit into the palette. An odd number has white at 0.
_SOUND_MAP, _SIGNED_MAP = colormaps["magma"].resampled(32), colormaps["RdBu_r"].resampled(25)
_COLUMNS = 350  # of a chart of full width: two pixels for each, which PNG compresses well
_LOSSES = {"train_loss": "training", "validation_loss": "validation"}
_STYLES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Panel:
    """A panel of curves with an axis of its own.

    Attributes:
        title: of the panel.
        lines: key of the figure -> its name in the legend. A panel of one line has no legend.
        ylabel: of the axis, with the unit.
        from_zero: whether the axis begins at 0.
    """

    title: str
    lines: Mapping[str, str]
    ylabel: str
    from_zero: bool = True


def generative_curves(
    rows: Sequence[Row], panels: Sequence[Panel] = (), *, loss_label: str = "loss"
) -> bytes:
    """Training and validation loss by epoch in one panel, and further figures in panels below it.

    Figures that an epoch does not have (absent, None or not finite) are left out.

    >>> rows = [{"epoch": 1, "train_loss": 2.0, "kad": 0.4}, {"epoch": 2, "train_loss": 1.5}]
    >>> generative_curves(rows, [Panel("KAD to the originals", {"kad": "KAD"}, "KAD")])[:4]
    b'\\x89PNG'

    Args:
        rows: one for each epoch, as `GenerativeResult.curves`: `epoch`, `train_loss`,
            `validation_loss` and the figures of the panels.
        panels: the further panels.
        loss_label: of the axis of the losses, with the unit if there is one.

    Raises:
        ValueError: there is no epoch.
    """
    if not rows:
        raise ValueError("no epoch to draw")
    drawn = [Panel("Loss", _LOSSES, loss_label, from_zero=False), *panels]
    figure = new_figure(height=0.3 + 2.3 * len(drawn))
    for number, panel in enumerate(drawn):
        ax = add_axes(figure, title=panel.title, place=(len(drawn), 1, number + 1))
        _draw_lines(ax, rows, panel)
        if number == len(drawn) - 1:
            ax.set_xlabel("epoch")
    return png(figure)


def loss_curves_side_by_side(
    curves: Mapping[str, Sequence[Row]], *, loss_label: str = "loss"
) -> bytes:
    """The losses of several trainings in panels side by side, with one common axis.

    >>> loss_curves_side_by_side({"plain": [{"epoch": 1, "train_loss": 2.0}]})[:4]
    b'\\x89PNG'

    Args:
        curves: name of the training -> its rows, as `GenerativeResult.curves`.
        loss_label: of the common axis, with the unit if there is one.

    Raises:
        ValueError: there is no training, or one has no epoch.
    """
    if not curves or not all(curves.values()):
        raise ValueError("no epoch to draw")
    columns = min(3, len(curves))
    lines = -(-len(curves) // columns)
    figure = new_figure(height=0.3 + 2.5 * lines)
    panels: list[Axes] = []
    for number, (name, rows) in enumerate(curves.items()):
        ax = add_axes(figure, title=name, place=(lines, columns, number + 1), title_size=9)
        if panels:
            ax.sharey(panels[0])
        panels.append(ax)
        first = number % columns == 0
        _draw_lines(ax, rows, Panel(name, _LOSSES, loss_label if first else "", from_zero=False))
        if number:
            ax.legend().remove()
        if not first:
            ax.tick_params(labelleft=False)
        if number + columns >= len(curves):
            ax.set_xlabel("epoch")
    return png(figure)


def sample_sheet(
    values: Sequence[np.ndarray],
    titles: Sequence[str],
    *,
    unit: str,
    originals: Sequence[np.ndarray | None] | None = None,
    title: str = "",
    scale: Scale = "loudest",
    first_bin: int = 0,
    ylabel: str = "bin",
    frames_per_second: float | None = None,
    columns: int = 4,
) -> bytes:
    """The samples of an epoch as pictures in a grid, all on one colour scale.

    >>> noise = np.random.default_rng(0).normal(-40, 10, (60, 64))
    >>> sample_sheet([noise, noise], ["rock", "jazz"], unit="dB", originals=[noise, None])[:4]
    b'\\x89PNG'

    Args:
        values: of each sample `[frame, bin]`, in `unit`.
        titles: one for each sample.
        unit: of the values, beside the colour bar.
        originals: of each sample the original `[frame, bin]` that is drawn above it; None leaves
            the place empty. Without the sequence, no row of originals is drawn.
        title: of the whole sheet.
        scale: `loudest` ends at the loudest values and shows 80 units below them at most (dB and
            pixels); `signed` is white at 0 and strongest at the largest 7 % of the values (MFCC).
        first_bin: the bins below it are not drawn. For MFCC, 1 leaves out coefficient 0, which is
            much larger than the others.
        ylabel: what the bins are.
        frames_per_second: with it, the time axis is in seconds; without it, in frames.
        columns: number of samples side by side.

    Raises:
        ValueError: there is no sample, or the numbers of samples, titles and originals differ.
    """
    above = [None] * len(values) if originals is None else list(originals)
    if not values or not len(values) == len(titles) == len(above):
        raise ValueError(
            f"{len(values)} samples, {len(titles)} titles and {len(above)} originals to draw"
        )
    columns = min(columns, len(values))
    height = 1 if originals is None else 2  # pictures of a sample
    lines = height * -(-len(values) // columns)
    figure = new_figure(height=0.5 + 1.45 * lines)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, fontweight="bold")
    pictures = [a for a in [*values, *above] if a is not None]
    colours = _colours([picture[:, first_bin:] for picture in pictures], scale)
    panels: list[Axes] = []
    for number, (sample, original, name) in enumerate(zip(values, above, titles, strict=True)):
        line, column = divmod(number, columns)
        stack = [(sample, name)]
        if original is not None:
            stack = [(original, f"{name}: original"), (sample, f"{name}: sample")]
        for offset, (picture, heading) in enumerate(stack, start=height - len(stack)):
            place = (lines, columns, (height * line + offset) * columns + column + 1)
            ax = add_axes(figure, title=heading, place=place, title_size=7.5)
            image = _draw_picture(ax, picture, first_bin, frames_per_second, columns, colours)
            ax.set_ylabel("" if column else ylabel)
            ax.tick_params(labelleft=not column, labelbottom=offset == height - 1)
            last = offset == height - 1 and number + columns >= len(values)
            ax.set_xlabel(_time_label(frames_per_second) if last else "")
            panels.append(ax)
    colour_bar(figure, image, panels, unit)
    return png(figure)


def mfcc_pair(
    true: np.ndarray,
    synthetic: np.ndarray,
    *,
    frames_per_second: float,
    title: str = "",
    unit: str = "MFCC, dB",
) -> bytes:
    """The MFCC of a song beside those that a network made of it.

    Coefficient 0, which follows the loudness, is much larger than the others. It is drawn as
    curves below the pictures, that of the song in grey behind that of the network.

    >>> mfcc = np.random.default_rng(0).normal(size=(90, 20))
    >>> mfcc_pair(mfcc, 0.9 * mfcc, frames_per_second=43.07, title="blues")[:4]
    b'\\x89PNG'

    Args:
        true: float `[frame, coefficient]`.
        synthetic: float, of the same shape.
        frames_per_second: of both.
        title: of the chart.
        unit: of the values.

    Raises:
        ValueError: the shapes differ.
    """
    if true.shape != synthetic.shape:
        raise ValueError(f"true MFCC of shape {true.shape}, synthetic {synthetic.shape}")
    figure = new_figure(height=4.3)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, fontweight="bold")
    pair = (("true", true), ("synthetic", synthetic))
    colours = _colours([values[:, 1:] for _, values in pair], "signed")
    panels = []
    for column, (name, values) in enumerate(pair):
        ax = add_axes(figure, title=name, place=(2, 2, column + 1), title_size=9)
        image = _draw_picture(ax, values, 1, frames_per_second, 2, colours)
        ax.set_ylabel("" if column else "coefficient")
        panels.append(ax)
    colour_bar(figure, image, panels, unit)
    first: Axes | None = None
    for column, (name, values) in enumerate(pair):
        heading = f"{name}: coefficient 0 (loudness)"
        ax = add_axes(figure, title=heading, place=(2, 2, column + 3), title_size=9)
        if first is not None:
            ax.sharey(first)
            _draw_curve(ax, true[:, 0], frames_per_second, GREY)
        _draw_curve(ax, values[:, 0], frames_per_second, COLOURS[0])
        ax.set_ylabel("" if column else unit)
        first = first or ax
    return png(figure)


def pca_scatter(
    originals: np.ndarray,
    recreations: np.ndarray,
    genres: Sequence[str],
    explained: Sequence[float],
    *,
    title: str = "Recreations beside the originals, PCA of mean MFCC",
) -> bytes:
    """Originals (filled) and their recreations (hollow), with a line between both.

    Args:
        originals: float `[song, 2]`, the first two principal components.
        recreations: float `[song, 2]`, of the same songs, projected in the same way.
        genres: of each song.
        explained: share of the variance of the originals that each component explains.
        title: of the chart.

    Raises:
        ValueError: the shapes do not fit.
    """
    if not originals.shape == recreations.shape == (len(genres), 2):
        shapes = f"{originals.shape} and {recreations.shape}"
        raise ValueError(f"points of shape {shapes} for {len(genres)} genres")
    figure = new_figure(height=4.9)
    ax = add_axes(figure, title=title)
    grid(ax, "both")
    for before, after in zip(originals, recreations, strict=True):
        ax.plot(*np.stack([before, after]).T, color=LIGHT, lw=0.7, zorder=1)
    of_song = np.array(genres, dtype=object)
    size = float(np.clip(9000 / max(len(genres), 1), 14, 40))
    for number, genre in enumerate(sorted(set(genres))):
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        x, y = originals[of_song == genre].T
        ax.scatter(x, y, s=size, color=colour, marker=marker, lw=0, alpha=0.8, label=genre)
        x, y = recreations[of_song == genre].T
        ax.scatter(x, y, s=size, marker=marker, facecolors="none", edgecolors=colour, lw=1.0)
    for axis, number, share in ((ax.xaxis, 1, explained[0]), (ax.yaxis, 2, explained[1])):
        axis.set_label_text(f"component {number} ({share:.0%} of the variance)")
    shape = {"marker": "o", "ls": "", "color": GREY, "ms": 5}
    keys = [
        Line2D([], [], label="original", **shape),  # type: ignore[arg-type]
        Line2D([], [], label="recreation", mfc="none", **shape),  # type: ignore[arg-type]
    ]
    handles, _ = ax.get_legend_handles_labels()
    figure.legend(handles=[*keys, *handles], loc="outside right upper", fontsize=8, frameon=False)
    return png(figure)


def _draw_curve(ax: Axes, values: np.ndarray, frames_per_second: float, colour: str) -> None:
    """Draws `[frame]` over seconds."""
    curve = average_frames(values[:, None].astype(np.float64), most=_COLUMNS // 2)[:, 0]
    seconds = np.linspace(0, len(values) / frames_per_second, len(curve), endpoint=False)
    ax.plot(seconds, curve, color=colour, lw=1.1, marker="." if len(curve) == 1 else "")
    ax.set_xlabel("seconds")
    ax.set_xlim(0, len(values) / frames_per_second)
    grid(ax, "both")


def _draw_lines(ax: Axes, rows: Sequence[Row], panel: Panel) -> None:
    """The curves of a panel; an epoch without a figure interrupts no line."""
    for number, (key, name) in enumerate(panel.lines.items()):
        points = [(row["epoch"], row[key]) for row in rows if _is_number(row.get(key))]
        epochs, figures = zip(*points, strict=True) if points else ((), ())
        colour, style = COLOURS[number % len(COLOURS)], _STYLES[number % len(_STYLES)]
        ax.plot(epochs, figures, color=colour, ls=style, marker=".", label=name)
    if not any(len(line.get_xdata()) for line in ax.lines):  # type: ignore[arg-type]
        ax.text(0.5, 0.5, "no value", transform=ax.transAxes, ha="center", color=GREY, fontsize=9)
    if panel.from_zero:
        ax.set_ylim(bottom=0)
    ax.set_ylabel(panel.ylabel)
    epochs_of_all = [float(row["epoch"]) for row in rows]
    ax.set_xlim(min(epochs_of_all) - 0.5, max(epochs_of_all) + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    grid(ax, "both")
    if len(panel.lines) > 1:
        ax.legend(fontsize=8, frameon=False)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value))


def _colours(pictures: Sequence[np.ndarray], scale: Scale) -> dict[str, Any]:
    """The colour map and its range, common to all pictures."""
    values = np.concatenate([np.ravel(picture).astype(np.float64) for picture in pictures])
    if scale == "signed":
        # Coefficient 1 of MFCC is 5 % of the values, and several times as large as the others.
        limit = max(float(np.percentile(np.abs(values), 93)), 1e-3)
        return {"cmap": _SIGNED_MAP, "norm": TwoSlopeNorm(0.0, -limit, limit)}
    top = float(np.percentile(values, 99.9))
    return {
        "cmap": _SOUND_MAP,
        "vmax": top,
        "vmin": max(float(values.min()), top - 80.0) - 1e-3,
    }


def _draw_picture(
    ax: Axes,
    values: np.ndarray,
    first_bin: int,
    frames_per_second: float | None,
    panels: int,
    colours: Mapping[str, Any],
) -> Any:
    """Draws `[frame, bin]` from the bin `first_bin` on, with its time axis."""
    image = ax.imshow(
        average_frames(values[:, first_bin:].astype(np.float64), most=_COLUMNS // panels).T,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(
            0,
            len(values) / (frames_per_second or 1.0),
            first_bin - 0.5,
            values.shape[1] - 0.5,
        ),
        **colours,
    )
    ax.set_xlabel(_time_label(frames_per_second))
    return image


def _time_label(frames_per_second: float | None) -> str:
    return "frame" if frames_per_second is None else "seconds"
