"""Read an audio file with FFmpeg, for every format that libsndfile does not read."""

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from typing import Any, BinaryIO

import av

from melgraph.ml.audio.headers import asf_seconds, caf_seconds
from melgraph.ml.audio.source import BadAudio, Source

# The only formats that FFmpeg may detect. Otherwise a playlist renamed to .mp3 could open other
# files.
_CONTAINERS = "mov,matroska,webm,ogg,mp3,flac,wav,w64,aiff,au,caf,aac,asf,wv"
# Those that state their length. For the others, FFmpeg estimates the duration from the bit rate.
_STATE_LENGTH = frozenset(
    ["mov", "matroska", "flac", "wav", "w64", "aiff", "au", "caf", "asf", "wv"]
)
_HOLE_S = 0.05  # seconds that time stamps may run ahead of the decoded samples


def open_ffmpeg(file: BinaryIO, closing: ExitStack) -> Source:
    """Open a file by its content and decode its first frame, which alone states the true rate.

    Args:
        file: the open file, at its beginning.
        closing: closes everything that is opened here.

    Raises:
        BadAudio: no-audio, or undecodable. The latter may be raised while the pieces are read.
    """
    try:
        options = {"format_whitelist": _CONTAINERS}
        container = closing.enter_context(
            av.open(_Nameless(file), mode="r", metadata_errors="replace", options=options)
        )
    except (av.error.FFmpegError, ValueError) as error:
        reason = f"no decoder takes it for audio ({_first_line(error)})"
        raise BadAudio("undecodable", reason) from error
    if not container.streams.audio:
        raise BadAudio("no-audio", f"{container.format.long_name}, without an audio stream")
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise BadAudio("undecodable", f"{container.format.long_name}, of an unknown codec")
    stream.codec_context.thread_count = 1
    reader = _Reader(container, stream)
    frames = reader.frames()
    first = next(frames, None)
    source = Source(
        iter(()),
        first.sample_rate if first else stream.sample_rate or 0,
        first.layout.nb_channels if first else stream.codec_context.channels,
        codec=stream.codec_context.name.removesuffix("float").upper(),
        container=container.format.name.split(",")[0].upper(),
        promised_s=_promise(container, stream, file),
    )
    if len(container.streams.audio) > 1:
        source.notes.append(f"the first of {len(container.streams.audio)} audio streams")
    source.pieces = _pieces(chain([first] if first else [], frames), reader, source)
    return source


class _Nameless:
    """The file without its name, so that FFmpeg cannot guess a format from the suffix.

    A broken header can make FFmpeg seek before the beginning of the file. `seek` then reports a
    failure to FFmpeg instead of raising, as the file itself is readable.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.read, self.tell, self.seekable = file.read, file.tell, file.seekable

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOVERFLOW):
                raise
            return -1


class _Reader:
    """The frames of a stream. Packets that do not decode are skipped, as players do."""

    def __init__(self, container: av.container.InputContainer, stream: Any) -> None:
        self._packets = container.demux(stream)
        self.damaged, self.last_error, self.hole = 0, "", False

    def frames(self) -> Iterator[av.AudioFrame]:
        any_frame = False
        while True:
            try:
                packet = next(self._packets, None)
                if packet is None:
                    break
                frames = packet.decode()
            except (av.error.FFmpegError, ValueError) as error:
                self.damaged += 1
                self.last_error = _first_line(error)
                continue
            for frame in frames:
                # The empty packet at the end flushes the decoder: those frames precede the damage.
                self.hole |= self.damaged > 0 and packet.size > 0
                any_frame = True
                yield frame
        if self.damaged and not any_frame:
            raise BadAudio("undecodable", f"none of it decodes: {self.last_error}")


def _pieces(frames: Iterator[av.AudioFrame], reader: _Reader, source: Source) -> Iterator:
    to_float = av.AudioResampler(format="flt")  # interleaved float32; same rate and channels
    n_samples, start, lost = 0, None, 0.0
    for frame in frames:
        if frame.time is not None:
            start = frame.time if start is None else start
            lost = frame.time - start - n_samples / source.sample_rate  # seconds
        try:
            converted = to_float.resample(frame)
        except (av.error.FFmpegError, ValueError) as error:  # rate or channels change midway
            reader.damaged += 1
            reader.last_error = _first_line(error)
            continue
        for part in converted:
            piece = part.to_ndarray().reshape(-1, source.channels)
            n_samples += len(piece)
            yield piece
    source.hole = reader.hole or lost > _HOLE_S
    if source.promised_s is None and lost > _HOLE_S:  # the time stamps state it
        source.promised_s = n_samples / source.sample_rate + lost
    if reader.damaged:
        last = reader.last_error
        source.notes.append(f"{reader.damaged} damaged packets left out (the last: {last})")


def _promise(container: av.container.InputContainer, stream: Any, file: BinaryIO) -> float | None:
    """The length that the header states, seconds; None if it states none."""
    name = container.format.name.split(",")[0]
    if name not in _STATE_LENGTH:
        return None
    if name == "caf" and (stated := caf_seconds(file)) is not None:
        return stated  # FFmpeg would limit it to what fits into the file's size
    if name == "asf":  # FFmpeg replaces a length that contradicts the file's size
        return asf_seconds(file)
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    alone = len(container.streams) == 1  # otherwise this is the length of the longest stream
    return container.duration / 1e6 if alone and container.duration else None


def _first_line(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).splitlines()[0]
