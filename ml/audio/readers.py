"""Choose the reader of a file: libsndfile if possible, otherwise FFmpeg, even midway."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO

import numpy as np

from melgraph.ml.audio.bitstreams import without_bitstreams
from melgraph.ml.audio.containers import flac, ogg, pcm
from melgraph.ml.audio.containers.part import Part
from melgraph.ml.audio.containers.structure import encrypted_kind
from melgraph.ml.audio.ffmpeg import open_ffmpeg
from melgraph.ml.audio.joins import in_the_first_form
from melgraph.ml.audio.libsndfile import NotForLibsndfile, open_libsndfile
from melgraph.ml.audio.source import BadAudio, Source

_SAME_SAMPLES = ("FLAC", "MP3")  # containers for which both decoders give the same samples
_MOST_FILES = 10_000  # joined ones in a file


def open_source(file: BinaryIO, closing: ExitStack) -> Source:
    """Open a file by its content, whatever its name.

    If several Ogg streams, WAV or FLAC files follow one another in the file, all of them are read,
    as one sound in the form of the first.

    Args:
        file: the open, unbuffered file (libsndfile moves the descriptor's position).
        closing: an empty stack that closes the readers.

    Raises:
        BadAudio: encrypted, undecodable or no-audio; damaged or bitstream, while the pieces are
            read.
        OSError: reading failed.
    """
    whole = Part(file)
    if kind := encrypted_kind(whole):
        raise BadAudio("encrypted", f"the sound of this {kind} file is encrypted (DRM)")
    parts = joined_files(whole)
    source = _open_part(parts[0], closing)
    if len(parts) > 1:
        source = _joined(source, parts, closing)
    source.pieces = without_bitstreams(source.pieces, source.sample_rate * source.channels)
    return source


def joined_files(whole: Part) -> list[Part]:
    """The files that were joined in this one; the file itself if there is only one."""
    if ogg.is_ogg(whole):
        links = ogg.links(whole)
        return [link.part for link in links] if len(links) > 1 else [whole]
    parts = [whole]
    while len(parts) < _MOST_FILES and (stop := _next_file(parts[-1])) is not None:
        last = parts.pop()
        parts += [last.part(0, stop), last.part(stop)]
    return parts


def _next_file(part: Part) -> int | None:
    stop = pcm.next_file(part)
    return flac.next_file(part) if stop is None else stop


def _joined(first: Source, parts: list[Part], closing: ExitStack) -> Source:
    """The source of the first part, followed by the sound of all others."""

    def pieces() -> Iterator[tuple[np.ndarray, int]]:
        for piece in first_pieces:
            yield piece, first.sample_rate
        for number, part in enumerate(parts[1:], start=2):
            closing.close()
            try:
                following = _open_part(part, closing)
            except BadAudio as bad:
                first.notes.append(f"part {number} of {len(parts)} is left out: {bad.reason}")
                continue
            for piece in following.pieces:
                yield piece, following.sample_rate
            first.hole |= following.hole
            first.damaged |= following.damaged
            first.notes += [note for note in following.notes if note not in first.notes]
            if first.promised_s is not None and following.promised_s is not None:
                first.promised_s += following.promised_s

    first_pieces = first.pieces
    first.notes.insert(0, f"{len(parts)} files, one behind the other")
    first.pieces = in_the_first_form(pieces(), first.sample_rate, first.channels, first.notes)
    return first


def _open_part(part: Part, closing: ExitStack) -> Source:
    """Open one file, or one part of a file.

    If libsndfile refuses the file, FFmpeg reads all of it. If libsndfile fails midway in a FLAC or
    mp3 file, FFmpeg continues from that sample, because both decode these formats alike: FLAC
    exactly, mp3 within 1e-5 of full scale. A note is added. Vorbis is not continued this way, as
    the two order its channels differently.
    """
    part, correction = pcm.with_all_sound(part)
    try:
        source = open_libsndfile(part, closing)
        source.pieces = _with_fallback(source, source.pieces, part, closing)
    except NotForLibsndfile as why:
        closing.close()
        source = open_ffmpeg(part, closing)
        if str(why):
            source.notes.insert(0, f"libsndfile failed ({why})")
    if correction is not None:
        source.notes.insert(0, correction)
    return source


def _with_fallback(
    source: Source, pieces: Iterator[np.ndarray], part: Part, closing: ExitStack
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
        rest = open_ffmpeg(part, closing)
        if (rest.sample_rate, rest.channels) != (source.sample_rate, source.channels):
            raise BadAudio(
                "damaged", f"libsndfile failed after {at} ({why}), FFmpeg differs"
            ) from why
        if str(why):
            source.notes.append(f"libsndfile failed after {at} ({why}), FFmpeg read on")
        yield from _skip(rest.pieces, n_samples)
        source.notes += rest.notes
        source.hole |= rest.hole
        source.damaged |= rest.damaged


def _skip(pieces: Iterator[np.ndarray], count: int) -> Iterator[np.ndarray]:
    """The pieces without the first `count` samples."""
    for piece in pieces:
        if count < len(piece):
            yield piece[count:]
        count = max(0, count - len(piece))
