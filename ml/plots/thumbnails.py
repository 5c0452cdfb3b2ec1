"""Thumbnails of spectrograms, packed into sheets so that a page can show thousands of them."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from PIL import Image

WIDTH, HEIGHT = 96, 64  # pixels of a thumbnail
COLUMNS, ROWS = 8, 16  # of a sheet: 128 thumbnails, about 150 kB
_FRAMES_EACH = 16  # frames that are read for each column; of a long track, not all
_LOUDEST_DB = 80.0
_QUALITY = 60
_COLOURS = (colormaps["magma"](np.arange(256))[:, :3] * 255).round().astype(np.uint8)


def thumbnail(log_mel: np.ndarray) -> np.ndarray:
    """A whole track as a small picture of its loudest 80 dB, with time across and pitch up.

    Args:
        log_mel: float `[frame, mel]` in dB, at least one frame. It may be a memory map, of which
            only some frames are read.

    Returns:
        uint8 `[HEIGHT, WIDTH]`, 0 for the quietest.

    Raises:
        ValueError: there is no frame, or no band.
    """
    if log_mel.ndim != 2 or 0 in log_mel.shape:
        raise ValueError(f"a spectrogram of shape {log_mel.shape}")
    frames, bands = log_mel.shape
    places = np.arange(WIDTH * _FRAMES_EACH) * frames // (WIDTH * _FRAMES_EACH)
    values = np.asarray(log_mel[places], dtype=np.float64)
    values = values.reshape(WIDTH, _FRAMES_EACH, bands).mean(axis=1)
    heights = np.arange(HEIGHT) * bands // HEIGHT
    counts = np.maximum(np.diff(np.append(heights, bands)), 1)
    values = np.add.reduceat(values, heights, axis=1) / counts
    top = float(np.percentile(values, 99.9))
    bottom = max(float(values.min()), top - _LOUDEST_DB)
    shares = np.clip((values - bottom) / max(top - bottom, 1e-3), 0.0, 1.0)
    return np.ascontiguousarray((shares.T[::-1] * 255).round().astype(np.uint8))


def thumbnail_sheet(thumbnails: Sequence[np.ndarray]) -> bytes:
    """Packs thumbnails into one WebP picture, row by row, `COLUMNS` side by side.

    Args:
        thumbnails: uint8 `[HEIGHT, WIDTH]` each, 1 .. `COLUMNS * ROWS` of them.

    Raises:
        ValueError: there are no thumbnails, or too many.
    """
    if not 1 <= len(thumbnails) <= COLUMNS * ROWS:
        raise ValueError(f"{len(thumbnails)} thumbnails on a sheet of {COLUMNS * ROWS}")
    rows = -(-len(thumbnails) // COLUMNS)
    sheet = np.zeros((rows * HEIGHT, COLUMNS * WIDTH), dtype=np.uint8)
    for number, picture in enumerate(thumbnails):
        row, column = divmod(number, COLUMNS)
        sheet[row * HEIGHT : (row + 1) * HEIGHT, column * WIDTH : (column + 1) * WIDTH] = picture
    buffer = io.BytesIO()
    Image.fromarray(_COLOURS[sheet]).save(buffer, format="WEBP", quality=_QUALITY, method=4)
    return buffer.getvalue()
