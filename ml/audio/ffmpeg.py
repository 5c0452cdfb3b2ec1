"""Read an audio file with FFmpeg, for every format that libsndfile does not read."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from typing import Any

import av
import numpy as np

from melgraph.ml.audio.containers import asf, caf, ogg
from melgraph.ml.audio.containers.part import Part, after_id3
from melgraph.ml.audio.joins import in_the_first_form
from melgraph.ml.audio.source import BadAudio, Source

# The only formats that FFmpeg may detect. Otherwise a playlist renamed to .mp3 could open other
# files.
CONTAINERS = "mov,matroska,webm,ogg,mp3,flac,wav,w64,aiff,au,caf,aac,asf,wv"
# Those that state their length. For the others, FFmpeg estimates the duration from the bit rate.
_STATE_LENGTH = frozenset(
    ["mov", "matroska", "flac", "wav", "w64", "aiff", "au", "caf", "asf", "wv"]
)
_HOLE_S = 0.05  # seconds that time stamps may run ahead of the decoded samples


def open_ffmpeg(part: Part, closing: ExitStack) -> Source:
    """Open a file by its content and decode its first frame, which alone states the true rate.

    Sound whose rate or number of channels changes is brought to the form of the first frame.

    Args:
        part: the file, or a part of it.
        closing: closes everything that is opened here.

    Raises:
        BadAudio: no-audio, or undecodable. The latter may be raised while the pieces are read.
    """
    container = open_container(part, closing)
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
        first[1] if first else stream.sample_rate or 0,
        first[0].layout.nb_channels if first else stream.codec_context.channels,
        codec=stream.codec_context.name.removesuffix("float").upper(),
        container=container.format.name.split(",")[0].upper(),
        promised_s=_promise(container, stream, part),
    )
    if len(container.streams.audio) > 1:
        source.notes.append(f"the first of {len(container.streams.audio)} audio streams")
    clock = _Clock(_joined_s(part, source.sample_rate))
    source.pieces = _pieces(chain([first] if first else [], frames), reader, source, clock)
    return source


def open_container(part: Part, closing: ExitStack) -> av.container.InputContainer:
    """Open a file by its content, as one of the formats that are known here.

    Args:
        part: the file, or a part of it. Positions of packets count from behind its ID3v2 tags.
        closing: closes the container.

    Raises:
        BadAudio: undecodable, if FFmpeg recognises no such format.
    """
    part = after_id3(part)  # FFmpeg recognises no format behind a tag of a megabyte
    part.seek(0)
    try:
        options = {"format_whitelist": CONTAINERS}
        return closing.enter_context(
            av.open(part, mode="r", metadata_errors="replace", options=options)
        )
    except (av.error.FFmpegError, ValueError) as error:
        reason = f"no decoder takes it for audio ({_first_line(error)})"
        raise BadAudio("undecodable", reason) from error


_Frame = tuple[av.AudioFrame, int]  # and its true sample rate, Hz


class _Reader:
    """The frames of a stream. Packets that do not decode are skipped, as players do."""

    def __init__(self, container: av.container.InputContainer, stream: Any) -> None:
        self._packets = container.demux(stream)
        self.damaged, self.last_error, self.hole = 0, "", False
        # The frames of MPEG layers I to III carry the sample rate of the frame before them.
        self._rate_is_late = stream.codec_context.name.startswith(("mp1", "mp2", "mp3"))

    def frames(self) -> Iterator[_Frame]:
        """Every frame that decodes."""
        waiting = None
        for frame in self._decoded():
            if not self._rate_is_late:
                yield frame, frame.sample_rate
                continue
            if waiting is not None:
                yield waiting, frame.sample_rate
            waiting = frame
        if waiting is not None:
            yield waiting, waiting.sample_rate

    def _decoded(self) -> Iterator[av.AudioFrame]:
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


def _pieces(
    frames: Iterator[_Frame], reader: _Reader, source: Source, clock: "_Clock"
) -> Iterator[np.ndarray]:
    converted = _converted(frames, reader, clock)
    yield from in_the_first_form(converted, source.sample_rate, source.channels, source.notes)
    lost = clock.lost
    source.hole = reader.hole or lost > _HOLE_S
    source.damaged = reader.damaged > 0
    if source.promised_s is None and lost > _HOLE_S:  # the time stamps state it
        source.promised_s = clock.decoded + lost
    if reader.damaged:
        last = reader.last_error
        source.notes.append(f"{reader.damaged} damaged packets left out (the last: {last})")


def _converted(
    frames: Iterator[_Frame], reader: _Reader, clock: "_Clock"
) -> Iterator[tuple[np.ndarray, int]]:
    """The samples of each frame, float32 `[sample, channel]`, and its rate in Hz."""
    to_float, form = av.AudioResampler(format="flt"), None
    for frame, rate in frames:
        clock.see(frame)
        if (frame.format.name, frame.layout.name, frame.sample_rate) != form:
            form = (frame.format.name, frame.layout.name, frame.sample_rate)
            to_float = av.AudioResampler(format="flt")  # interleaved; same rate and channels
        try:
            parts = to_float.resample(frame)
        except (av.error.FFmpegError, ValueError) as error:
            reader.damaged += 1
            reader.last_error = _first_line(error)
            continue
        for part in parts:
            clock.decoded += part.samples / rate
            yield part.to_ndarray().reshape(-1, part.layout.nb_channels), rate


class _Clock:
    """Compares the time stamps of frames with the sound that was decoded.

    Args:
        joined_s: the end of the first page of an Ogg stream, seconds. A recorder may have joined a
            stream that was running, and only from here on FFmpeg knows its position.

    Attributes:
        decoded: seconds decoded so far.
        lost: seconds by which the time stamps are ahead of it.
    """

    def __init__(self, joined_s: float | None) -> None:
        self.decoded, self.lost = 0.0, 0.0
        self._start: float | None = None
        self._joined_s = joined_s

    def see(self, frame: av.AudioFrame) -> None:
        """Look at the time stamp of a frame before it is decoded."""
        if frame.time is None:
            return
        if self._start is None:
            self._start = frame.time
        elif self._joined_s is not None and frame.time >= self._joined_s:
            self._start, self._joined_s = frame.time - self.decoded, None
        self.lost = frame.time - self._start - self.decoded


def _joined_s(part: Part, rate: int) -> float | None:
    """See `_Clock`. None if pages are missing: their time must not be forgotten."""
    if not ogg.is_ogg(part):
        return None
    link = ogg.links(part)[0]
    return None if link.hole else link.first_granule / rate


def _promise(container: av.container.InputContainer, stream: Any, part: Part) -> float | None:
    """The length that the header states, seconds; None if it states none."""
    name = container.format.name.split(",")[0]
    if name not in _STATE_LENGTH:
        return None
    if name == "caf" and (stated := caf.seconds(part)) is not None:
        return stated  # FFmpeg would limit it to what fits into the file's size
    if name == "asf":  # FFmpeg replaces a length that contradicts the file's size
        return asf.seconds(part)
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    alone = len(container.streams) == 1  # otherwise this is the length of the longest stream
    return container.duration / 1e6 if alone and container.duration else None


def _first_line(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).splitlines()[0]
