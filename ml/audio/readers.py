"""Choose the reader of a file: libsndfile if possible, otherwise FFmpeg, even midway."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO

import numpy as np

from melgraph.ml.audio.ffmpeg import open_ffmpeg
from melgraph.ml.audio.libsndfile import NotForLibsndfile, open_libsndfile
from melgraph.ml.audio.source import BadAudio, Source

_SAME_SAMPLES = ("FLAC", "MP3")  # containers for which both decoders give the same samples


def open_source(file: BinaryIO, closing: ExitStack) -> Source:
    """Open a file by its content, whatever its name.

    If libsndfile refuses the file, FFmpeg reads all of it. If libsndfile fails midway in a FLAC or
    mp3 file, FFmpeg continues from that sample, because both decode these formats alike: FLAC
    exactly, mp3 within 1e-5 of full scale. A note is added. Vorbis is not continued this way, as
    the two order its channels differently.

    Args:
        file: the open, unbuffered file (libsndfile moves the descriptor's position). Its name must
            lead to the same bytes.
        closing: an empty stack that closes the readers.

    Raises:
        BadAudio: undecodable or no-audio; damaged, while the pieces are read.
        OSError: reading failed.
    """
    file.seek(0)
    try:
        source = open_libsndfile(file, closing)
    except NotForLibsndfile as why:
        closing.close()
        file.seek(0)
        source = open_ffmpeg(file, closing)
        if str(why):
            source.notes.insert(0, f"libsndfile failed ({why})")
        return source
    source.pieces = _with_fallback(source, source.pieces, file, closing)
    return source


def _with_fallback(
    source: Source, pieces: Iterator[np.ndarray], file: BinaryIO, closing: ExitStack
) -> Iterator[np.ndarray]:
    """The pieces of libsndfile; if it fails midway, FFmpeg's pieces from there on."""
    n_samples = 0
    try:
        for piece in pieces:
            yield piece
            n_samples += len(piece)
    except NotForLibsndfile as why:
        at = f"{n_samples / source.sample_rate:.2f} s"
        if source.container not in _SAME_SAMPLES:
            raise BadAudio("damaged", f"libsndfile failed after {at} ({why})") from why
        closing.close()
        file.seek(0)
        rest = open_ffmpeg(file, closing)
        if (rest.sample_rate, rest.channels) != (source.sample_rate, source.channels):
            raise BadAudio(
                "damaged", f"libsndfile failed after {at} ({why}), FFmpeg differs"
            ) from why
        if str(why):
            source.notes.append(f"libsndfile failed after {at} ({why}), FFmpeg read on")
        yield from _skip(rest.pieces, n_samples)
        source.notes += rest.notes
        source.hole |= rest.hole


def _skip(pieces: Iterator[np.ndarray], count: int) -> Iterator[np.ndarray]:
    """The pieces without the first `count` samples."""
    for piece in pieces:
        if count < len(piece):
            yield piece[count:]
        count = max(0, count - len(piece))
