"""The right reader for a file: libsndfile if it can, else FFmpeg, also from the middle on."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO

import numpy as np

from melgraph.ml.audio.errors import BadAudio
from melgraph.ml.audio.ffmpeg import open_ffmpeg
from melgraph.ml.audio.libsndfile import NotForLibsndfile, open_libsndfile
from melgraph.ml.audio.source import Source

_ALIKE = ("FLAC", "MP3")  # containers of which both decoders make the same samples


def open_source(file: BinaryIO, closing: ExitStack) -> Source:
    """Open a file by its content, whatever its name.

    What libsndfile refuses, FFmpeg gets from the start. Where libsndfile gives up later on a FLAC
    or mp3, FFmpeg goes on from the very sample: these the two decode alike, exactly and within
    1e-5 of full scale. A note tells of it. (Of a Vorbis they order the channels differently.)

    Args:
        file: the open, unbuffered file (libsndfile moves the descriptor's position); its name is
            that of a file of these bytes.
        closing: empty; the readers are closed with it, or before.

    Raises:
        BadAudio: undecodable or no-audio; damaged, when the pieces are read.
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
    source.pieces = _and_by_ffmpeg(source, source.pieces, file, closing)
    return source


def _and_by_ffmpeg(
    source: Source, pieces: Iterator[np.ndarray], file: BinaryIO, closing: ExitStack
) -> Iterator[np.ndarray]:
    got = 0
    try:
        for piece in pieces:
            yield piece
            got += len(piece)
    except NotForLibsndfile as why:
        at = f"{got / source.sample_rate:.2f} s"
        if source.container not in _ALIKE:
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
        yield from _behind(rest.pieces, got)
        source.notes += rest.notes
        source.hole |= rest.hole


def _behind(pieces: Iterator[np.ndarray], count: int) -> Iterator[np.ndarray]:
    """The pieces without the first `count` samples."""
    for piece in pieces:
        if count < len(piece):
            yield piece[count:]
        count = max(0, count - len(piece))
