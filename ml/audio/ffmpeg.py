"""Sound by FFmpeg: all that libsndfile does not take."""

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from typing import Any, BinaryIO

import av

from melgraph.ml.audio.errors import BadAudio
from melgraph.ml.audio.headers import asf_seconds, caf_seconds
from melgraph.ml.audio.source import Source

# What FFmpeg may take a file for. Without it, a playlist renamed to .mp3 would open other files.
_CONTAINERS = "mov,matroska,webm,ogg,mp3,flac,wav,w64,aiff,au,caf,aac,asf,wv"
# ... and those that state their length (elsewhere FFmpeg's duration is a guess from the bit rate).
_STATE_LENGTH = frozenset(
    ["mov", "matroska", "flac", "wav", "w64", "aiff", "au", "caf", "asf", "wv"]
)
_HOLE_S = 0.05  # time stamps further apart than the sound between them


def open_ffmpeg(file: BinaryIO, closing: ExitStack) -> Source:
    """Open a file by its content, and decode its first frame: only then its rate is certain.

    Args:
        file: the open file, at its beginning.
        closing: what is opened here is closed with it.

    Raises:
        BadAudio: undecodable (also when the pieces are read) or no-audio.
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
    """The file as FFmpeg gets it: without a name to guess from, and with seeks that may fail.

    A header can point before the beginning of the file: not an error of reading.
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
    """The frames of a stream, stepping over packets that do not decode, as players do."""

    def __init__(self, container: av.container.InputContainer, stream: Any) -> None:
        self._packets = container.demux(stream)
        self.damaged, self.last_error, self.hole = 0, "", False

    def frames(self) -> Iterator[av.AudioFrame]:
        sounded = False
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
                # sound after damage, and not what was still in the decoder at the end
                self.hole |= self.damaged > 0 and packet.size > 0
                sounded = True
                yield frame
        if self.damaged and not sounded:
            raise BadAudio("undecodable", f"none of it decodes: {self.last_error}")


def _pieces(frames: Iterator[av.AudioFrame], reader: _Reader, source: Source) -> Iterator:
    to_float = av.AudioResampler(format="flt")  # interleaved; rate and layout stay
    got, start, lost = 0, None, 0.0
    for frame in frames:
        if frame.time is not None:
            start = frame.time if start is None else start
            lost = frame.time - start - got / source.sample_rate  # seconds
        try:
            converted = to_float.resample(frame)
        except (av.error.FFmpegError, ValueError) as error:  # rate or channels change midway
            reader.damaged += 1
            reader.last_error = _first_line(error)
            continue
        for part in converted:
            piece = part.to_ndarray().reshape(-1, source.channels)
            got += len(piece)
            yield piece
    source.hole = reader.hole or lost > _HOLE_S
    if source.promised_s is None and lost > _HOLE_S:  # no header, but time stamps tell
        source.promised_s = got / source.sample_rate + lost
    if reader.damaged:
        last = reader.last_error
        source.notes.append(f"{reader.damaged} damaged packets left out (the last: {last})")


def _promise(container: av.container.InputContainer, stream: Any, file: BinaryIO) -> float | None:
    name = container.format.name.split(",")[0]
    if name not in _STATE_LENGTH:
        return None
    if name == "caf" and (stated := caf_seconds(file)) is not None:
        return stated  # FFmpeg shortens it to the size of the file
    if name == "asf":  # of which FFmpeg guesses one from the size, if it differs
        return asf_seconds(file)
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    alone = len(container.streams) == 1  # else the longest stream decides
    return container.duration / 1e6 if alone and container.duration else None


def _first_line(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).splitlines()[0]
