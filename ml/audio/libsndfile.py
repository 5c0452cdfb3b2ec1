"""Read an audio file with libsndfile: fast and exact, but strict about what it accepts."""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain

import numpy as np
import soundfile as sf

from melgraph.ml.audio.containers import flac, mpeg, ogg
from melgraph.ml.audio.containers.part import Part
from melgraph.ml.audio.source import Source

_PIECE = 65536  # samples read at once, so a header with a wrong length reserves no memory
_UNKNOWN_LENGTH = 1 << 60  # libsndfile reports more samples for a FLAC that states no length
_UNKNOWN = (1, 4)  # error codes: format not recognised, encoding not supported
_UNREAD = 65536  # more bytes behind the end of a FLAC are not metadata, but more audio


class NotForLibsndfile(Exception):
    """FFmpeg must read this file.

    A message, if there is one, becomes a warning if FFmpeg succeeds.
    """


class _Forward(sf.SoundFile):
    """Reads forward only, without the seek that soundfile makes after each read.

    In an Ogg file with a hole that seek jumps back, and the audio after the hole is read twice.
    """

    def seekable(self) -> bool:
        return False


def open_libsndfile(part: Part, closing: ExitStack) -> Source:
    """Open a file by its content and read its first piece.

    Args:
        part: the file, or a part of it.
        closing: closes everything that is opened here.

    Raises:
        NotForLibsndfile: FFmpeg must read the file. May be raised while the pieces are read.
    """
    if ogg.holds_flac_or_speex(part):
        raise NotForLibsndfile
    try:
        # Opened by descriptor: a name could mislead by its suffix or have an unusual encoding.
        if part.descriptor is not None:
            os.lseek(part.descriptor, 0, os.SEEK_SET)
            sound = closing.enter_context(_Forward(part.descriptor, closefd=False))
        else:
            part.seek(0)
            sound = closing.enter_context(_Forward(part))
    except sf.LibsndfileError as error:
        raise _refused(error) from error
    if sound.format == "MP3" and not mpeg.states_length(part):
        raise NotForLibsndfile  # libsndfile estimates the length and stops there
    if sound.format == "MP3" and mpeg.goes_on(part):
        raise NotForLibsndfile("sound follows where the header says that it ends")
    if sound.subtype == "OPUS":
        raise NotForLibsndfile  # libsndfile keeps the encoder's delay and is three times as slow
    if sound.frames > _UNKNOWN_LENGTH:
        raise NotForLibsndfile  # libsndfile does not read a FLAC without a length to its end
    source = Source(
        iter(()),
        sound.samplerate,
        sound.channels,
        codec=_codec(sound),
        container=sound.format,
        promised_s=_promise(sound),
    )
    pieces = _pieces(sound, part, source)
    source.pieces = chain([first] if (first := next(pieces, None)) is not None else [], pieces)
    return source


def _pieces(sound: sf.SoundFile, part: Part, source: Source) -> Iterator[np.ndarray]:
    size = min(_PIECE, (1 << 20) // sound.channels)
    n_samples = 0
    try:
        while len(piece := sound.read(size, dtype="float32", always_2d=True)):
            n_samples += len(piece)
            yield piece
    except sf.LibsndfileError as error:
        raise _refused(error) from error
    if sound.format == "FLAC" and (_unread(part) > _UNREAD or flac.goes_on(part, sound.frames)):
        raise NotForLibsndfile  # libsndfile stopped at the length in the header; more follows
    # The length of an Ogg file is read from its last page, so missing samples lie before the end.
    source.hole = sound.format == "OGG" and n_samples < sound.frames


def _refused(error: sf.LibsndfileError) -> NotForLibsndfile:
    unknown = error.code in _UNKNOWN  # no reason to warn: libsndfile does not know the format
    reason = error.error_string.strip() or f"its error {error.code}"
    return NotForLibsndfile("" if unknown else reason)


def _unread(part: Part) -> int:
    """Bytes after the position where libsndfile stopped reading."""
    if part.descriptor is None:
        return part.size - part.tell()
    return part.size - os.lseek(part.descriptor, 0, os.SEEK_CUR)


def _codec(sound: sf.SoundFile) -> str:
    if sound.format == "MP3":
        return "MP3"
    return sound.subtype if sound.format == "OGG" else f"{sound.format}/{sound.subtype}"


def _promise(sound: sf.SoundFile) -> float:
    """The length that the header states, seconds.

    libsndfile limits the length to what the file's size allows, but logs the stated one.
    """
    promised = sound.frames / sound.samplerate
    stated = re.search(r"does not match value from 'ds64' chunk of (\d+)", sound.extra_info)
    if stated:
        return int(stated[1]) / sound.samplerate
    cut = re.search(
        r"^\s*(?:data|SSND|Data Size|riff)\s*: (\d+) \(should be (\d+)\)", sound.extra_info, re.M
    )
    if cut and int(cut[1]) < 0x7FFF0000 and int(cut[2]) > 0:  # larger values: unknown length
        promised *= int(cut[1]) / int(cut[2])
    return promised
