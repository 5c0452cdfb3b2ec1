"""Sound by libsndfile: fast, exact, and picky."""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from typing import BinaryIO

import numpy as np
import soundfile as sf

from melgraph.ml.audio.headers import mp3_goes_on, mp3_states_length, ogg_is_chained
from melgraph.ml.audio.source import Source

_PIECE = 65536  # samples read at once: a header that lies about the length claims no memory
_UNKNOWN_LENGTH = 1 << 60  # libsndfile's length of a FLAC that states none is beyond this
_UNKNOWN = (1, 4)  # error codes: format not recognised, encoding not supported
_UNREAD = 65536  # bytes behind the end of a FLAC that are no tag, and so more sound


class NotForLibsndfile(Exception):
    """Leave it to FFmpeg; the message, if any, is worth a warning should FFmpeg succeed."""


class _Forward(sf.SoundFile):
    """Read on without the seek that soundfile makes after each read.

    In an Ogg with a hole that seek jumps back: what follows the hole would be heard twice.
    """

    def seekable(self) -> bool:
        return False


def open_libsndfile(file: BinaryIO, closing: ExitStack) -> Source:
    """Open a file by its content, and read its first piece.

    Args:
        file: the open file, at its beginning; its name is that of a file of these bytes.
        closing: what is opened here is closed with it.

    Raises:
        NotForLibsndfile: now, or when the pieces are read.
    """
    try:
        # by descriptor: no name, so no guess from a suffix, and no trouble with its encoding
        sound = closing.enter_context(_Forward(file.fileno(), closefd=False))
    except sf.LibsndfileError as error:
        raise _refused(error) from error
    if sound.format == "MP3" and not mp3_states_length(file.name):
        raise NotForLibsndfile  # which stops at its guess of the length
    if sound.format == "MP3" and mp3_goes_on(file):
        raise NotForLibsndfile("sound follows where the header says that it ends")
    if sound.format == "OGG" and ogg_is_chained(file):
        raise NotForLibsndfile("several streams, one after another")
    if sound.subtype == "OPUS":
        raise NotForLibsndfile  # which leaves the encoder's delay in, and takes three times as long
    if sound.frames > _UNKNOWN_LENGTH:
        raise NotForLibsndfile  # which cannot read a FLAC from a pipe to its end
    source = Source(
        iter(()),
        sound.samplerate,
        sound.channels,
        codec=_codec(sound),
        container=sound.format,
        promised_s=_promise(sound),
    )
    pieces = _pieces(sound, file, source)
    source.pieces = chain([first] if (first := next(pieces, None)) is not None else [], pieces)
    return source


def _pieces(sound: sf.SoundFile, file: BinaryIO, source: Source) -> Iterator[np.ndarray]:
    size = min(_PIECE, (1 << 20) // sound.channels)
    got = 0
    try:
        while len(piece := sound.read(size, dtype="float32", always_2d=True)):
            got += len(piece)
            yield piece
    except sf.LibsndfileError as error:
        raise _refused(error) from error
    if sound.format == "FLAC" and _unread(file) > _UNREAD:
        raise NotForLibsndfile  # which stops where the header says, with sound to come
    # an Ogg's length is that of its last page: what lacks is not the end
    source.hole = sound.format == "OGG" and got < sound.frames


def _refused(error: sf.LibsndfileError) -> NotForLibsndfile:
    unknown = error.code in _UNKNOWN  # nothing to wonder about
    reason = error.error_string.strip() or f"its error {error.code}"
    return NotForLibsndfile("" if unknown else reason)


def _unread(file: BinaryIO) -> int:
    """Bytes behind the place where libsndfile stopped reading."""
    return os.fstat(file.fileno()).st_size - os.lseek(file.fileno(), 0, os.SEEK_CUR)


def _codec(sound: sf.SoundFile) -> str:
    if sound.format == "MP3":
        return "MP3"
    return sound.subtype if sound.format == "OGG" else f"{sound.format}/{sound.subtype}"


def _promise(sound: sf.SoundFile) -> float:
    """What the header says, seconds. libsndfile corrects it to the file's size, but logs that."""
    promised = sound.frames / sound.samplerate
    stated = re.search(r"does not match value from 'ds64' chunk of (\d+)", sound.extra_info)
    if stated:
        return int(stated[1]) / sound.samplerate
    cut = re.search(
        r"^\s*(?:data|SSND|Data Size|riff)\s*: (\d+) \(should be (\d+)\)", sound.extra_info, re.M
    )
    if cut and int(cut[1]) < 0x7FFF0000 and int(cut[2]) > 0:  # beyond: 'unknown', from a pipe
        promised *= int(cut[1]) / int(cut[2])
    return promised
