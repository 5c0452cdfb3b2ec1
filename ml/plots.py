"""Pictures of models, sounds and libraries, as PNG bytes.

Every function builds its own matplotlib `Figure` (no pyplot, no global state) and returns a
palette PNG without metadata: the same inputs give the same bytes. About 840 pixels wide, made to be
read at 700.
"""

import io
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from ml.spectral import MelTransform, mel_frequencies

_WIDTH = 7.0  # inches
_DPI = 120
_INK, _GREY, _LIGHT = "#222222", "#6b6b6b", "#dddddd"
# Okabe & Ito 2008, told apart by colour-blind readers too; its yellow is too faint for points
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
_SOUND_MAP, _DELTA_MAP, _COUNT_MAP = "magma", "RdBu_r", "Blues"
_NAMED_GROUPS = 24  # of a map's groups so many get a place in the legend, the largest ones
_HERTZ_TICKS = (100, 200, 500, 1000, 2000, 5000, 10000, 20000)


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
    figure = _figure(height=min(1.6 + 0.42 * n, _WIDTH) if n > 3 else 3.2)
    ax = _axes(figure, title=title)
    image = ax.imshow(share, cmap=_COUNT_MAP, vmin=0, vmax=1)
    size = max(4.0, min(9.0, 110 / n))
    if n <= 25:  # beyond that the numbers would only be dust
        for row, column in np.ndindex(n, n):
            if matrix[row, column]:
                colour = "white" if share[row, column] > 0.55 else _INK
                text = f"{matrix[row, column]:,}"
                ax.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)
    turned = n > 6 or max(map(len, classes)) > 9
    ax.set_xticks(range(n), classes, rotation=45 if turned else 0, ha="right" if turned else None)
    ax.set_yticks(range(n), classes)
    ax.tick_params(labelsize=max(4.5, min(9.0, 180 / n)), length=0)
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    ax.spines[["left", "bottom"]].set_visible(False)
    _colour_bar(figure, image, ax, "share of the true class")
    return _png(figure)


def training_curves(curves: Sequence[Mapping[str, float | int | bool | None]]) -> bytes:
    """Training and validation loss, and validation accuracy, by epoch; the best epoch is marked.

    Args:
        curves: one entry per epoch, as `ml.training.TrainingResult.curves`: `epoch`, `train_loss`,
            `validation_loss` and `validation_accuracy` (None without validation), `is_best` (true
            whenever an epoch was the best so far).

    Raises:
        ValueError: where there is no epoch.
    """
    if not curves:
        raise ValueError("no epoch to draw")
    epochs = _column(curves, "epoch")
    best = next((entry["epoch"] for entry in reversed(curves) if entry.get("is_best")), None)
    validated = any(entry.get("validation_loss") is not None for entry in curves)
    figure = _figure(height=2.9)
    left = _axes(figure, title="Loss", place=(1, 2 if validated else 1, 1))
    panels = [left]
    lines = [("train_loss", "training", COLOURS[0], "-")]
    if validated:
        lines.append(("validation_loss", "validation", COLOURS[1], "--"))
        right = _axes(figure, title="Validation accuracy", place=(1, 2, 2))
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
        _grid(ax, "both")
        if best is not None:
            ax.axvline(float(best), color=_GREY, lw=1, ls=":", label=f"best: epoch {best}")
    left.legend(fontsize=8, frameon=False)
    return _png(figure)


def mel_spectrogram(log_mel: np.ndarray, transform: MelTransform, title: str) -> bytes:
    """A log-mel spectrogram `[frame, mel]` in dB, with seconds and Hz."""
    figure = _figure(height=2.9)
    ax = _axes(figure, title=title)
    image = _spectrogram(ax, log_mel, transform, **_sound_range(log_mel))
    ax.set_xlabel("seconds")
    _colour_bar(figure, image, ax, "dB")
    return _png(figure)


def spectrogram_triptych(
    before: np.ndarray,
    delta: np.ndarray,
    after: np.ndarray,
    transform: MelTransform,
    titles: Sequence[str] = ("before", "edit", "after"),
) -> bytes:
    """An edit: before and after on one colour scale, and between them the delta, white at 0 dB.

    Args:
        before: float `[frame, mel]`, dB.
        delta: float `[frame, mel]`, dB.
        after: float `[frame, mel]`, dB.
        transform: of all three.
        titles: of the three panels.
    """
    figure = _figure(height=6.3)
    limit = max(float(np.abs(delta).max()), 1e-3)
    scale = _sound_range(np.concatenate([before, after]))
    for row, (values, title) in enumerate(zip((before, delta, after), titles, strict=True)):
        ax = _axes(figure, title=title, place=(3, 1, row + 1))
        if row == 1:
            norm = TwoSlopeNorm(0.0, -limit, limit)
            image = _spectrogram(ax, values, transform, cmap=_DELTA_MAP, norm=norm)
        else:
            image = _spectrogram(ax, values, transform, **scale)
        _colour_bar(figure, image, ax, "change, dB" if row == 1 else "dB")
    ax.set_xlabel("seconds")
    return _png(figure)


def spectrogram_grid(
    spectrograms: Sequence[tuple[str, np.ndarray]], transform: MelTransform, *, columns: int = 2
) -> bytes:
    """Several log-mel spectrograms `(title, [frame, mel])`, on one colour scale.

    Raises:
        ValueError: where there is none.
    """
    if not spectrograms:
        raise ValueError("no spectrogram to draw")
    columns = min(columns, len(spectrograms))
    rows = -(-len(spectrograms) // columns)
    figure = _figure(height=0.5 + 1.75 * rows)
    scale = _sound_range(np.concatenate([values for _, values in spectrograms]))
    drawn = []
    for index, (title, values) in enumerate(spectrograms):
        ax = _axes(figure, title=title, place=(rows, columns, index + 1), title_size=9)
        image = _spectrogram(ax, values, transform, **scale)
        if index % columns:
            ax.set_ylabel("")
        if index + columns >= len(spectrograms):
            ax.set_xlabel("seconds")
        drawn.append(ax)
    _colour_bar(figure, image, drawn, "dB")
    return _png(figure)


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
    figure = _figure(height=4.9)
    ax = _axes(figure, title=title)
    size = float(np.clip(6000 / max(len(points), 1), 5, 34))
    of_label = np.array([name if name is not None else "" for name in labels], dtype=object)
    absent = np.array([name is None for name in labels], dtype=bool)
    other = np.isin(of_label, rest) & ~absent if rest else np.zeros(len(labels), dtype=bool)
    for mask, name, colour in ((absent, "no label", _LIGHT), (other, "other", "#aaaaaa")):
        if mask.any():
            text = f"{name} ({int(mask.sum()):,})"
            x, y = points[mask].T
            ax.scatter(x, y, s=0.7 * size, c=colour, lw=0, label=text)
    for index, name in enumerate(named):
        x, y = points[(of_label == name) & ~absent].T
        ax.scatter(
            x,
            y,
            s=size,
            c=COLOURS[index % len(COLOURS)],
            marker=MARKERS[index % len(MARKERS)],
            edgecolors="white",
            linewidths=0.4,
            alpha=0.9,
            label=f"{name} ({counts[name]:,})",
        )
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[["left", "bottom"]].set_color(_LIGHT)
    if len(labels):
        figure.legend(loc="outside right upper", fontsize=8, frameon=False, markerscale=1.3)
    return _png(figure)


def histogram(values: np.ndarray, xlabel: str, title: str) -> bytes:
    """How values are spread; values that are not finite are left out, and their number is told."""
    values = np.asarray(values, dtype=np.float64).ravel()
    finite = values[np.isfinite(values)]
    left_out = len(values) - len(finite)
    figure = _figure(height=2.9)
    ax = _axes(figure, title=title)
    if len(finite):
        bins = int(np.clip(np.sqrt(len(finite)) * 1.5, 8, 60))
        ax.hist(finite, bins=bins, color=COLOURS[0], edgecolor="white", linewidth=0.5)
        median = float(np.median(finite))
        ax.axvline(median, color=COLOURS[1], lw=1.2, ls="--", label=f"median {median:,.4g}")
        ax.legend(fontsize=8, frameon=False)
    ax.set_xlabel(xlabel + (f" ({left_out:,} without a value)" if left_out else ""))
    ax.set_ylabel("count")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    _grid(ax, "y")
    return _png(figure)


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
    figure = _figure(height=1.1 + 0.32 * max(len(names), 1))
    ax = _axes(figure, title=title)
    rows = np.arange(len(names))
    ax.barh(rows, values, color=COLOURS[0], height=0.62)
    for row, value, interval in zip(rows, values, given, strict=True):
        end = max(value, 0.0)
        if interval is not None:
            ax.plot(interval, [row, row], color=_INK, lw=1.3, marker="|", ms=7)
            end = max(end, interval[1])
        ax.annotate(
            f"{value:.3g}",
            (end, row),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=_INK,
        )
    ax.set_yticks(rows, names)
    ax.invert_yaxis()
    ax.margins(x=0.1)
    ax.set_xlabel(xlabel)
    ax.tick_params(axis="y", length=0)
    _grid(ax, "x")
    return _png(figure)


def _figure(*, height: float) -> Figure:
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _axes(
    figure: Figure, *, title: str, place: tuple[int, int, int] = (1, 1, 1), title_size: float = 10.5
) -> Axes:
    """Axes in the house's style: title on the left, no box, quiet ticks."""
    ax = figure.add_subplot(*place)
    ax.set_title(title, loc="left", fontsize=title_size, fontweight="bold", color=_INK)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(_GREY)
    ax.tick_params(labelsize=8.5, color=_GREY, labelcolor=_INK, length=3)
    ax.xaxis.label.set_fontsize(9)
    ax.yaxis.label.set_fontsize(9)
    ax.set_axisbelow(True)
    return ax


def _grid(ax: Axes, axis: str) -> None:
    ax.grid(axis=axis, color=_LIGHT, lw=0.6)  # type: ignore[arg-type]


def _column(curves: Sequence[Mapping], key: str) -> list[float]:
    """One column of the curves; epochs without a value are gaps."""
    return [float("nan") if entry.get(key) is None else float(entry[key]) for entry in curves]


def _sound_range(log_mel: np.ndarray) -> dict:
    """Colour scale of a spectrogram: the loudest 80 dB, less where there is less."""
    top = float(np.percentile(log_mel, 99.9))
    return {"cmap": _SOUND_MAP, "vmax": top, "vmin": max(float(log_mel.min()), top - 80.0) - 1e-3}


def _spectrogram(ax: Axes, values: np.ndarray, transform: MelTransform, **scale):
    """Draw `[frame, mel]` with seconds across and Hz up, mel bands equally high."""
    if values.ndim != 2 or values.shape[1] != transform.n_mels:
        raise ValueError(f"a spectrogram of shape {values.shape} for {transform.n_mels} mel bands")
    seconds = len(values) / transform.frames_per_second
    image = ax.imshow(
        values.T,
        origin="lower",
        aspect="auto",
        interpolation="antialiased",
        extent=(0, seconds, -0.5, transform.n_mels - 0.5),
        **scale,
    )
    centres = mel_frequencies(transform)
    ticks = [hertz for hertz in _HERTZ_TICKS if centres[0] <= hertz <= centres[-1]]
    names = [f"{hertz // 1000}k" if hertz >= 1000 else str(hertz) for hertz in ticks]
    ax.set_yticks(np.interp(ticks, centres, np.arange(len(centres))), names)
    ax.set_ylabel("Hz")
    return image


def _colour_bar(figure: Figure, image, ax, label: str) -> None:
    bar = figure.colorbar(image, ax=ax, fraction=0.03, pad=0.015)
    bar.set_label(label, fontsize=8.5)
    bar.ax.tick_params(labelsize=8, length=2)
    bar.outline.set_visible(False)


def _png(figure: Figure) -> bytes:
    """Render as a palette PNG: no metadata, and a third of the size of true colour."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    buffer = io.BytesIO()
    picture.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        buffer, format="PNG", optimize=True
    )
    return buffer.getvalue()
