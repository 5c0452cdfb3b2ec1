"""Sound of several sample rates or channel counts in one file, as one sound of the first form."""

from collections.abc import Iterable, Iterator

import numpy as np

from melgraph.ml.audio.signal import Resampler, to_mono


def in_the_first_form(
    pieces: Iterable[tuple[np.ndarray, int]], rate: int, channels: int, notes: list[str]
) -> Iterator[np.ndarray]:
    """The pieces of a file at one sample rate and with one number of channels.

    Podcasts and recordings of radio change both between parts. Pieces of another form are
    resampled; if their number of channels differs, every channel becomes the mean of theirs.

    Args:
        pieces: float32 `[sample, channel]`, and its rate in Hz.
        rate: of the result, Hz.
        channels: of the result.
        notes: receives one sentence at the end, if the form ever changed.
    """
    form, changes, n_samples = (rate, channels), 0, 0
    first_change = ""
    resampler: Resampler | None = None
    for piece, piece_rate in pieces:
        if (piece_rate, piece.shape[1]) != form:
            if resampler is not None:
                yield resampler.push(np.empty((0, channels), np.float32), last=True)
            form = (piece_rate, piece.shape[1])
            resampler = None if piece_rate == rate else Resampler(piece_rate, rate, channels)
            changes += 1
            first_change = first_change or f"at {n_samples / rate:.2f} s to {_form(*form)}"
        if piece.shape[1] != channels:
            piece = np.repeat(to_mono(piece)[:, np.newaxis], channels, axis=1)
        if resampler is not None:
            piece = resampler.push(piece)
        n_samples += len(piece)
        yield piece
    if resampler is not None:
        yield resampler.push(np.empty((0, channels), np.float32), last=True)
    if changes:
        times = "" if changes == 1 else f" {changes} times, first"
        notes.append(
            f"the sound changes{times} {first_change}: resampled to {_form(rate, channels)} "
            "as at the beginning"
        )


def _form(rate: int, channels: int) -> str:
    return f"{rate} Hz and {channels} channel{'s' if channels != 1 else ''}"
