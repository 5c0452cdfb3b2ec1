"""Charts of sounds: log-mel spectrograms, alone, edited, and side by side."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm

from melgraph.ml.plots.style import add_axes, colour_bar, new_figure, png
from melgraph.ml.spectral import MelTransform, mel_frequencies

if TYPE_CHECKING:
    from melgraph.ml.generation.views import View

# Few colours halve the bytes, and all of them fit into the palette. An odd number has white at 0.
_SOUND_MAP, _DELTA_MAP = colormaps["magma"].resampled(32), colormaps["RdBu_r"].resampled(25)
_HERTZ_TICKS = (100, 200, 500, 1000, 2000, 5000, 10000, 20000)
_COLUMNS = 350  # of a chart of full width: two pixels for each, which PNG compresses well


def mel_spectrogram(log_mel: np.ndarray, transform: MelTransform, title: str) -> bytes:
    """A log-mel spectrogram `[frame, mel]` in dB, with axes in seconds and Hz."""
    figure = new_figure(height=2.9)
    ax = add_axes(figure, title=title)
    image = _spectrogram(ax, log_mel, transform, **_sound_range(log_mel))
    ax.set_xlabel("seconds")
    colour_bar(figure, image, ax, "dB")
    return png(figure)


def spectrogram_triptych(
    before: np.ndarray,
    delta: np.ndarray,
    after: np.ndarray,
    transform: "MelTransform | View",
    titles: Sequence[str] = ("before", "edit", "after"),
    units: Sequence[str] = ("change, dB",),
) -> bytes:
    """Spectrograms before and after an edit on one colour scale, and between them the edit.

    Args:
        before: float `[frame, row]`, dB.
        delta: float `[frame, row]`, or `[frame, row, plane]` if it has several planes; 0 is white.
        after: float `[frame, row]`, dB.
        transform: of the spectrograms, or the view that they are pictures of.
        titles: of the panels: before, each plane of the edit, after.
        units: of each plane of the edit.
    """
    planes = delta[:, :, None] if delta.ndim == 2 else delta
    panels = [before, *(planes[:, :, number] for number in range(len(units))), after]
    figure = new_figure(height=2.1 * len(panels))
    scale = _sound_range(np.concatenate([before, after]))
    for row, (values, title) in enumerate(zip(panels, titles, strict=True)):
        ax = add_axes(figure, title=title, place=(len(panels), 1, row + 1))
        if 0 < row <= len(units):
            limit = max(float(np.abs(values).max()), 1e-3)
            norm = TwoSlopeNorm(0.0, -limit, limit)
            image = _spectrogram(ax, values, transform, cmap=_DELTA_MAP, norm=norm)
            colour_bar(figure, image, ax, units[row - 1])
        else:
            image = _spectrogram(ax, values, transform, **scale)
            colour_bar(figure, image, ax, "dB")
    ax.set_xlabel("seconds")
    return png(figure)


def spectrogram_grid(
    spectrograms: Sequence[tuple[str, np.ndarray]], transform: MelTransform, *, columns: int = 2
) -> bytes:
    """Several log-mel spectrograms on one colour scale.

    >>> noise = np.random.default_rng(0).normal(-40, 10, (90, 128))
    >>> spectrogram_grid([("noise", noise), ("louder", noise + 20)], MelTransform())[:4]
    b'\\x89PNG'

    Args:
        spectrograms: (title, `[frame, mel]` in dB) of each.
        transform: of the spectrograms.
        columns: number of panels side by side.

    Raises:
        ValueError: there is no spectrogram.
    """
    if not spectrograms:
        raise ValueError("no spectrogram to draw")
    columns = min(columns, len(spectrograms))
    rows = -(-len(spectrograms) // columns)
    figure = new_figure(height=0.5 + 1.75 * rows)
    scale = _sound_range(np.concatenate([values for _, values in spectrograms]))
    panels = []
    for index, (title, values) in enumerate(spectrograms):
        ax = add_axes(figure, title=title, place=(rows, columns, index + 1), title_size=9)
        image = _spectrogram(ax, values, transform, panels=columns, **scale)
        if index % columns:
            ax.set_ylabel("")
        if index + columns >= len(spectrograms):
            ax.set_xlabel("seconds")
        panels.append(ax)
    colour_bar(figure, image, panels, "dB")
    return png(figure)


def sound_comparison(
    columns: Sequence[tuple[str, np.ndarray, np.ndarray] | None], transform: MelTransform
) -> bytes:
    """Sounds side by side: log-mel spectrogram above, MFCC below, each row on one colour scale.

    >>> noise = np.random.default_rng(0).normal(-40, 10, (90, 128))
    >>> sound_comparison([("noise", noise, noise[:, :20]), None], MelTransform())[:4]
    b'\\x89PNG'

    Args:
        columns: (title, `[frame, mel]` in dB, `[frame, coefficient]`) of each sound; None leaves a
            place empty.
        transform: of the spectrograms.
    """
    sounds = [column for column in columns if column is not None]
    figure = new_figure(height=4.2)
    scale = _sound_range(np.concatenate([mel for _, mel, _ in sounds]))
    coefficients = np.concatenate([mfcc[:, 1:] for _, _, mfcc in sounds]).astype(np.float64)
    limit = max(float(np.percentile(np.abs(coefficients), 99)), 1e-3)
    n = len(columns)
    for index, column in enumerate(columns):
        if column is None:
            continue
        title, mel, mfcc = column
        ax = add_axes(figure, title=title, place=(2, n, index + 1), title_size=8)
        _spectrogram(ax, mel, transform, panels=n, **scale)
        below = add_axes(figure, title="", place=(2, n, n + index + 1))
        below.imshow(
            average_frames(mfcc[:, 1:], most=_COLUMNS // n).T,
            origin="lower",
            aspect="auto",
            interpolation="nearest",
            extent=(0, len(mfcc) / transform.frames_per_second, 0.5, mfcc.shape[1] - 0.5),
            cmap=_DELTA_MAP,
            norm=TwoSlopeNorm(0.0, -limit, limit),
        )
        below.set_xlabel("seconds")
        below.set_ylabel("MFCC" if index == 0 else "")
        if index:
            ax.set_ylabel("")
    return png(figure)


def _sound_range(log_mel: np.ndarray) -> dict:
    """Colour scale of a spectrogram: the loudest 80 dB, or less if it has a smaller range."""
    top = float(np.percentile(log_mel, 99.9))
    return {"cmap": _SOUND_MAP, "vmax": top, "vmin": max(float(log_mel.min()), top - 80.0) - 1e-3}


def _spectrogram(
    ax: Axes, values: np.ndarray, transform: "MelTransform | View", *, panels: int = 1, **scale
):
    """Draws `[frame, row]` with axes in seconds and Hz, and rows (mel bands) of equal height.

    `panels` is the number of panels that share the width of the chart.
    """
    if isinstance(transform, MelTransform):
        centres = mel_frequencies(transform)
    else:
        centres = transform.frequencies
    if values.ndim != 2 or values.shape[1] != len(centres):
        raise ValueError(f"a spectrogram of shape {values.shape} for {len(centres)} rows")
    seconds = len(values) / transform.frames_per_second
    image = ax.imshow(
        average_frames(values, most=_COLUMNS // panels).T,
        origin="lower",
        aspect="auto",
        interpolation="nearest",  # no column is lost, as there are fewer columns than pixels
        extent=(0, seconds, -0.5, len(centres) - 0.5),
        **scale,
    )
    ticks = readable_ticks(centres)
    names = [f"{hertz // 1000}k" if hertz >= 1000 else str(hertz) for hertz in ticks]
    ax.set_yticks(np.interp(ticks, centres, np.arange(len(centres))), names)
    ax.set_ylabel("Hz")
    return image


def average_frames(values: np.ndarray, *, most: int) -> np.ndarray:
    """Averages stretches of frames of nearly equal length, to `most` rows at most."""
    if len(values) <= most:
        return values
    starts = np.arange(most) * len(values) // most
    lengths = np.diff(np.append(starts, len(values)))
    return np.add.reduceat(values.astype(np.float64), starts, axis=0) / lengths[:, None]


def readable_ticks(centres: np.ndarray) -> list[int]:
    """Round frequencies in Hz within the mel bands, from high to low, with space between them."""
    ticks: list[int] = []
    last_position = np.inf
    for hertz in reversed(_HERTZ_TICKS):
        position = float(np.interp(hertz, centres, np.arange(len(centres))))
        if centres[0] <= hertz <= centres[-1] and last_position - position >= len(centres) / 12:
            ticks.append(hertz)
            last_position = position
    return ticks
