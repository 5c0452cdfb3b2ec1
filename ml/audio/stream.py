"""Decode an audio file block by block, and check at the end whether it was complete.

Every problem of a file is raised as `BadAudio` with a stable code and a reason, so that a run can
quarantine this one file and continue. Python cannot catch a decoder that crashes the whole process;
a caller who must survive that decodes in a child process.
"""

import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from melgraph.ml.audio.containers import flac, ogg
from melgraph.ml.audio.containers.part import Part
from melgraph.ml.audio.containers.structure import is_whole
from melgraph.ml.audio.readers import open_source
from melgraph.ml.audio.signal import Recutter
from melgraph.ml.audio.source import BadAudio, Source

_MOST_VALUES = 1 << 24  # values in a block: 64 MB, whatever rate and channels a header claims
# How much of the length in the header may be missing (the larger of the first two counts):
_TOLERANCE = 0.01  # this share, without a warning
_TOLERANCE_S = 0.1  # this many seconds, without a warning
_MISSING_END = 0.1  # this share at the end of the file, with a warning


class AudioStream:
    """An open audio file; `open_audio` creates it.

    Attributes:
        sample_rate: Hz.
        channels: number of channels.
        codec: 'FLAC/PCM_16', 'MP3', 'AAC'.
        container: 'FLAC', 'WAV', 'MOV'.
        samples_read: samples per channel decoded so far.
        warning: set after the end if the file is usable, but a person may want to look at it.
    """

    def __init__(
        self,
        file: BinaryIO,
        source: Source,
        *,
        block_s: float,
        max_seconds: float | None,
        max_hours: float,
    ) -> None:
        self.sample_rate, self.channels = source.sample_rate, source.channels
        self.codec, self.container = source.codec, source.container
        self.samples_read = 0
        self.warning: str | None = None
        self._file, self._source = file, source
        self._block_size = max(
            1, min(int(block_s * self.sample_rate), _MOST_VALUES // self.channels)
        )
        self._limit = None if max_seconds is None else int(max_seconds * self.sample_rate)
        self._max_hours, self._begun = max_hours, False
        if max_seconds is None and (self.promised_s or 0.0) > max_hours * 3600:
            raise self._too_long(f"the header promises {(self.promised_s or 0.0) / 3600:.2f} h")

    @property
    def promised_s(self) -> float | None:
        """The length that header or time stamps state, seconds; None where they do not."""
        return self._source.promised_s

    @property
    def seconds_read(self) -> float:
        """`samples_read` in seconds."""
        return self.samples_read / self.sample_rate

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the samples: contiguous float32 `[sample, channel]`, full scale 1.0.

        A stream can be read once. All blocks but the last have one size: `block_s` seconds, or
        64 MB if that is less. Integer formats stay within [-1, 1]; a lossy codec may exceed that
        slightly.

        Raises:
            BadAudio: unreadable, undecodable, truncated, damaged or too-long. It may be raised only
                after the last block; the caller must then discard all blocks.
        """
        recutter = Recutter(self._block_size)
        for piece in self.pieces():
            yield from recutter.push(piece)
        yield from recutter.rest()

    def pieces(self) -> Iterator[np.ndarray]:
        """As `blocks`, but in the sizes in which the decoder gives them, without copying."""
        if self._begun:
            raise ValueError("this stream was read already; open the file again")
        self._begun = True
        try:
            yield from self._limited()
            if self._limit is None or self.samples_read < self._limit:
                self._check_completeness()
        except OSError as error:
            raise _unreadable(error) from error
        self.warning = "; ".join(self._source.notes) or None

    def _limited(self) -> Iterator[np.ndarray]:
        """The source's pieces up to `max_seconds`; raises if `max_hours` are exceeded."""
        most = self._max_hours * 3600 * self.sample_rate  # samples
        while self._limit is None or self.samples_read < self._limit:
            piece = next(self._source.pieces, None)
            if piece is None:
                return
            if self._limit is not None:
                piece = piece[: self._limit - self.samples_read]
            self.samples_read += len(piece)
            if self.samples_read > most:
                raise self._too_long(f"{self.seconds_read / 3600:.2f} h decode, and more follows")
            yield piece

    def _too_long(self, what: str) -> BadAudio:
        return BadAudio("too-long", f"{what}, at most {self._max_hours:g} h are taken")

    def _check_completeness(self) -> None:
        """Compare the decoded length with the one in the header, now that the end is reached."""
        notes = self._source.notes
        if self.container == "OGG" and not ogg.links(Part(self._file))[-1].ends:
            notes.append("no page marks the end of the Ogg stream: cut off?")
        if self.promised_s is None:
            return
        decoded, promised = self.seconds_read, self.promised_s
        missing = promised - decoded
        if abs(missing) <= max(_TOLERANCE_S, _TOLERANCE * promised):
            return
        lengths = f"the file promises {promised:.2f} s, {decoded:.2f} s decode"
        if missing < 0 or (self.container == "FLAC" and _signature_fits(self._file)):
            notes.append(lengths)
        elif decoded == 0.0:
            raise BadAudio("undecodable", "; ".join([lengths, *notes]))
        elif self._source.hole:
            raise BadAudio("damaged", "; ".join([lengths, *notes]))
        elif not self._source.damaged and is_whole(Part(self._file), self.container):
            notes.append(f"{lengths}; nothing was cut off, so the header is wrong")
        elif missing <= _MISSING_END * promised:
            notes.append(f"the end is missing: {lengths}")
        else:
            raise BadAudio("truncated", "; ".join([lengths, *notes]))


@contextmanager
def open_audio(
    path: Path,
    *,
    block_s: float = 60.0,
    max_seconds: float | None = None,
    max_hours: float = 24.0,
) -> Iterator[AudioStream]:
    """Open a file by its content, whatever its name: with libsndfile if possible, else FFmpeg.

    A file is complete if its decoded length is at most 1 % or 0.1 s (whichever is more) shorter
    than the length in its header. If up to 10 % are missing at its end, it is accepted with a
    warning.

    - FLAC, mp4, Matroska, WAV, W64, RF64, AIFF, AU, CAF, WavPack, WMA, and mp3 with a Xing, Info or
      VBRI header state their length.
    - An Ogg file that was cut off lacks its last page and gets a warning. A hole in it is detected.
    - Raw AAC (ADTS) and mp3 without such a header state no length, so a cut cannot be detected.
    - A FLAC file with a wrong length in its header is complete if its MD5 signature fits; an mp4,
      Matroska, WMA, WavPack or mp3 file, if its container shows that nothing was cut off.
    - Sound that follows the end that a header states is read as well, also of files that were
      joined. Parts of another sample rate or channel count are brought to the form of the first.
    - An mp3 without a Xing header and raw AAC keep the delay of their encoder: for LAME 1105, for
      FFmpeg's AAC encoder 1024 samples.

    Memory is bounded by the size of a block, whatever the length of the file.

    Args:
        path: the file. If it has several audio streams, the first is decoded.
        block_s: length of a block, seconds.
        max_seconds: decode at most this many seconds from the start.
        max_hours: refuse a longer file, unless `max_seconds` limits the decoding.

    Raises:
        BadAudio: vanished, unreadable, empty, encrypted, undecodable, no-audio or too-long; while
            the blocks are read also bitstream, truncated or damaged.
        ValueError: `block_s` is not positive.
    """
    if not block_s > 0:
        raise ValueError(f"block_s is {block_s}, must be positive")
    with ExitStack() as closing:
        try:  # does not enclose the `yield`: the caller's own OSError must pass unchanged
            file = closing.enter_context(_open(path))
            source = open_source(file, closing.enter_context(ExitStack()))
        except OSError as error:
            raise _unreadable(error) from error
        yield AudioStream(
            file, source, block_s=block_s, max_seconds=max_seconds, max_hours=max_hours
        )


def _open(path: Path) -> BinaryIO:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # opening a pipe could block for ever
        raise BadAudio("unreadable", "this is not a regular file")
    if status.st_size == 0:
        raise BadAudio("empty", "the file has 0 bytes")
    return path.open("rb", buffering=0)  # libsndfile moves the position below any buffer


def _unreadable(error: OSError) -> BadAudio:
    if isinstance(error, FileNotFoundError):
        return BadAudio("vanished", "the file is no longer there")
    return BadAudio("unreadable", f"reading failed: {error.strerror or error}")


def _signature_fits(file: BinaryIO) -> bool:
    with ExitStack() as closing:
        return flac.signature_fits(Part(file), lambda: open_source(file, closing).pieces)
